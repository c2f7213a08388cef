#!/usr/bin/perl

# What holds when everything else is dead: the lease and the guard.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;
use Time::HiRes qw(time);

my $lease = 3;
my $s = stack(parts => { workers => 4,
    location => "proxy_next_upstream off;\n" });
my ($nginx, $blue, $green) = @$s{qw(nginx blue green)};

# canaryd, Redis and with them the network are gone: one lease after the last
# renewal the canary gets nothing more

$s->{canaryd}->start_rollout(steps => [{ weight => 50, hold => '1h' }],
    lease => "${lease}s");
wait_for { ($nginx->upstream->{effective}{weights}{green} // 0) == 50 } 20,
    'a rollout at 50 %';

# renewals keep it alive

my $from = time;
my $shortest = $lease * 1000;

wait_for {
    my $left = $nginx->upstream->{effective}{lease_left_ms};
    $shortest = $left if $left < $shortest;
    time > $from + $lease + 1;
} 3 * $lease, 'more than a lease to pass';
cmp_ok $shortest, '>', 0, 'it is renewed meanwhile';
is $nginx->upstream->{effective}{weights}{green}, 50, 'and served';

$s->{canaryd}->kill;
$s->{redis}->kill;

my $dead = time;
my $c = http_connect($nginx->target);
my ($before, $after, $n) = (0, 0, 0);

# a request that begins after the lease must not be given to the canary; the
# clock that nginx looks at may be some ms behind

wait_for {
    my $start = time;
    my $green = 0;

    for (1 .. 20) {
        $start = time;
        my $r = $c->request('GET', '/', headers => { 'X-User' => 'u' . $n++ });
        next if $r->{headers}{'x-backend'} ne 'green';
        $start < $dead + $lease + 0.05 ? $before++ : $after++;
    }

    $start > $dead + $lease + 2;
} 60, 'two seconds more than the lease';

cmp_ok $before, '>', 0, "$before requests to the canary within the lease";
is $after, 0, 'none after it';
is $nginx->upstream->{effective}{lapsed}, JSON::PP::true, 'it is said';

# a canary that answers only 500 is left after at most `failures' and the
# requests in flight, with nothing else running; each time

my $revision = $nginx->upstream->{record}{revision};
my $connections = 32;

for my $failures (1, 5, 50) {
    is $nginx->put(stable => 'blue', canary => 'green',
        weights => { blue => 50, green => 50 },
        guard => { group => 'green', failures => $failures, ratio => 0.5,
            window_ms => 10000 })->{status}, 200, "guard of $failures";
    $_->set(zero => 1) for $blue, $green;
    $green->set(error => 1, jitter_ms => 5);

    my $load = load($nginx, requests => 3000, connections => $connections,
        header => 'X-User: %d');
    my $bad = $green->counts->{requests};

    cmp_ok $bad, '>=', $failures, "$bad attempts trip it";
    cmp_ok $bad, '<=', $failures + $connections,
        'and at most those in flight are more';
    is $load->{total}{status}{500}, $bad, 'that is what clients saw';
    is $nginx->upstream->{effective}{tripped}, 'green', 'it is said';
}

done_testing;
