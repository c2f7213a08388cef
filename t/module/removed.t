#!/usr/bin/perl

# Groups and upstreams that come and go with the configuration.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my %b = map { $_ => backend(name => $_) } qw(blue green red);
my $nginx = nginx(
    groups => [%b],
    canary => 'zone=edge blue green red',
    allow => [qr/\[emerg\] .* different groups/, qr/\[emerg\] .* too small/],
)->start;


sub shares {
    my %seen;
    my $c = http_connect($nginx->target);

    for (1 .. 300) {
        my $r = $c->request('GET', '/', headers => { 'X-User' => "u$_" });
        $seen{$r->{headers}{'x-backend'}}++;
    }

    return \%seen;
}


sub removed_metric {
    return $nginx->metrics =~ /^nginx_canary_removed_groups\{upstream="app"\} (\d)/m
        ? $1 : undef;
}


my %record = (weights => { blue => 50, green => 30, red => 20 },
    canary => 'green');

is $nginx->put(%record)->{status}, 200, 'put';
my $before = shares();
is removed_metric(), 0, 'nothing is removed';

# what is removed gives its share to stable; keys of others stay

for my $how (qw(reload restart crash)) {

    if ($how eq 'reload') {
        ok $nginx->reload(canary => 'zone=edge blue red'), 'green is removed';
        like $nginx->error_log, qr/\[warn\] .* "app" has no group "green" any more, its share goes to "blue"/,
            'the log says so';
    } elsif ($how eq 'restart') {
        $nginx->restart;
    } else {
        $nginx->crash;
        $nginx->start;
    }

    my $u = $nginx->upstream;

    is $u->{record}{revision}, 1, "$how: the record is kept";
    is_deeply $u->{record}{weights}, $record{weights}, "$how: as it was";
    is_deeply $u->{effective}{weights}, { blue => 80, red => 20 },
        "$how: what is served";
    is_deeply $u->{effective}{removed}, ['green'], "$how: what is removed";
    is $u->{effective}{stable}, 'blue', "$how: stable";
    is removed_metric(), 1, "$how: the metric";

    my $now = shares();

    is $now->{red} + $now->{blue}, 300, "$how: traffic";
    ok !$now->{green}, "$how: none to green";
}

my $r = $nginx->put(weights => { blue => 90, green => 10 });
is $r->{status}, 422, 'a record must not name it now';
is $r->{json}{field}, 'weights', 'the field';
is $nginx->upstream->{record}{revision}, 1, 'nothing has changed';
is $nginx->put(weights => { blue => 80, red => 20, green => 0 },
    canary => 'green')->{status}, 200,
    'but one that takes its weight away gets through';
is_deeply $nginx->upstream->{effective}{removed}, [], 'nothing is missing';
is $nginx->put(weights => $record{weights}, canary => 'green')->{status}, 422,
    'not the other way';

ok $nginx->reload(canary => 'zone=edge blue green red'), 'it comes back';
is $nginx->put(%record)->{status}, 200, 'and may have weight';
is_deeply shares(), $before, 'everybody is where he was';
ok $nginx->reload(canary => 'zone=edge blue red'), 'it goes once more';
ok $nginx->reload(canary => 'zone=edge blue green red'), 'it comes back';
is_deeply $nginx->upstream->{effective}{removed}, [], 'nothing is removed';
is_deeply shares(), $before, 'and everybody is where he was'
    or diag encode($before);

# stable itself

ok $nginx->reload(canary => 'zone=edge green red'), 'stable is removed';
my $u = $nginx->upstream;
is_deeply $u->{effective}{weights}, { green => 80, red => 20 },
    'the configured first has its share';
is $u->{effective}{stable}, 'green', 'and is stable';
is_deeply $u->{effective}{removed}, ['blue'], 'it is said';
like $nginx->error_log, qr/no group "blue" any more, its share goes to "green"/,
    'in the log';
ok !shares()->{blue}, 'traffic';
is $nginx->put(stable => 'blue', weights => { green => 100 })->{json}{field},
    'stable', 'it cannot be stable now';
is $nginx->put(stable => 'green', weights => { green => 60, red => 40 })
    ->{status}, 200, 'a record without it';
is_deeply $nginx->upstream->{effective}{removed}, [], 'nothing is missing';

# an upstream that is new, and one that is gone and comes back

ok $nginx->reload(upstreams => 'upstream new { canary zone=edge red blue; }'),
    'a new upstream';
is_deeply $nginx->upstream('new')->{effective}{weights},
    { red => 100, blue => 0 }, 'has the configured weights';
is $nginx->put(upstream => 'new', weights => { red => 40, blue => 60 })
    ->{status}, 200, 'and takes a record';
ok $nginx->reload(upstreams => ''), 'it goes';
is $nginx->api('GET', 'upstreams/new')->{status}, 404, 'and is unknown';
ok $nginx->reload(upstreams => 'upstream new { canary zone=edge red blue; }'),
    'it comes back';
is $nginx->upstream('new')->{effective}{weights}{blue}, 60, 'with its record';

# too many groups over the life of a zone, and a zone that is full: the
# reload is refused, and nothing changes

my $name = 'a';
my $refused;

for (1 .. 20) {
    my @names = map { $name++ } 1 .. 4;
    my $ok = $nginx->reload(upstreams =>
        join('', map { "upstream $_ { server " . $b{red}->target . "; }\n" }
            @names)
        . "upstream new { canary zone=edge red blue @names; }");

    next if $ok;
    $refused = 1;
    last;
}

ok $refused, 'too many groups';
like $nginx->error_log,
    qr/"new" had 16 different groups since nginx started, restart it to add/,
    'are said';
is $nginx->upstream('new')->{effective}{weights}{blue}, 60, 'served as before';

ok !$nginx->reload(upstreams => join '', map {
    "upstream n$_ { canary zone=edge red blue; }\n" } 1 .. 100),
    'more upstreams than the zone has room for';
like $nginx->error_log, qr/canary_zone "edge" of 1024k is too small: 101 canary upstreams and 2 counter shards need \d+k in /,
    'are said, with what is needed';
cmp_ok $nginx->metrics =~ /^nginx_canary_zone_refusals_total\{zone="edge"\} (\d+)/m
    ? $1 : 0, '>', 0, 'and counted';
is_deeply [@{ $nginx->upstream->{effective}{weights} }{qw(green red)}],
    [60, 40], 'app is served as before';
cmp_ok shares()->{red}, '>', 60, 'traffic, too';

# cells are made when they are first used: a full zone costs counters only

my ($least) = grep {
    ($nginx->test(upstreams => '', zone => "edge ${_}k", canary =>
        'zone=edge blue green'))[0]
} map { $_ * 4 } 8 .. 200;

$nginx->restart(upstreams => '', zone => "edge ${least}k", workers => 2,
    canary => 'zone=edge blue green');
my $many = http_connect($nginx->target);
my $served = grep { $many->request('GET', '/', headers => {
    'X-Canary' => $_ % 2 ? 'green' : 'blue' })->{status} == 200 } 1 .. 20;
is $served, 20, "a zone of ${least}k without room for pinned cells serves";
like $nginx->error_log, qr/canary_zone "edge" is full, some requests of canary upstream "app" are not counted/,
    'it is said';
cmp_ok $nginx->metrics =~ /^nginx_canary_zone_refusals_total\{zone="edge"\} (\d+)/m
    ? $1 : 0, '>', 0, 'and counted';
is $nginx->put(weights => { blue => 50, green => 50 })->{status}, 200,
    'records are taken';
cmp_ok shares()->{green}, '>', 90, 'and served';

done_testing;
