#!/usr/bin/perl

# Counters are exact to the request, whatever happens to it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my $dead = free_port();
my $blue = backend(name => 'blue');
my $green = backend(name => 'green');

my $nginx = nginx(
    groups => [blue => $blue, green => $green],
    location => "proxy_next_upstream off;\n",
    upstreams => <<CONF,
upstream dead { server 127.0.0.1:$dead; }
upstream down { server 127.0.0.1:$dead down; }
upstream pair {
    server 127.0.0.1:$dead max_fails=0;
    server @{[$blue->target]} max_fails=0 backup;
}
upstream fails { canary zone=edge dead blue; }
upstream none { canary zone=edge down blue; }
upstream retried { canary zone=edge pair green; }
upstream twins {
    server @{[$blue->target]} max_fails=0;
    server @{[$green->target]} max_fails=0;
}
upstream missing { canary zone=edge twins dead; }
CONF
    server => <<'CONF',
location /fails/ { proxy_pass http://fails/; }
location /none/ { proxy_pass http://none/; }
location /retried/ { proxy_pass http://retried/; }
location /missing/ {
    proxy_pass http://missing/;
    proxy_next_upstream http_404;
}
location /timed/ {
    proxy_pass http://app/;
    proxy_read_timeout 200ms;
    proxy_next_upstream off;
}
location /unbuffered/ {
    proxy_pass http://app/;
    proxy_buffering off;
    proxy_next_upstream off;
}
CONF
)->start;


# the cell of a group; counts are since the last call with the same name

sub cell {
    my ($group, %opt) = @_;

    my $g = $nginx->counted($opt{upstream} // 'app')->{groups}{$group};

    return $opt{pinned} ? $g->{pinned} : $g->{strata}[0];
}


sub sum { my $n = 0; $n += $_ for @_; return $n }


# 8 connections, all kinds of trouble, exact

is $nginx->put(weights => { blue => 60, green => 40 })->{status}, 200, 'put';

$green->set(error => 0.1, reset => 0.1, truncate => 0.1, seed => 7);

my $load = load($nginx, requests => 20000, connections => 8,
    header => 'X-User: %d');
my ($b, $g) = map { cell($_) } qw(blue green);
my ($did_b, $did_g) = map { $_->counts } $blue, $green;

is $b->{attempts}, $did_b->{requests}, 'attempts on blue';
is $g->{attempts}, $did_g->{requests}, 'attempts on green';
is $b->{attempts} + $g->{attempts}, 20000, 'all of them';
is $b->{selections}{weight}, $did_b->{requests}, 'selections of blue';
is $g->{selections}{weight}, $did_g->{requests}, 'selections of green';
is $b->{requests}, $did_b->{requests}, 'judged on blue';
is $g->{requests}, $did_g->{requests}, 'judged on green';
is $b->{errors}, 0, 'no error on blue';
is $g->{failures}{http_5xx}, $did_g->{status}{500}, '5xx';
is $g->{failures}{reset}, $did_g->{reset}, 'resets';
is $g->{failures}{truncated}, $did_g->{truncated}, 'truncated bodies';
is $g->{errors}, sum(values %{ $g->{failures} }), 'errors are failures';
is $g->{responses}{'5xx'}, $did_g->{status}{500}, 'responses 5xx';
is $g->{responses}{'2xx'},
    $g->{attempts} - $did_g->{status}{500} - $did_g->{reset},
    'responses 2xx, the truncated with them';
is sum(values %{ $b->{latency_us} }), $b->{requests} - $b->{errors},
    'a latency for each that did not fail: blue';
is sum(values %{ $g->{latency_us} }), $g->{requests} - $g->{errors},
    'a latency for each that did not fail: green';
cmp_ok $g->{errors}, '>', 1000, 'there was trouble';
is $b->{aborts} + $g->{aborts}, 0, 'no client left';
ok !defined cell('green', pinned => 1), 'nothing was pinned';

$green->set(error => 0, reset => 0, truncate => 0);

# what was forced is counted apart and not judged

$nginx->get('/?status=500', 'X-Canary' => 'green') for 1 .. 5;
$nginx->get('/', 'X-Canary' => 'green') for 1 .. 3;

my $pinned = cell('green', pinned => 1);

is $pinned->{selections}{force}, 8, 'forced selections';
is $pinned->{attempts}, 8, 'forced attempts';
is $pinned->{failures}{http_5xx}, 5, 'forced failures';
is $pinned->{requests}, 0, 'none is judged';
is $pinned->{errors}, 0, 'nor are their errors';
is sum(values %{ $pinned->{latency_us} }), 0, 'nor their latency';
is_deeply cell('green'), $g, 'the judged cell did not move';

# timeouts, in one group

is $nginx->put(weights => { blue => 100 })->{status}, 200, 'put';
my $before = cell('blue');

is $nginx->get('/timed/?hang=1')->{status}, 504, 'a hanging answer';
is cell('blue')->{failures}{timeout}, 1, 'is a timeout';
is cell('blue')->{errors}, 1, 'and an error';

# the same without buffering

for (['', 'answered', {}], ['truncate=1&body=5000', 'truncated',
        { errors => 1 }]) {
    my ($query, $what, $want) = @$_;
    my $was = cell('blue');

    $nginx->get("/unbuffered/?$query");

    my $now = cell('blue');

    is $now->{requests} - $was->{requests}, 1, "unbuffered $what: request";
    is $now->{errors} - $was->{errors}, $want->{errors} // 0,
        "unbuffered $what: errors";
    is $now->{failures}{truncated} - $was->{failures}{truncated},
        $want->{errors} // 0, "unbuffered $what: truncated";
}

# 4xx are answers; HEAD and 304 have no body to miss

for my $status (404, 304, 204, 429, 301) {
    my $was = cell('blue');

    is $nginx->get("/?status=$status")->{status}, $status, "a $status";

    my $now = cell('blue');
    my $class = int($status / 100) . 'xx';

    is $now->{errors}, $was->{errors}, "$status is no error";
    is $now->{responses}{$class}, $was->{responses}{$class} + 1,
        "$status is counted";
}

my $was = cell('blue');
is http($nginx->port, 'HEAD', '/')->{status}, 200, 'HEAD';
is cell('blue')->{errors}, $was->{errors}, 'is no error';

# a client that leaves is nobody's error

$was = cell('blue');
my $c = http_connect($nginx->target);
$c->send('GET', '/?delay_ms=300');
wait_for {
    my $blue = $nginx->upstream->{groups}{blue}{strata}[0];
    $blue->{attempts} - $blue->{finished} == 1;
} 10, 'the attempt';
$c->close;

my $now = cell('blue');

is $now->{aborts}, $was->{aborts} + 1, 'a client abort';
is $now->{requests}, $was->{requests}, 'is not judged';
is $now->{errors}, $was->{errors}, 'and no error';

# refused connections, and no live server

is $nginx->get('/fails/')->{status}, 502, 'refused';
my $dead_cell = cell('dead', upstream => 'fails');
is $dead_cell->{failures}{connect}, 1, 'a connect failure';
is_deeply [@$dead_cell{qw(requests errors attempts finished)}],
    [1, 1, 1, 1], 'an error, an attempt';

is $nginx->get('/none/')->{status}, 502, 'no live server';
my $down = cell('down', upstream => 'none');
is $down->{failures}{no_live}, 1, 'is counted';
is_deeply [@$down{qw(requests errors attempts)}], [1, 1, 0],
    'an error without an attempt';

# a retry within the group: the first attempt is what is judged

is $nginx->get('/retried/')->{status}, 200, 'the second server answers';
my $pair = cell('pair', upstream => 'retried');
is_deeply [@$pair{qw(requests errors attempts finished)}], [1, 1, 2, 2],
    'one judged error, two attempts';
is $pair->{failures}{connect}, 1, 'one failure';
is $pair->{responses}{'2xx'}, 1, 'one response';
is_deeply $pair->{latency_us}, {}, 'no latency of a second attempt';

# a 404 that is tried elsewhere is an answer

is $nginx->get('/missing/?status=404')->{status}, 404, '404 everywhere';
my $twins = cell('twins', upstream => 'missing');
is_deeply [@$twins{qw(requests errors attempts finished)},
    $twins->{responses}{'4xx'}], [1, 0, 2, 2, 2],
    'two answers, the first is judged';

# latency is in microseconds and of the right size

is $nginx->put(weights => { blue => 0, green => 100 })->{status}, 200, 'put';
$was = cell('green');
$nginx->get('/?delay_ms=50');
$now = cell('green');
my $us = $now->{latency_sum_us} - $was->{latency_sum_us};

cmp_ok $us, '>=', 50_000, "50 ms took $us us";

my ($bucket) = grep {
    ($now->{latency_us}{$_} // 0) > ($was->{latency_us}{$_} // 0)
} keys %{ $now->{latency_us} };
my $edge = sub {
    my ($i) = @_;
    return $i < 16 ? $i : ($i % 16 + 16) << (int($i / 16) - 1);
};

cmp_ok $edge->($bucket), '<=', $us, 'the bucket begins below';
cmp_ok $edge->($bucket + 1), '>', $us, 'and ends above';

done_testing;
