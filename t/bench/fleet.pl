#!/usr/bin/perl

# One canaryd leads the rollouts of a large fleet, on one core: the share of
# it that this takes, the time of a tick, and whether memory stays.
#
#   scripts/bench fleet [--seconds N] [--nodes N] [--upstreams N]
#
# 600 s, 1000 nodes and 50 upstreams by default; the nodes are as Redis sees
# them (t/tools/fleet.c).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;
use POSIX ();
use Time::HiRes qw(time sleep);

my %opt = (seconds => 600, nodes => 1000, upstreams => 50, @ARGV % 2 ? ()
    : map { s/^--//r } @ARGV);
my $hz = POSIX::sysconf(POSIX::_SC_CLK_TCK());


# Seconds of a core, and kilobytes, that a process has used.

sub usage {
    my ($pid) = @_;

    my @stat = split ' ', slurp("/proc/$pid/stat") =~ s/^.*\) //sr;
    my ($rss) = slurp("/proc/$pid/status") =~ /^VmRSS:\s*(\d+)/m;

    return (($stat[11] + $stat[12]) / $hz, $rss);
}


my $redis = redis();
my $fleet = tmpdir() . '/fleet.out';
my $warm = 20;
my $pid = spawn(name => 'fleet', cmd => [build() . '/tools/fleet',
    "$redis->{dir}/redis.sock", $opt{nodes}, $opt{upstreams},
    $opt{seconds} + $warm + 60], out => $fleet);

my $canaryd = canaryd(nginx => 'unix:/nonexistent:/', redis => $redis,
    tick => '1s', wait => 'live', prefix => ['taskset', '-c', '0']);

wait_for { slurp($fleet) =~ /second 1\n/ } 60, 'the fleet';

for my $n (0 .. $opt{upstreams} - 1) {
    my $r;
    wait_for { $r = $canaryd->start_rollout(upstream => "app$n",
        lease => '1h', analysis => { stale_ticks => 100000 },
        steps => [{ weight => 10, hold => '24h' }]) } 20, 'a rollout';
}

# all are led, all histories have their length
sleep $warm;

my $metric = sub {
    my ($name) = @_;
    my $text = $canaryd->get('/metrics')->{body};
    return $text =~ /^\Q$name\E ([\d.e+-]+)$/m ? $1 : 0;
};

my ($cpu, $rss) = usage($canaryd->pid);
my ($redis_cpu) = usage($redis->pid);
my $ticks = $metric->('canaryd_judge_ticks_total');
my $begin = time;
my ($last_cpu, $last_at, $worst, @rss) = ($cpu, $begin, 0, $rss);

while (time < $begin + $opt{seconds}) {
    sleep 1;
    my ($now, $kb) = usage($canaryd->pid);
    my $at = time;
    my $share = ($now - $last_cpu) / ($at - $last_at);
    $worst = $share if $share > $worst;
    ($last_cpu, $last_at) = ($now, $at);
    push @rss, $kb;
}

my $seconds = time - $begin;
my ($cpu_end) = usage($canaryd->pid);
my ($redis_end) = usage($redis->pid);
my $judged = $metric->('canaryd_judge_ticks_total') - $ticks;
my $share = ($cpu_end - $cpu) / $seconds;
my $late = () = slurp($fleet) =~ /^late$/mg;
my @tail = @rss[int(@rss / 2) .. $#rss];
my ($low, $high) = (sort { $a <=> $b } @tail)[0, -1];

printf "%d nodes x %d rollouts, tick 1 s, %d s, canaryd on one core\n",
    $opt{nodes}, $opt{upstreams}, $seconds;
printf "  CPU share of canaryd   %6.1f %%   (worst second %.1f %%)\n",
    100 * $share, 100 * $worst;
printf "  work of a tick         %6.1f ms  of all upstreams (bar: 250 ms)\n",
    1000 * $share;
printf "  ticks judged           %6.1f /s  (%d were due)\n",
    $judged / $seconds, $opt{upstreams};
printf "  memory                 %6.1f MB  at first, %.1f to %.1f MB in the "
    . "second half\n", $rss[0] / 1024, $low / 1024, $high / 1024;
printf "  CPU share of Redis     %6.1f %%\n",
    100 * ($redis_end - $redis_cpu) / $seconds;
printf "  the simulated nodes were late in %d s\n", $late if $late;

stop_process($pid);
$canaryd->stop;
