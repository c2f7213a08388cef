#!/usr/bin/perl

# The rules of a record: what matches, what comes first, what is counted
# where, what is refused, and that they live as long as their record.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my %b = map { $_ => backend(name => $_) } qw(blue green red);

my $nginx = nginx(
    groups => [map { $_ => $b{$_} } qw(blue green red)],
    canary => 'zone=edge blue green red',
    http => "real_ip_header X-Real-IP;\nset_real_ip_from 127.0.0.0/8;",
    location => <<'CONF',
add_header X-Reason $canary_reason;
add_header X-Group $canary_group;
CONF
    upstreams => <<'CONF',
upstream roles { canary zone=edge canary other; canary_force $http_x_canary; }
upstream canary { server 127.0.0.1:1; }
upstream other { server 127.0.0.1:1; }
CONF
    server => 'location /roles { return 200 $canary_group_roles; }',
)->start;


sub rules {
    my (@rules) = @_;

    my %more = ref $rules[0] eq 'ARRAY' ? @{ shift @rules } : ();
    my $r = $nginx->put(weights => { blue => 100 }, rules => \@rules, %more);
    is $r->{status}, 200, encode(\@rules) or diag $r->{body};

    return $r->{json};
}


sub goes {
    my ($group, %headers) = @_;

    my $r = $nginx->get('/', %headers);
    my $what = join ', ', map { "$_: $headers{$_}" } sort keys %headers;

    is $r->{headers}{'x-backend'}, $group, "$group: $what";
    is $r->{headers}{'x-reason'}, $group eq 'blue' ? 'weight' : 'rule',
        'and the reason';
}


sub cells { return $nginx->counted->{groups} }
sub beta { return { header => { name => 'X-Beta', @_ ? (value => @_) : () } } }


goes('blue', 'X-Beta' => 1);
ok !exists $nginx->upstream->{record}{rules}, 'no rules, no field';

# headers

rules({ if => beta('yes'), group => 'green' });
goes('green', 'X-Beta' => 'yes');
goes('green', 'x-beta' => 'yes');
goes('blue', 'X-Beta' => 'Yes');
goes('blue', 'X-Beta' => 'yes!');
goes('blue', 'X-Beta' => '');
goes('blue', 'X-Bet' => 'yes');
goes('blue');

my $c = http_connect($nginx->target);
is $c->request('GET', '/', headers => ['X-Beta' => 'no', 'X-Beta' => 'yes'])
    ->{headers}{'x-backend'}, 'green', 'one of several headers';

rules({ if => beta(), group => 'green' });
goes('green', 'X-Beta' => 'no');
goes('green', 'X-Beta' => '');
goes('blue');

# cookies

rules({ if => { cookie => { name => 'beta', value => '1' } },
    group => 'green' });
goes('green', Cookie => 'beta=1');
goes('green', Cookie => 'a=b; beta=1; c=d');
goes('blue', Cookie => 'beta=11');
goes('blue', Cookie => 'xbeta=1');
goes('blue', Cookie => 'beta');
rules({ if => { cookie => { name => 'beta' } }, group => 'green' });
goes('green', Cookie => 'beta=');
goes('green', Cookie => 'x=1; beta=2');
goes('blue', Cookie => 'alpha=2');

# networks

my $json = rules({ if => { cidr => ['10.1.2.3/8', '192.0.2.1',
    '2001:DB8::1/32', '::/128'] }, group => 'green' });
is_deeply $json->{record}{rules}[0]{if}{cidr},
    ['10.0.0.0/8', '192.0.2.1/32', '2001:db8::/32', '::/128'],
    'networks are printed in one form';
goes('green', 'X-Real-IP' => $_) for qw(10.0.0.0 10.255.255.255 192.0.2.1
    2001:db8:ffff::1 ::ffff:10.1.1.1);
goes('blue', 'X-Real-IP' => $_) for qw(11.0.0.0 192.0.2.2 2001:db9::1 ::1);
rules({ if => { cidr => ['0.0.0.0/0'] }, group => 'green' });
goes('green', 'X-Real-IP' => '203.0.113.9');
goes('blue', 'X-Real-IP' => '2001:db8::1');

# all conditions of one, the first of many

rules(
    { if => { %{ beta('1') }, cidr => ['10.0.0.0/8'],
        cookie => { name => 'c', value => 'd' } }, group => 'green' },
    { if => beta('1'), group => 'red' },
    { if => { cidr => ['10.1.0.0/16'] }, group => 'green' },
    { if => { cidr => ['10.0.0.0/8'] }, group => 'red' },
);
goes('green', 'X-Beta' => 1, 'X-Real-IP' => '10.9.0.0', Cookie => 'c=d');
goes('red', 'X-Beta' => 1, 'X-Real-IP' => '10.9.0.0', Cookie => 'c=e');
goes('red', 'X-Beta' => 1, 'X-Real-IP' => '11.9.0.0', Cookie => 'c=d');
goes('green', 'X-Real-IP' => '10.1.0.1');
goes('red', 'X-Real-IP' => '10.2.0.1');
goes('blue', 'X-Real-IP' => '11.2.0.1', 'X-Beta' => 2);

# force comes before, and roles work in both

my $r = $nginx->get('/', 'X-Beta' => 1, 'X-Canary' => 'blue');
is $r->{headers}{'x-backend'}, 'blue', 'force wins over a rule';
is $r->{headers}{'x-reason'}, 'force', 'its reason';

$json = rules([stable => 'red', canary => 'green', weights => { red => 100 }],
    { if => beta('s'), group => 'stable' },
    { if => beta('c'), group => 'canary' });
is_deeply [map { $_->{group} } @{ $json->{record}{rules} }],
    [qw(stable canary)], 'roles stay roles';
goes('red', 'X-Beta' => 's');
goes('green', 'X-Beta' => 'c');
is $nginx->get('/', 'X-Canary' => $_->[0])->{headers}{'x-backend'}, $_->[1],
    "force $_->[0]" for ['stable', 'red'], ['canary', 'green'];
is $nginx->get('/', 'X-Canary' => 'stable', 'X-Beta' => 'c')
    ->{headers}{'x-backend'}, 'red', 'and before a rule';

is $nginx->api('PUT', 'upstreams/roles', { revision => 1, stable => 'other',
    weights => { other => 100 }, canary => 'canary',
    rules => [{ if => beta(), group => 'canary' }] })->{status}, 200,
    'a group whose name is a role';
is $nginx->get('/roles', 'X-Beta' => 1)->{body}, 'canary', 'is that group';

# counted as pinned

my $before = cells();
rules([stable => 'blue'], { if => beta(), group => 'green' });
$nginx->get('/', 'X-Beta' => 1) for 1 .. 10;
my $after = cells();
is $after->{green}{pinned}{selections}{rule}
    - $before->{green}{pinned}{selections}{rule}, 10, 'selections by rule';
is $after->{green}{pinned}{attempts} - $before->{green}{pinned}{attempts}, 10,
    'attempts, pinned';
is $after->{green}{pinned}{requests}, 0, 'none judged';
is_deeply $after->{green}{strata}, $before->{green}{strata},
    'nothing where weights place';

# weights of its own: a stratum

rules([weights => { blue => 90, green => 10 }],
    { if => beta('half'), weights => { blue => 50, green => 50 } },
    { if => beta('pin'), group => 'red' },
    { if => beta('thirds'), weights => { green => 33.34, blue => 33.33,
        red => 33.33 } },
    { if => beta('fine'), weights => { blue => 99.5, red => 0.5 } });

sub spread {
    my ($n, $beta) = @_;

    my %seen;
    my $c = http_connect($nginx->target);

    for my $i (1 .. $n) {
        my $r = $c->request('GET', '/', headers => { 'X-User' => "u$i",
            'X-Beta' => $beta });
        $seen{ $r->{headers}{'x-backend'} }++;
    }

    return map { $seen{$_} // 0 } qw(blue green red);
}

$before = cells();
my @half = spread(1000, 'half');
cmp_ok chi_square([@half[0, 1]], [500, 500]), '<', chi_square_limit(1),
    "halves: @half";
my @thirds = spread(900, 'thirds');
cmp_ok chi_square(\@thirds, [300, 300, 300]), '<', chi_square_limit(2),
    "thirds: @thirds";
my @fine = spread(4000, 'fine');
cmp_ok chi_square([@fine[0, 2]], [3980, 20]), '<', chi_square_limit(1),
    "half a percent: @fine";
my @usual = spread(1000, 'none');
cmp_ok chi_square([@usual[0, 1]], [900, 100]), '<', chi_square_limit(1),
    "by the record's: @usual";
$after = cells();

for (['blue', 0], ['green', 1], ['red', 2]) {
    my ($group, $i) = @$_;

    my @want = ($usual[$i], $half[$i], $thirds[$i], $fine[$i]);
    my @got = map {
        my $is = $after->{$group}{strata}[$_];
        my $was = $before->{$group}{strata}[$_];
        $is ? $is->{requests} - ($was ? $was->{requests} : 0) : 0;
    } 0 .. 3;

    is_deeply \@got, \@want, "$group: each stratum has its requests";
}

is $after->{red}{strata}[1], undef, 'a stratum that was never used is null';
is $after->{blue}{strata}[1]{selections}{rule}, $half[0],
    'selections by rule, judged';
is $after->{green}{pinned}{attempts}, $before->{green}{pinned}{attempts},
    'none of them pinned';
is scalar(@{ $after->{green}{strata} }), 3, 'none after the last that was';

my $metrics = $nginx->metrics;
like $metrics, qr/judged_requests_total\{upstream="app",group="blue",placement="stratum3"\} $fine[0]\n/,
    'metrics have the stratum';
my %series;
$series{$_}++ for $metrics =~ /^([a-z_]+\{.*?\}) /mg;
is_deeply [grep { $series{$_} > 1 } keys %series], [], 'no series twice';

# raising the weight of a rule moves nobody back

my %side;
for my $weight (10, 10.01, 40, 100) {
    rules({ if => beta(), weights => { blue => 100 - $weight,
        green => $weight } });
    my $back = 0;
    for my $user (1 .. 300) {
        my $group = $nginx->get('/', 'X-Beta' => 1, 'X-User' => "u$user")
            ->{headers}{'x-backend'};
        $back++ if ($side{$user} // '') eq 'green' && $group ne 'green';
        $side{$user} = $group;
    }
    is $back, 0, "nobody goes back at $weight %";
}

# the lease: stable for all

rules([lease_ms => 1000], { if => beta(), group => 'green' });
wait_for { $nginx->upstream->{effective}{lapsed} } 10, 'the lease to run out';
$r = $nginx->get('/', 'X-Beta' => 1);
is $r->{headers}{'x-backend'}, 'blue', 'a lapsed record has no rules';
is $r->{headers}{'x-reason'}, 'lapse', 'and says so';
is $nginx->api('POST', 'upstreams/app/lease', { revision =>
    $nginx->upstream->{record}{revision} })->{status}, 200, 'renewed';
goes('green', 'X-Beta' => 1);

rules([lease_ms => 1000, on_lapse => 'keep'],
    { if => beta(), group => 'green' });
goes('green', 'X-Beta' => 1);

# the guard: what a rule gives to a tripped group is stable's

rules([weights => { blue => 50, green => 50 }, guard => { group => 'green',
    failures => 3, ratio => 0.5, window_ms => 60000 }],
    { if => beta('pin'), group => 'green' },
    { if => beta('all'), weights => { green => 100 } });
$b{green}->set(error => 1);
$nginx->get('/', 'X-Beta' => 'pin') for 1 .. 5;
is $nginx->upstream->{effective}{tripped}, undef,
    'who is pinned does not trip the guard';
$nginx->get('/', 'X-Beta' => 'all') for 1 .. 5;
is $nginx->upstream->{effective}{tripped}, 'green', 'a stratum does';

for my $beta (qw(pin all)) {
    $r = $nginx->get('/', 'X-Beta' => $beta);
    is $r->{headers}{'x-backend'}, 'blue', "$beta: stable";
    is $r->{headers}{'x-reason'}, 'guard', "$beta: the reason";
}
$b{green}->set(error => 0);

# life: reloads, restart from the state file, groups that go

my @kept = (
    { if => { cidr => ['10.0.0.0/8', '2001:db8::/32'],
        header => { name => 'x-beta', value => 'a "quoted" \\ one' },
        cookie => { name => 'c' } }, group => 'green' },
    { if => beta('two'), weights => { blue => 12.34, green => 87.66 } },
    { if => { cookie => { name => 'r' } }, group => 'red' },
);
$kept[1]{if}{header}{name} = 'x-beta';
my $record = rules([salt => 'kept'], @kept)->{record};
is_deeply $record->{rules}, \@kept, 'what is printed is what was put';
$nginx->saved;

$r = $nginx->api('PUT', 'upstreams/app', $record);
is $r->{status}, 200, 'the same again is accepted';
my %other = (%$record, rules => [@kept[0, 2]]);
is $nginx->api('PUT', 'upstreams/app', \%other)->{status}, 409,
    'not with other rules';
$kept[1]{if}{header}{value} = 'tow';
is $nginx->api('PUT', 'upstreams/app', { %$record, rules => \@kept })
    ->{status}, 409, 'nor of the same length';
$kept[1]{if}{header}{value} = 'two';

for (1 .. 3) {
    ok $nginx->reload, 'a reload';
    goes('red', Cookie => 'r=1');
}
$nginx->restart;
is_deeply $nginx->upstream->{record}, $record, 'after a restart';

# a role in a rule is one after a restart, too

$nginx->put(weights => { blue => 100 },
    rules => [{ if => beta('role'), group => 'canary' }]);
goes('green', 'X-Beta' => 'role');
$nginx->restart;
goes('green', 'X-Beta' => 'role');
$record = $nginx->api('PUT', 'upstreams/app', { %$record,
    revision => $nginx->upstream->{record}{revision} + 1 })->{json}{record};
goes('red', Cookie => 'r=1');
goes('green', 'X-Real-IP' => '10.0.0.1', Cookie => 'c=',
    'X-Beta' => 'a "quoted" \\ one');
$nginx->crash;
$nginx->start;
is_deeply $nginx->upstream->{record}, $record, 'after a crash';

ok $nginx->reload(canary => 'zone=edge blue green'), 'without a group';
goes('blue', Cookie => 'x=1');
$r = $nginx->get('/', Cookie => 'r=1');
is $r->{headers}{'x-backend'}, 'blue', 'a group that is gone is stable';
ok $nginx->reload(canary => 'zone=edge blue green red'), 'with it again';
goes('red', Cookie => 'r=1');

# another set of rules each time: whoever answers has those just put

my @clients = map { http_connect($nginx->target) } 1 .. 8;
my $stale = 0;

for my $i (1 .. 150) {
    my $group = $i % 2 ? 'red' : 'green';
    my @filler = ({ if => beta('x' x ($i % 40 + 1)), group => 'blue' })
        x ($i % 15);
    $nginx->put(weights => { blue => 100 }, rules => [@filler,
        { if => beta("now-$i"), group => $group }]);

    $_->send('GET', '/', headers => { 'X-Beta' => "now-$i" }) for @clients;
    $stale += $_->read->{headers}{'x-backend'} ne $group for @clients;
}

is $stale, 0, 'all workers have the new rules when the PUT is answered';

# memory: pages are taken once, for who has rules

$nginx->restart(zone => 'edge 1m');
my ($start) = $nginx->metrics =~ /zone_used_bytes\S+ (\d+)/;
rules({ if => beta(), group => 'green' }) for 1 .. 5;
my ($now) = $nginx->metrics =~ /zone_used_bytes\S+ (\d+)/;
is $now - $start, 32768, 'rules take 32k of the zone';
rules();
ok !exists $nginx->upstream->{record}{rules}, 'none again';
goes('blue', 'X-Beta' => 1);

# many and large; too many, too large

my $many = rules(map { { if => beta("v$_"), group => 'green' } } 1 .. 16);
goes('green', 'X-Beta' => 'v16');
my @nets = map { '10.' . int($_ / 250) . '.' . $_ % 250 . '.0/24' } 0 .. 799;
rules({ if => { cidr => \@nets }, group => 'green' });
goes('green', 'X-Real-IP' => '10.3.49.7');
goes('blue', 'X-Real-IP' => '10.3.50.7');

sub refused {
    my ($field, $detail, @rules) = @_;

    my $r = $nginx->put(weights => { blue => 100 }, rules => ref $rules[0]
        ? \@rules : $rules[0]);
    is $r->{status}, 422, "refused: $field";
    is $r->{json}{field}, $field, 'names the field';
    like $r->{json}{detail}, $detail, 'says what is right';
}

my $rule = { if => beta(), group => 'green' };

refused('rules', qr/at most 16/, ($rule) x 17);
refused('rules', qr/must be an array/, 'x');
refused('rules', qr/bytes, there is room for 16384/,
    { if => { cidr => [(@nets) x 2] }, group => 'green' });
refused('rules', qr/at most 3 rules may have weights/,
    ({ if => beta(), weights => { blue => 100 } }) x 4);
refused('rules[0]', qr/must have "if"/, { group => 'green' });
refused('rules[1]', qr/either "group" or "weights"/, $rule, { if => beta() });
refused('rules[0]', qr/either "group" or "weights"/, { %$rule,
    weights => { blue => 100 } });
refused('rules[0]', qr/nothing else/, { %$rule, then => 1 });
refused('rules[2]', qr/must be an object/, $rule, $rule, []);
refused('rules[0].if', qr/at least one/, { %$rule, if => {} });
refused('rules[0].if', qr/at least one/, { %$rule, if => 'x' });
refused('rules[0].if', qr/takes country, continent/,
    { %$rule, if => { path => '/' } });
refused('rules[0].group', qr/"pink" is not a group/,
    { %$rule, group => 'pink' });
refused('rules[0].group', qr/must be the name/, { %$rule, group => 1 });
refused('rules[0].weights', qr/add up to 100, not 90/, { if => beta(),
    weights => { blue => 90 } });
refused('rules[0].weights', qr/"pink" is not a group/, { if => beta(),
    weights => { pink => 100 } });
refused('rules[0].weights', qr/two decimals/, { if => beta(),
    weights => { blue => 99.999, green => 0.001 } });
refused('rules[2].if.cidr[1]', qr/must be a network/, $rule, $rule,
    { %$rule, if => { cidr => ['10.0.0.0/8', $_] } })
    for '10.0.0.0/33', '10.0.0/8', 'x', '', 10, '::/129', 'unix:', '10.0.0.1 ';
refused('rules[0].if.cidr', qr/not empty/, { %$rule, if => { cidr => [] } });
refused('rules[0].if.cidr', qr/must be an array/,
    { %$rule, if => { cidr => '10.0.0.0/8' } });
refused("rules[0].if.$_->[0]", qr/must have a "name"/,
    { %$rule, if => { $_->[0] => $_->[1] } })
    for ['header', 'x'], ['header', {}], ['header', { value => 1 }],
    ['header', { name => '' }], ['header', { name => 'a b' }],
    ['header', { name => 'a', value => "\x{e9}" }],
    ['header', { name => 'a', value => 1 }],
    ['header', { name => 'a', other => '1' }],
    ['cookie', { name => 'a=b' }], ['cookie', ['a']],
    ['cookie', { name => 'a', value => 'x' x 257 }];
refused("rules[0].if.$_", qr/needs canary_geoip/,
    { %$rule, if => { $_ => ['NZ'] } }) for qw(country continent asn);

# lists of codes and numbers, with a database at hand

use Canary::Mmdb;
my $db = mmdb(tmpdir() . '/x.mmdb', ['10.0.0.0/8' => { x => 1 }]);
ok $nginx->reload(http => "canary_geoip $db;"), 'with canary_geoip';

refused('rules[0].if.country[1]', qr/two capital letters/,
    { %$rule, if => { country => ['NZ', $_] } })
    for 'nz', 'NZL', 'N', '', 'N1', 64;
refused('rules[0].if.continent[0]', qr/one of AF, AN/,
    { %$rule, if => { continent => [$_] } }) for 'XX', 'eu', 'Europe', 1;
refused('rules[0].if.asn[0]', qr/from 1 to 4294967295/,
    { %$rule, if => { asn => [$_] } }) for 0, -1, 1.5, 4294967296, 'AS1';

# a record that was refused changed nothing

is $nginx->upstream->{record}{rules}[0]{if}{cidr}[799], '10.3.49.0/24',
    'the last good one is served';

# a zone that has no room for them

$nginx->restart(http => '', upstreams => '', server => '', workers => 1,
    zone => 'edge 48k');
$r = $nginx->put(weights => { blue => 100 }, rules => [$rule]);
is $r->{status}, 507, 'a full zone';
like $r->{json}{detail}, qr/canary_zone is full/, 'says so';
is $nginx->upstream->{record}{revision}, 0, 'and nothing was changed';
is $nginx->put(weights => { blue => 100 })->{status}, 200,
    'a record without rules fits';

done_testing;
