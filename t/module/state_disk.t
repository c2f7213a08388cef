#!/usr/bin/perl

# A disk that hangs stops no request, no change of weights and no answer of the
# API.  The temporary files are pipes here: opening one takes until somebody
# reads.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;
use Fcntl qw(O_RDONLY O_NONBLOCK);
use POSIX qw(mkfifo);

my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $nginx = nginx(groups => [blue => $blue, green => $green], workers => 2)
    ->start;
my $state = "$nginx->{dir}/edge.state";
my %reader;


sub hang {
    my ($generation) = @_;

    for my $worker ($nginx->workers) {
        mkfifo("$state.$worker.$generation", 0600) or die $!;
    }
}


# A reader for each pipe lets its writer go on, whose fsync() then fails.

sub go_on {
    for my $pipe (glob "$state.*.*") {
        sysopen my $fd, $pipe, O_RDONLY | O_NONBLOCK or next;
        $reader{$pipe} = $fd;
    }
}


sub backends {
    my %seen;

    for (1 .. 40) {
        my $r = $nginx->get('/', 'X-User' => "u$_");
        $seen{$r->{headers}{'x-backend'} // $r->{status}}++;
    }

    return join ' ', map { "$_ $seen{$_}" } sort keys %seen;
}


# Ticks of the clock that processes had, and those that have gone by.

sub cpu {
    my $ticks = 0;

    for (@_) {
        my @stat = split / /, slurp("/proc/$_/stat") =~ s/^.*\) //sr;
        $ticks += $stat[11] + $stat[12];
    }

    return $ticks;
}


sub times_now { return (POSIX::times())[0] }


sub put_green {
    my ($green) = @_;

    return $nginx->put(weights => { blue => 100 - $green, green => $green });
}


# a change is answered when it is on disk, if that is not busy

my $on_disk = 0;

for (1 .. 20) {
    my $r = put_green(10);
    $on_disk++ if $r->{json}{persisted} == $r->{json}{generation};
}

cmp_ok $on_disk, '>=', 15, 'is on disk when it is answered';

# many at once, at each worker: all end up on disk

my $present = $nginx->upstream->{record}{revision};
my @c = map { http_connect($nginx->api_target) } 1 .. 40;

for my $i (1 .. @c) {
    $c[$i - 1]->send(PUT => '/canary/upstreams/app', body => {
        revision => $present + $i, stable => 'blue',
        weights => { blue => $i, green => 100 - $i },
    });
}

my %status;
$status{$_->read->{status}}++ for @c;

ok $status{200}, 'changes at once' or diag encode(\%status);
is +($status{200} // 0) + ($status{409} // 0), @c,
    'each is taken or comes too late' or diag encode(\%status);
$nginx->saved;
like slurp($state), qr/"revision": \Q${\ ($present + @c)}\E,/,
    'the last is on disk';

# the disk hangs

my $generation = $nginx->upstream->{generation};
hang($generation + $_) for 1 .. 3;
my $r = put_green(100);

is $r->{status}, 200, 'a change while the disk hangs is answered';
cmp_ok $r->{json}{persisted}, '<', $r->{json}{generation}, 'and says so';
is backends(), 'green 40', 'and routes';
$r = put_green(0);
is $r->{status}, 200, 'so is the next';
is backends(), 'blue 40', 'and routes';
cmp_ok $nginx->upstream->{persisted}, '<=', $generation, 'none is on disk';

# a client that does not wait for its answer

my $c = http_connect($nginx->api_target);
my $revision = $nginx->upstream->{record}{revision} + 1;

$c->send(PUT => '/canary/upstreams/app', body => { revision => $revision,
    stable => 'blue', weights => { blue => 0, green => 100 } });
wait_for { $nginx->upstream->{record}{revision} == $revision } 10, 'its put';
$c->close;
is backends(), 'green 40', 'a client that went away';

# a reload to another file, with a worker whose thread still waits: it does
# not burn its time, and what it still writes is not taken for the new file

my $other = "$nginx->{dir}/other.state";

ok $nginx->reload(zone => "edge 1m state=$other"), 'a reload meanwhile';
is backends(), 'green 40', 'the record is kept';

my @old = $nginx->old_workers;
ok @old, 'an old worker waits for its file';
my ($cpu, $now) = (cpu(@old), times_now());
backends() for 1 .. 20;
cmp_ok cpu(@old) - $cpu, '<', (times_now() - $now) / 2, 'and does nothing';

go_on();
wait_for { go_on(); !$nginx->old_workers } 20, 'the old workers to end';
wait_for { -s $other } 20, 'the new file';
$nginx->saved;
like slurp($other), qr/"revision": $revision,/, 'in the end it is on disk';
unlink grep { -p } glob "$state.*.*";
is_deeply [glob "$state.*.*"], [], 'no temporary file is left';
%reader = ();

# what a killed worker left goes with the next start

spew("$other.99999999.7", 'half a file');
spew("$other.$$.7", 'of somebody who lives');
$nginx->restart;
is $nginx->upstream->{record}{revision}, $revision, 'the record is read';
is_deeply [glob "$other.*.*"], ["$other.$$.7"],
    'the file of a dead process is gone';
$state = $other;

# one process has no threads

$nginx->restart(single => 1);
is put_green(30)->{status}, 200, 'one process: a change';
$nginx->saved;
like slurp($state), qr/"green": 30/, 'is on disk';

done_testing;
