#!/usr/bin/perl

# The JSON API: what it takes, what it refuses and how it says so.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $nginx = nginx(
    groups => [blue => $blue, green => $green],
    api_locations => <<'CONF',
location /canary/ { canary_api write=on; }
location /read/ { canary_api; }
location = /metrics { canary_metrics; }
CONF
)->start;

my %good = (
    revision => 1, stable => 'blue',
    weights => { blue => 90, green => 10 },
);


sub put {
    my ($body, %opt) = @_;

    return $nginx->api('PUT', 'upstreams/app', $body, %opt);
}


sub problem {
    my ($what, $r, $status, $field, $detail) = @_;

    is $r->{status}, $status, "$what: $status";
    is $r->{headers}{'content-type'}, 'application/problem+json',
        "$what: a problem";
    is $r->{json}{status}, $status, "$what: says the status";
    is $r->{json}{field}, $field, "$what: the field";
    like $r->{json}{detail}, $detail, "$what: what is wrong" if $detail;
}


# reading

my $all = $nginx->api('GET', 'upstreams');

is $all->{status}, 200, 'all upstreams';
is_deeply [keys %{ $all->{json}{upstreams} }], ['app'], 'by name';
like $all->{json}{boot}, qr/^[0-9a-f]{16}$/, 'boot';

my $app = $nginx->upstream;

is_deeply $app->{record}, {
    revision => 0, stable => 'blue', canary => 'green',
    weights => { blue => 100, green => 0 },
    salt => '', lease_ms => 0, on_lapse => 'stable',
}, 'the default record';
is_deeply $app->{effective}, {
    weights => { blue => 100, green => 0 }, stable => 'blue', removed => [],
    lapsed => JSON::PP::false, tripped => undef, lease_left_ms => undef,
}, 'what is served';
is_deeply [sort keys %{ $app->{groups} }], [qw(blue green)], 'groups';

my $r = $nginx->api('HEAD', 'upstreams/app');
is $r->{status}, 200, 'HEAD';
is $r->{body}, '', 'has no body';

# what is refused leaves the state as it is

for (
    ['no JSON', '{"revision": 1,', 400, undef, qr/not JSON/],
    ['more than JSON', encode(\%good) . '{}', 400, undef, qr/not JSON/],
    ['an empty body', '', 400, undef, qr/not JSON/],
    ['a NUL', encode(\%good) . "\0", 400, undef, qr/not JSON/],
    ['a NUL in a string', encode({ %good, salt => 'a' }) =~ s/"a"/"a\\u0000b"/r,
        400, undef, qr/not JSON/],
    ['deep nesting', '[' x 5000, 400, undef, qr/not JSON/],
    ['a field of odd bytes', "{\"\xc3\xa9\xff" . 'x' x 100 . '": 1}', 422,
        '???' . 'x' x 60],
    ['an array', '[]', 422, undef, qr/must be a JSON object/],
    ['a number', '1', 422, undef, qr/must be a JSON object/],
    ['an unknown field', { %good, weight => 1 }, 422, 'weight',
        qr/is not a field of a routing record: revision, stable/],
    ['no revision', { stable => 'blue', weights => { blue => 100 } }, 422,
        'revision', qr/is required/],
    ['no stable', { revision => 1, weights => { blue => 100 } }, 422,
        'stable', qr/is required/],
    ['no weights', { revision => 1, stable => 'blue' }, 422, 'weights',
        qr/is required/],
    ['revision 0', { %good, revision => 0 }, 422, 'revision',
        qr/whole number from 1/],
    ['half a revision', { %good, revision => 1.5 }, 422, 'revision'],
    ['a huge revision', { %good, revision => 1e300 }, 422, 'revision'],
    ['a negative revision', { %good, revision => -1 }, 422, 'revision'],
    ['revision as text', { %good, revision => '1' }, 422, 'revision'],
    ['a field twice', '{"revision": 1, "revision": 2}', 422, 'revision',
        qr/must be given once/],
    ['unknown stable', { %good, stable => 'red' }, 422, 'stable',
        qr/"red" is not a group/],
    ['stable as number', { %good, stable => 1 }, 422, 'stable'],
    ['unknown canary', { %good, canary => 'red' }, 422, 'canary'],
    ['canary is stable', { %good, canary => 'blue' }, 422, 'canary',
        qr/must not be the stable/],
    ['an unknown group', { %good, weights => { blue => 90, red => 10 } },
        422, 'weights', qr/"red" is not a group of this upstream/],
    ['weights below 100', { %good, weights => { blue => 90, green => 9 } },
        422, 'weights', qr/must add up to 100, not 99\.00/],
    ['weights above 100', { %good, weights => { blue => 90, green => 11 } },
        422, 'weights', qr/must add up to 100, not 101\.00/],
    ['a negative weight', { %good, weights => { blue => 110, green => -10 } },
        422, 'weights', qr/of "\w+" must be a percentage from 0 to 100/],
    ['a weight of 1e308', { %good, weights => { blue => 1e308 } }, 422,
        'weights'],
    ['three decimals', { %good, weights => { blue => 99.995,
        green => 0.005 } }, 422, 'weights', qr/at most two decimals/],
    ['weight as text', { %good, weights => { blue => '100' } }, 422,
        'weights'],
    ['a group twice', '{"weights": {"blue": 50, "blue": 50}}', 422,
        'weights', qr/"blue" must be given once/],
    ['weights as array', { %good, weights => [90, 10] }, 422, 'weights'],
    ['a long salt', { %good, salt => 's' x 65 }, 422, 'salt',
        qr/at most 64 ASCII/],
    ['a salt of bytes', "{\"salt\": \"\x01\"}", 422, 'salt'],
    ['a short lease', { %good, lease_ms => 999 }, 422, 'lease_ms',
        qr/0 or a whole number from 1000 to 3600000/],
    ['a long lease', { %good, lease_ms => 3600001 }, 422, 'lease_ms'],
    ['on_lapse', { %good, on_lapse => 'x' }, 422, 'on_lapse',
        qr/"stable" or "keep"/],
) {
    my ($what, $body, @want) = @$_;

    problem($what, put($body,
        headers => { 'Content-Type' => 'application/json' }), @want);
}

problem('no type', put(encode(\%good), headers => { 'Content-Type' => '' }),
    415, undef, qr/must be application\/json/);
problem('another type', put(encode(\%good),
    headers => { 'Content-Type' => 'application/jsonp' }), 415);
problem('a large body', put(' ' x 65537), 413, undef, qr/65536/);
problem('unknown upstream', $nginx->api('GET', 'upstreams/nobody'), 404);
problem('a prefix of one', $nginx->api('GET', 'upstreams/ap'), 404);
problem('more than one', $nginx->api('GET', 'upstreams/apps'), 404);
problem('another path', $nginx->api('GET', 'nothing'), 404);
problem('no path', $nginx->api('GET', ''), 404);
problem('PUT on all', $nginx->api('PUT', 'upstreams', \%good), 405);
problem('DELETE', $nginx->api('DELETE', 'upstreams/app'), 405);
is $nginx->api('DELETE', 'upstreams/app')->{headers}{allow},
    'GET, HEAD, PUT', 'Allow';
problem('GET of a lease', $nginx->api('GET', 'upstreams/app/lease'), 405);
is $nginx->api('GET', 'upstreams/app/lease')->{headers}{allow}, 'POST',
    'Allow of a lease';
problem('a write without write=on', http($nginx->{api}, 'PUT',
    '/read/upstreams/app', body => \%good), 403, undef, qr/write=on/);
is http($nginx->{api}, 'GET', '/read/upstreams/app')->{status}, 200,
    'reading is fine there';

is_deeply $nginx->upstream, $app, 'nothing has changed';

# writing

$r = put({ %good, lease_ms => 2000, salt => 'x' },
    headers => { 'Content-Type' => 'application/json; charset=utf-8' });
is $r->{status}, 200, 'a whole record';
ok !exists $r->{json}{groups}, 'is answered without counters';
is_deeply $r->{json}{record}, {
    revision => 1, stable => 'blue', canary => 'green',
    weights => { blue => 90, green => 10 }, salt => 'x', lease_ms => 2000,
    on_lapse => 'stable',
}, 'and is what is served';

is put({ %good, lease_ms => 2000, salt => 'x' })->{status}, 200,
    'the identical record again';
is $nginx->upstream->{generation}, 1, 'changes nothing';

$r = put(\%good);
problem('another record of the same revision', $r, 409, 'revision',
    qr/above the present/);
is $r->{json}{revision}, 1, 'it says the present one';

my $largest = 9007199254740991;

is put({ %good, revision => $largest })->{status}, 200,
    'the largest revision';
is $nginx->upstream->{record}{revision}, $largest, 'is kept exactly';
problem('one more', put({ %good, revision => $largest + 1 }), 422,
    'revision');

# chunked bodies, and one that comes in pieces and in a file

$nginx->restart(zone => 'edge 1m');

for my $pad (0, 20000, 60000) {
    my $body = encode({ %good, revision => 1 + $pad }) . ' ' x $pad;

    for my $chunked (0, 1) {
        $body =~ s/"revision":(\d+)/'"revision":' . ($1 + $chunked)/e;
        $r = put($body, chunked => $chunked,
            headers => { 'Content-Type' => 'application/json' });
        is $r->{status}, 200, length($body) . " bytes, chunked $chunked"
            or diag $r->{body};
    }
}

# the lease

is put({ %good, revision => 70000, lease_ms => 60000 })->{status}, 200, 'put';

my $left = $nginx->upstream->{effective}{lease_left_ms};
wait_for { $nginx->upstream->{effective}{lease_left_ms} < $left - 50 } 10,
    'some of the lease to pass';
$r = $nginx->api('POST', 'upstreams/app/lease', { revision => 70000 });
is $r->{status}, 200, 'renewed';
cmp_ok $r->{json}{lease_left_ms}, '>', $left - 50, 'it is whole again';

$r = $nginx->api('POST', 'upstreams/app/lease', { revision => 69999 });
problem('another revision', $r, 409, 'revision', qr/not the present/);
is $r->{json}{revision}, 70000, 'the present one';

for my $body ({}, { revision => 0 }, { revision => 'x' }, [],
        { revision => 70000, x => 1 }) {
    problem('lease ' . encode($body), $nginx->api('POST',
        'upstreams/app/lease', $body), 422, 'revision');
}

is put({ %good, revision => 70001 })->{status}, 200, 'no lease';
problem('a record without lease', $nginx->api('POST', 'upstreams/app/lease',
    { revision => 70001 }), 409, 'revision', qr/has no lease/);

# many writers: each revision is served once, the last one stays

my @c = map { http_connect($nginx->{api}) } 1 .. 8;
my %ok;
my $lost = 0;

for my $round (1 .. 100) {
    my $revision = 80000 + $round;

    $c[$_]->send('PUT', '/canary/upstreams/app', body => {
        %good, revision => $revision, salt => "writer-$_",
    }) for 0 .. $#c;

    for my $c (@c) {
        my $answer = $c->read;

        $answer->{status} == 200 ? $ok{$revision}++
            : $answer->{status} == 409 ? $lost++ : fail $answer->{body};
    }
}

is_deeply [grep { $_ != 1 } values %ok], [], 'one writer wins each revision';
is scalar(keys %ok), 100, 'and each revision was written';
is $lost, 700, 'the others are told';
is $nginx->upstream->{record}{revision}, 80100, 'the last one is served';

# no worker serves anything else after the answer

my @readers = map { http_connect($nginx->{api}) } 1 .. 16;
my $stale = 0;

for my $round (1 .. 50) {
    my $revision = 90000 + $round;

    put({ %good, revision => $revision });

    $_->send('GET', '/canary/upstreams/app') for @readers;
    $stale += grep { $_->read->{json}{record}{revision} != $revision }
        @readers;
}

is $stale, 0, 'all workers have a record when it is answered';

done_testing;
