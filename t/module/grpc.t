#!/usr/bin/perl

# A gRPC call may fail with HTTP status 200; canary_latency response.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my $dir = tmpdir();
my ($port, $plain) = (free_port(), free_port());

# nginx as a gRPC server that ends with what the request asks for, in a
# header (an answer without messages) or in a trailer

my $server = nginx(
    canary => '', force => '', key => '', zone => '', no_location => 1,
    module => '', api_locations => '',
    server => <<"CONF",
listen 127.0.0.1:$port http2;
listen 127.0.0.1:$plain;
location /slow { limit_rate 20k; alias $dir/body; }
location /header { add_header grpc-status \$arg_code; default_type application/grpc; return 200; }
location /trailer { add_trailer grpc-status \$arg_code; default_type application/grpc; alias $dir/; }
location /plain { add_header grpc-status \$arg_code; default_type text/plain; return 200; }
CONF
);

spew("$dir/message", "\0\0\0\0\5hello");
spew("$dir/body", 'x' x 30000);
$server->start;

my $nginx = nginx(
    groups => [g1 => "127.0.0.1:$port", g2 => "127.0.0.1:$port",
        blue => $plain, green => $plain],
    canary => 'zone=edge g1 g2',
    no_location => 1,
    upstreams => <<'CONF',
upstream first { canary zone=edge blue green; canary_latency header; }
upstream last { canary zone=edge blue green; canary_latency response; }
CONF
    server => <<'CONF',
location /call/ { rewrite ^/call(/.*) $1 break; grpc_pass grpc://app; }
location /variable/ {
    set $to app;
    rewrite ^/variable(/.*) $1 break;
    grpc_pass $to;
    grpc_set_header X-Group $canary_group;
    add_header X-Group $canary_group;
}
location /first { proxy_pass http://first/slow; }
location /last { proxy_pass http://last/slow; }
CONF
)->start;


my $variable = $nginx->get('/variable/trailer/message?code=0');
is $variable->{status}, 200, 'grpc_pass with a variable';
is $variable->{headers}{'x-group'}, 'g1', 'knows its group';
is cell()->{requests}, 1, 'and is counted';

sub cell { return $nginx->counted->{groups}{g1}{strata}[0] }


for my $code (0 .. 16) {
    for my $where ('header', 'trailer/message') {
        my $was = cell();
        my $r = $nginx->get("/call/$where?code=$code");

        is $r->{status}, 200, "$where $code: 200";

        my $now = cell();
        my $failed = (grep { $_ == $code } 2, 4, 13, 14, 15) ? 1 : 0;

        is $now->{failures}{grpc} - $was->{failures}{grpc}, $failed,
            "$where $code: " . ($failed ? 'a failure' : 'none');
        is $now->{errors} - $was->{errors}, $failed, "$where $code: judged";
    }
}

my $was = cell();
$nginx->get('/call/plain?code=14');
is cell()->{errors}, $was->{errors}, 'only for application/grpc';

# a body that takes its time

for my $upstream ('first', 'last') {
    my $r = $nginx->get("/$upstream");
    is length $r->{body}, 30000, "$upstream: the body";
}

my %us = map {
    $_ => $nginx->counted($_)->{groups}{blue}{strata}[0]{latency_sum_us}
} 'first', 'last';

cmp_ok $us{first}, '<', 300_000, "the first byte after $us{first} us";
cmp_ok $us{last}, '>', 400_000, "the last after $us{last} us";

my ($ok, $text) = $nginx->test(upstreams =>
    'upstream last { canary zone=edge blue green; canary_latency first; }');
ok !$ok, 'canary_latency first is refused';
like $text, qr/invalid value "first"/, 'the reason';

done_testing;
