#!/usr/bin/perl

# canary_geoip: rules by country, continent and ASN; looked up only where a
# rule asks, once a request, and from the file that is there.

use strict;
use warnings;

use FindBin;
use POSIX ();
use lib "$FindBin::Bin/../lib";

use Canary::Test;
use Canary::Mmdb;

my $dir = tmpdir();
my ($blue, $green) = map { backend(name => $_) } qw(blue green);

sub place {
    my ($country, $continent) = @_;

    return { country => { iso_code => $country },
        continent => { code => $continent } };
}

my @places = (
    '10.0.0.0/8' => place('DE', 'EU'),
    '10.1.0.0/16' => place('NZ', 'OC'),
    '10.2.0.0/16' => place('AU', 'OC'),
    '2001:db8::/32' => place('FR', 'EU'),
    '2001:db8:1::/48' => place('NZ', 'OC'),
    '10.9.0.0/16' => { continent => { code => 'AF' } },
    '10.8.0.0/16' => { country => { iso_code => 5, other => 'XX' } },
    '10.7.0.0/16' => { country => { iso_code => 'LONG' } },
);

my $countries = mmdb("$dir/country.mmdb", \@places);
my $asns = mmdb("$dir/asn.mmdb", [
    '10.1.0.0/16' => { autonomous_system_number => 13335 },
    '10.2.0.0/16' => { autonomous_system_number => 4200000001 },
], ip_version => 4);

my $nginx = nginx(
    groups => [blue => $blue, green => $green],
    workers => 1,
    log_level => 'debug',
    http => <<CONF,
canary_geoip $countries refresh=1s;
canary_geoip $asns;
real_ip_header X-Real-IP;
set_real_ip_from 127.0.0.0/8;
set_real_ip_from unix:;
CONF
    upstreams => <<'CONF',
upstream other { canary zone=edge green blue; }
CONF
    location => 'add_header X-Reason $canary_reason;',
    server => <<CONF,
listen unix:$dir/traffic.sock;
location /two {
    auth_request /auth;
    proxy_pass http://app/;
}
location = /auth { internal; proxy_pass http://other/; }
CONF
)->start;


sub rules {
    my ($upstream, @rules) = @_;

    my $r = $nginx->put(upstream => $upstream, weights => {
        $upstream eq 'app' ? 'blue' : 'green', 100 }, rules => \@rules);
    is $r->{status}, 200, "$upstream: " . encode(\@rules) or diag $r->{body};
}


sub goes {
    my ($address, $group, $what) = @_;

    is $nginx->get('/', 'X-Real-IP' => $address)->{headers}{'x-backend'},
        $group, ($what // "$address: $group");
}


sub lookups {
    return scalar(() = $nginx->error_log =~ /http canary: geoip of/g);
}


# no rule, no lookup

goes('10.1.0.1', 'blue', 'without rules');
rules('app', { if => { header => { name => 'X-Beta' } }, group => 'green' });
goes('10.1.0.1', 'blue', 'a rule that needs no place');
is lookups(), 0, 'nothing was looked up';

# countries

rules('app', { if => { country => ['NZ', 'FR'] }, group => 'green' });
goes('10.1.2.3', 'green');
goes('10.1.255.255', 'green');
goes('10.2.0.0', 'blue');
goes('10.3.0.0', 'blue');
goes('192.0.2.1', 'blue');
goes('2001:db8:1::7', 'green');
goes('2001:db8:2::7', 'green');
goes('2001:db9::1', 'blue');
goes('::ffff:10.1.0.1', 'green', 'a mapped address');
is lookups(), 9, 'one lookup for each';

is http("unix:$dir/traffic.sock", 'GET', '/')->{headers}{'x-backend'}, 'blue',
    'a unix socket is nowhere';
is http("unix:$dir/traffic.sock", 'GET', '/', headers =>
    { 'X-Real-IP' => '10.1.0.1' })->{headers}{'x-backend'}, 'green',
    'but for realip';

# a condition that fails before spares the lookup

rules('app', { if => { country => ['NZ'], header => { name => 'X-Beta' } },
    group => 'green' });
my $before = lookups();
goes('10.1.0.1', 'blue', 'both conditions must hold');
is lookups(), $before, 'the header came first';
is $nginx->get('/', 'X-Real-IP' => '10.1.0.1', 'X-Beta' => 1)
    ->{headers}{'x-backend'}, 'green', 'both hold';

# several rules, several upstreams: one lookup a request

rules('app', { if => { country => ['US'] }, group => 'green' },
    { if => { continent => ['AS', 'OC'] }, group => 'green' });
rules('other', { if => { continent => ['EU'] }, group => 'blue' });
$before = lookups();
goes('10.2.0.1', 'green', 'a continent');
is lookups(), $before + 1, 'once for two rules';
is $nginx->get('/two', 'X-Real-IP' => '10.1.0.1')->{headers}{'x-backend'},
    'green', 'two upstreams';
is lookups(), $before + 2, 'once for a request and its subrequest';

# what a database does not have

goes('10.9.0.1', 'blue', 'a place without country');
goes('10.8.0.1', 'blue', 'a country that is no text');
goes('10.7.0.1', 'blue', 'a code that is none');

# ASN, from the other file, which knows no IPv6

rules('app', { if => { asn => [1, 4200000001] }, group => 'green' },
    { if => { asn => [13335], country => ['NZ'] }, group => 'green' },
    { if => { asn => [13335] }, group => 'blue' });
goes('10.2.3.4', 'green', 'an ASN of 32 bits');
goes('10.1.3.4', 'green', 'ASN and country, each of its file');
goes('10.3.3.4', 'blue');
goes('2001:db8:1::7', 'blue', 'IPv6 in an IPv4 database');

# the file is replaced

rules('app', { if => { country => ['NZ'] }, group => 'green' });
goes('10.3.0.1', 'blue', 'before');
mmdb($countries, [@places, '10.3.0.0/16' => place('NZ', 'OC')]);
wait_for {
    $nginx->get('/', 'X-Real-IP' => '10.3.0.1')->{headers}{'x-backend'}
        eq 'green';
} 10, 'the new file';
like $nginx->error_log, qr/country\.mmdb" was replaced and opened anew/,
    'a log line';
goes('10.1.0.1', 'green', 'the rest of it');

# by a broken one, of several kinds

my $good = slurp($countries);
my $nodes = substr $good, 0, 600;
my $marker = index $good, "\xab\xcd\xefMaxMind.com";

for my $broken (['nothing', ''], ['noise', 'x' x 5000],
    ['half of it', substr $good, 0, length($good) / 2],
    ['the end of it', substr $good, $marker - 10],
    ['a tree that leads nowhere', "\xff" x 600 . substr $good, 600])
{
    my ($what, $text) = @$broken;
    my $was = () = $nginx->error_log =~ /cannot be used/g;

    spew("$dir/new", $text);
    rename "$dir/new", $countries or die;
    wait_for {
        goes_quietly();
        $was < (() = $nginx->error_log =~ /cannot be used/g);
    } 10, "$what is refused";
    goes('10.3.0.1', 'green', "$what: the old one stays in use");
}

sub goes_quietly { $nginx->get('/', 'X-Real-IP' => '10.3.0.1') }

POSIX::mkfifo("$dir/pipe", 0600) or die;
rename "$dir/pipe", $countries or die;
wait_for {
    goes_quietly();
    $nginx->error_log =~ /it is not a regular file/;
} 10, 'a pipe is refused';
goes('10.3.0.1', 'green', 'a pipe: the old one stays in use');

my $said = () = $nginx->error_log =~ /cannot be used/g;
is $said, 6, 'each is said once';

unlink $countries;
wait_for {
    goes_quietly();
    $nginx->error_log =~ /country\.mmdb" is gone/;
} 10, 'a missing file';
goes('10.3.0.1', 'green', 'gone: the old one stays in use');

mmdb($countries, \@places);
wait_for {
    $nginx->get('/', 'X-Real-IP' => '10.3.0.1')->{headers}{'x-backend'}
        eq 'blue';
} 10, 'a good one again';
goes('10.1.0.1', 'green', 'in use again');

# reloads

for (1 .. 3) {
    ok $nginx->reload, 'reload';
    goes('10.1.0.1', 'green', 'the same after it');
}

# without it

ok $nginx->reload(http => 'set_real_ip_from 127.0.0.0/8;'
    . ' real_ip_header X-Real-IP;'), 'without canary_geoip';
goes('10.1.0.1', 'blue', 'rules of places match nobody');
is $nginx->upstream->{record}{rules}[0]{if}{country}[0], 'NZ',
    'but are kept';
my $r = $nginx->put(weights => { blue => 100 }, rules => [
    { if => { cidr => ['10.0.0.0/8'] }, group => 'green' },
    { if => { country => ['NZ'] }, group => 'green' } ]);
is $r->{status}, 422, 'a new one is refused';
is $r->{json}{field}, 'rules[1].if.country', 'by its field';
like $r->{json}{detail}, qr/needs canary_geoip/, 'and why';

# what nginx -t refuses

spew("$dir/bad.mmdb", 'x' x 1000);

for (
    ["canary_geoip $dir/none.mmdb;", qr/none\.mmdb" cannot be read/],
    ["canary_geoip $dir/bad.mmdb;", qr/bad\.mmdb" cannot be used: /],
    ["canary_geoip $dir;", qr/cannot be used/],
    ["canary_geoip $countries refresh=0;", qr/at least 1s/],
    ["canary_geoip $countries refresh=;", qr/at least 1s/],
    ["canary_geoip $countries x;", qr/refresh=time is one/],
    ["canary_geoip $countries; canary_geoip $countries;", qr/is duplicate/],
) {
    my ($line, $why) = @$_;
    my ($ok, $text) = $nginx->test(http => $line);

    ok !$ok, "refused: $line";
    like $text, $why, 'and says why';
    like $text, qr{test\.conf:\d+}, 'and where';
}

done_testing;
