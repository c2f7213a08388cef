#!/usr/bin/perl

# nginx -t refuses what cannot work, with file, line and reason.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my $nginx = nginx(
    groups => [blue => 1, green => 1],
    allow => [qr/\[emerg\]/],
);


sub refused {
    my ($what, $reason, %change) = @_;

    my ($ok, $text) = $nginx->test(%change);

    ok !$ok, "$what is refused";
    like $text, $reason, "$what: the reason";
    like $text, qr/\btest\.conf:\d+/, "$what: file and line";
}


sub accepted {
    my ($what, %change) = @_;

    my ($ok, $text) = $nginx->test(%change);

    ok $ok, "$what is accepted" or diag $text;
}


sub block {
    my ($text) = @_;

    return (app_block => "upstream app {\n$text\n}\n");
}


accepted 'the usual';
accepted 'an upstream before its groups',
    block(''), canary => '', app_block => '', http => <<'CONF',
upstream app { canary zone=edge late1 late2; }
upstream late1 { server 127.0.0.1:1; }
upstream late2 { server 127.0.0.1:1; }
CONF
    proxy_pass => 'http://app';
accepted 'eight groups', block('canary zone=edge ' . join(' ',
    map { "127.0.0.1:$_" } 1 .. 8) . ';');
accepted 'an address as group', block('canary zone=edge blue 127.0.0.1:8;');
accepted 'a zone that is declared later', zone => '', upstreams =>
    'canary_zone edge 1m;';

refused 'an unknown group',
    qr/unknown group "gren" in canary upstream "app"/,
    canary => 'zone=edge blue gren';
refused 'a group that is a canary upstream',
    qr/group "inner" of canary upstream "app" is a canary upstream itself/,
    canary => 'zone=edge blue inner',
    upstreams => 'upstream inner { canary zone=edge blue green; }';
refused 'an upstream as its own group', qr/is a canary upstream itself/,
    canary => 'zone=edge blue app';
refused 'one group', qr/takes 2 to 8 groups, not 1/,
    canary => 'zone=edge blue';
refused 'nine groups', qr/takes 2 to 8 groups, not 9/, block(
    'canary zone=edge ' . join(' ', map { "127.0.0.1:$_" } 1 .. 9) . ';');
refused 'a group twice', qr/duplicate group "blue"/,
    canary => 'zone=edge blue blue';
refused 'no zone=', qr/must begin with zone=name, not "blue"/,
    canary => 'blue green red';
refused 'a zone nobody declared',
    qr/unknown canary_zone "other" in canary upstream "app"/,
    canary => 'zone=other blue green';
refused 'canary twice', qr/"canary" directive is duplicate/,
    app => 'canary zone=edge blue green;';
refused 'a long group name', qr/longer than 63 characters/,
    canary => 'zone=edge blue ' . 'g' x 64;
refused 'zone in the block',
    qr/"zone" is not allowed in canary upstream "app"/, app => 'zone z 64k;';
refused 'server in the block',
    qr/"server" is not allowed in canary upstream "app"/,
    app => 'server 127.0.0.1:1;';
refused 'keepalive after canary',
    qr/"keepalive" is not allowed in canary upstream "app"/,
    app => 'keepalive 8;';
refused 'keepalive before canary',
    qr/"keepalive" is not allowed beside "canary"/,
    block("keepalive 8;\ncanary zone=edge blue green;");
refused 'a balancing method before canary', qr/not allowed beside "canary"/,
    block("least_conn;\ncanary zone=edge blue green;");
refused 'a balancing method after canary',
    qr/balancing method .* is not allowed in canary upstream "app"/,
    app => 'random;';
refused 'a tiny zone', qr/canary_zone "edge" is too small: 8k, at least/,
    zone => 'edge 8k';
refused 'a zone too small for its upstreams',
    qr/canary_zone "edge" of 64k is too small: 1 canary upstreams and .*need \d+k/,
    zone => 'edge 64k', workers => 8;
refused 'a zone without size', qr/invalid zone size "big"/,
    zone => 'edge big';
refused 'a zone twice', qr/duplicate canary_zone "edge"/,
    upstreams => 'canary_zone edge 1m;';
refused 'an unknown zone parameter', qr/invalid parameter "stat=x"/,
    zone => 'edge 1m stat=x';
refused 'an empty state file', qr/invalid parameter "state="/,
    zone => 'edge 1m state=';
refused 'canary_key twice', qr/"canary_key" directive is duplicate/,
    app => 'canary_key $uri;';
refused 'canary_api with a wrong parameter',
    qr/invalid parameter "write=yes"/,
    api_locations => 'location /c/ { canary_api write=yes; }';
refused 'canary_api beside canary_metrics', qr/is duplicate/,
    api_locations => 'location /c/ { canary_api; canary_metrics; }';
refused 'canary outside of upstream', qr/"canary" directive is not allowed/,
    server => 'canary zone=edge blue green;';

# the size it asks for is enough, and not far too much

my ($ok, $text) = $nginx->test(zone => 'edge 64k', workers => 8);
my ($need) = $text =~ /need (\d+)k/;

accepted "a zone of ${need}k", zone => "edge ${need}k", workers => 8;
cmp_ok $need, '<', 256, 'it is not far too much';

# what the zone holds is said at debug level; docs/performance.md has the rule

my $thousand = join '', map { "upstream u$_ { canary zone=edge blue green; }\n" }
    1 .. 1000;
my @size = (upstreams => $thousand, groups => [blue => 1, green => 1],
    workers => 2, canary => '', no_location => 1, log_level => 'debug');

($ok, $text) = nginx()->test(@size, zone => 'edge 21m');
ok $ok, '1000 upstreams of 2 groups fit 21m with 2 workers' or diag $text;
like $text, qr/canary_zone "edge": 4096 bytes an upstream, 8192 a group/,
    'and nginx -t says what they take';

($ok) = nginx()->test(@size, zone => 'edge 19m');
ok !$ok, 'but not 19m';

done_testing;
