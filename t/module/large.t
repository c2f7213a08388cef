#!/usr/bin/perl

# A thousand upstreams: the zone that the docs give holds them, and answers
# about all of them are whole, made in slices between other requests.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;
use Canary::Prometheus;

my $n = 1000;
my $workers = 4;

my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $upstreams = join '', map { "upstream u$_ { canary zone=edge blue green; }\n" }
    1 .. $n;

my $nginx = nginx(groups => [blue => $blue, green => $green],
    workers => $workers, zone => 'edge 200m', canary => '',
    proxy_pass => 'http://u1', upstreams => $upstreams,
    allow => [qr/\[emerg\] .* is too small/, qr/\[emerg\] .* was too small/]);

# nginx -t says at level debug what each takes; docs/directives.md makes a
# size of it

my ($ok, $said) = $nginx->test(log_level => 'debug');

ok $ok, "$n upstreams of two groups" or diag $said;

my ($entry, $groups, $cell, $shards) = $said =~ /"u1000" takes (\d+) bytes and, for each of its (\d) groups, (\d+) for .* \((\d) shards\)/;
is "$groups $shards", '2 4', 'nginx -t says what each takes';
is $cell, 4096 * $shards, 'a page for each shard';
like $said, qr/canary_zone "edge" has \d+ bytes, of which \d+ are taken/,
    'and what all take';

my $size = sprintf '%dm', $n * ($entry + 2 * $groups * $cell) * 1.02 / 2**20
    + 1;

($ok, $said) = $nginx->test(zone => "edge $size");
ok $ok, "they fit the size of the docs, $size" or diag $said;
unlike $said, qr/ takes \d+ bytes/, 'which is said at level debug only';

my ($fits) = $size =~ /(\d+)/;
my $half = int($fits / 2) . 'm';
($ok, $said) = $nginx->test(zone => "edge $half");
ok !$ok, "but not $half";
my ($need) = $said =~ /is too small: $n canary upstreams and 4 counter shards need (\d+)k/;
ok $need, 'which is said' or diag $said;
($ok) = $nginx->test(zone => "edge ${need}k");
ok $ok, "and the size that is said, ${need}k, is enough";
cmp_ok $need / 1024, '<=', $fits, 'which is not above what the docs give';

$nginx->start(zone => "edge $size");

# whole answers, of all upstreams

my $r = $nginx->api('GET', 'upstreams');
is $r->{status}, 200, 'GET upstreams';
is scalar(keys %{ $r->{json}{upstreams} }), $n, 'all are there';
is $r->{headers}{'content-length'}, length $r->{body}, 'with a length';
is $r->{json}{upstreams}{u1000}{record}{revision}, 0, 'to the last';

my $head = $nginx->api('HEAD', 'upstreams');
is $head->{status}, 200, 'HEAD';
is $head->{headers}{'content-length'}, length $r->{body}, 'the same length';

my ($families, @errors) = Canary::Prometheus::parse($nginx->metrics);
is_deeply \@errors, [], 'metrics are valid';
is scalar(@{ $families->{nginx_canary_revision}{samples} }), $n,
    'of all upstreams';

# one worker: small requests are answered while a large one is made

$nginx->restart(workers => 1);

my $large = http_connect($nginx->{api});
my $small = http_connect($nginx->{api});
my $between = 0;

for (1 .. 5) {
    $small->request('GET', '/canary/upstreams/u1');
    $large->send('GET', '/canary/upstreams');

    my $done;

    until ($done) {
        $small->request('GET', '/canary/upstreams/u1');
        $done = length $large->{buffer} || IO::Select->new($large->{socket})
            ->can_read(0);
        $between++ unless $done;
    }

    is scalar(keys %{ $large->read->{json}{upstreams} }), $n, 'whole';
}

cmp_ok $between, '>=', 5, "$between requests went in between";

# pipelined, and left alone

$large->send('GET', '/canary/upstreams')->send('GET', '/metrics')
    ->send('GET', '/canary/upstreams/u7');
is scalar(keys %{ $large->read->{json}{upstreams} }), $n, 'the first';
like $large->read->{body}, qr/^# HELP nginx_canary_build_info/, 'the second';
is $large->read->{json}{upstream}, 'u7', 'the third';

for (1 .. 20) {
    my $c = http_connect($nginx->{api});
    $c->send('GET', $_ % 2 ? '/canary/upstreams' : '/metrics');
    $small->request('GET', '/canary/upstreams/u1');
    $c->close;
}

is $small->request('GET', '/canary/upstreams/u1')->{status}, 200,
    'clients that leave';

# a reload and a stop while answers are made

$large->send('GET', '/canary/upstreams');
ok $nginx->reload, 'a reload meanwhile';
is scalar(keys %{ $large->read->{json}{upstreams} // {} }), $n,
    'does not cut it short';
$nginx->settled;

# nginx has both requests of a connection when it answers the first

my @c = map { http_connect($nginx->{api}) } 1 .. 4;
$_->write(join '', map { "GET $_ HTTP/1.1\r\nHost: x\r\n\r\n" }
    '/canary/upstreams/u1', '/metrics') for @c;
is join(' ', map { $_->read->{status} } @c), '200 200 200 200', 'small ones';
$nginx->kill('QUIT');
is join(' ', map { $_->read->{status} } @c), '200 200 200 200',
    'nor does the end of nginx';
is $nginx->stop('QUIT'), 0, 'which comes then';

done_testing;
