#!/usr/bin/perl

# Abort over a fleet: from the call to the moment at which the last node
# serves stable, as the answer has it, and as a look at every nginx then says.
#
#   scripts/bench fleet-abort [--aborts N] [--nodes N]
#
# 100 aborts over 20 nodes by default, each a real nginx with a real canaryd.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;
use POSIX ();
use Time::HiRes qw(time);

my %opt = (aborts => 100, nodes => 20, @ARGV % 2 ? ()
    : map { s/^--//r } @ARGV);

my $redis = redis();
my @groups = map { $_ => backend(name => $_) } qw(blue green);
my @nodes = map {
    my $nginx = nginx(groups => \@groups, workers => 1)->start;
    { nginx => $nginx, canaryd => canaryd(nginx => $nginx, redis => $redis,
        tick => '1s', node => "edge-$_") };
} 1 .. $opt{nodes};

my (@ms, @wall, $missed);

for my $n (1 .. $opt{aborts}) {
    my $canaryd = $nodes[$n % @nodes]{canaryd};
    my $r = $canaryd->start_rollout(steps => [{ weight => 50,
        hold => '1h' }]);

    wait_for { my $x = $canaryd->rollout($r);
        $x->{state} eq 'progressing' && $x->{nodes}{live} == @nodes
            && $x->{nodes}{confirmed} == @nodes } 60, 'all nodes';

    my $start = time;
    my $answer = $canaryd->command_rollout($r, 'abort')->{json}{abort};
    push @wall, 1000 * (time - $start);
    push @ms, $answer->{milliseconds};

    $missed++ if $answer->{confirmed} != @nodes;
    $missed++ if grep { $_->{nginx}->upstream->{effective}{weights}{green}
        != 0 } @nodes;

    $canaryd->wait_state($r, 'aborted');
}

sub percentile {
    my ($q, @values) = @_;
    my @sorted = sort { $a <=> $b } @values;

    return $sorted[POSIX::ceil($q * @sorted) - 1];
}

printf "abort over %d nodes, %d times, from the call to the last node\n",
    $opt{nodes}, $opt{aborts};
printf "  by the answer          p50 %.1f ms   p99 %.1f ms   worst %.1f ms  "
    . "(bar: p99 150 ms)\n", percentile(0.5, @ms), percentile(0.99, @ms),
    percentile(1, @ms);
printf "  by the caller's clock  p50 %.1f ms   p99 %.1f ms   worst %.1f ms\n",
    percentile(0.5, @wall), percentile(0.99, @wall), percentile(1, @wall);
print "  not all confirmed: $missed\n" if $missed;

$_->stop for map { @$_{qw(canaryd nginx)} } @nodes;
