#!/usr/bin/perl

# The API and the metrics as HTTP: old versions, kept connections, pipelines,
# pieces, and who may come.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;
use IO::Socket::UNIX;

my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $port = free_port();
my $nginx = nginx(groups => [blue => $blue, green => $green],
    servers => <<"CONF")->start;
server {
    listen 127.0.0.1:$port;
    location /open/ { canary_api write=on; }
    location /closed/ { canary_api write=on; allow 10.0.0.0/8; deny all; }
    location /metrics { canary_metrics; deny all; }
    location /readonly/ { canary_api; limit_except GET { deny all; } }
}
CONF

my $revision = 0;


sub record {
    return encode({ revision => ++$revision, stable => 'blue',
        weights => { blue => 90, green => 10 } });
}


# bytes as they are; all that comes until the other side closes

sub raw {
    my ($text) = @_;

    my $socket = IO::Socket::UNIX->new(Peer => "$nginx->{dir}/api.sock");
    my $answer = '';

    print $socket $text;
    $socket->flush;
    1 while sysread $socket, $answer, 65536, length $answer;

    return $answer;
}


# HTTP/1.0, with and without kept connections

my $answer = raw("GET /canary/upstreams/app HTTP/1.0\r\n\r\n");
like $answer, qr{\AHTTP/1\.1 200 OK\r\n}, 'HTTP/1.0';
like $answer, qr/^Connection: close\r$/m, 'is closed';
my ($head, $body) = split /\r\n\r\n/, $answer, 2;
is decode($body)->{upstream}, 'app', 'the whole answer';

my $put = record();
$answer = raw("PUT /canary/upstreams/app HTTP/1.0\r\n"
    . "Connection: keep-alive\r\nContent-Type: application/json\r\n"
    . 'Content-Length: ' . length($put) . "\r\n\r\n$put"
    . "GET /metrics HTTP/1.0\r\n\r\n");
like $answer, qr/^Connection: keep-alive\r$/m, 'HTTP/1.0 that is kept';
like $answer, qr/"revision": 1,/, 'a write';
like $answer, qr/^nginx_canary_revision\{upstream="app"\} 1$/m,
    'and the next one';

$answer = raw("GET /canary/upstreams/app\r\n");
like $answer, qr/\A\{"upstream": "app"/, 'HTTP/0.9';

# many on one connection, of every kind

my $c = http_connect($nginx->{api});

for (1 .. 50) {
    is $c->request('GET', '/canary/upstreams/app')->{status}, 200, 'GET'
        or last;
    my $r = $c->request('PUT', '/canary/upstreams/app', body => record(),
        headers => { 'Content-Type' => 'application/json' });
    is $r->{status}, 200, 'PUT' or diag $r->{body};
    is $c->request('GET', '/canary/nothing')->{status}, 404, 'nothing there';
    is $c->request('PUT', '/canary/upstreams/app', body => 'x',
        headers => { 'Content-Type' => 'text/plain' })->{status}, 415,
        'a body that is not read';
    is $c->request('HEAD', '/canary/upstreams')->{status}, 200, 'HEAD';
    is $c->request('DELETE', '/canary/upstreams/app', body => 'y' x 5000)
        ->{status}, 405, 'a body that nobody wants';
}

# HEAD has the length of GET, and an Expect is answered

for my $path ('/canary/upstreams', '/canary/upstreams/app', '/metrics') {
    my $get = $c->request('GET', $path);
    my $head = $c->request('HEAD', $path);

    is $head->{body}, '', "HEAD $path";
    is $head->{headers}{'content-type'}, $get->{headers}{'content-type'},
        'the same type';
    is $head->{headers}{'content-length'}, $get->{headers}{'content-length'},
        'and length';
}

$put = record();
is $c->request('PUT', '/canary/upstreams/app', body => $put, headers => {
    'Content-Type' => 'application/json', Expect => '100-continue' })
    ->{status}, 200, 'Expect: 100-continue';

# pipelined: answers come in order, each write is seen by what follows

my $first = $revision + 1;

for (1 .. 20) {
    $c->send('PUT', '/canary/upstreams/app', body => record(),
        headers => { 'Content-Type' => 'application/json' });
    $c->send('GET', '/canary/upstreams/app');
}

my @wrong;

for my $r ($first .. $revision) {
    push @wrong, $r if $c->read->{json}{record}{revision} != $r;
    push @wrong, $r if $c->read->{json}{record}{revision} != $r;
}

is_deeply \@wrong, [], '40 pipelined requests';

# chunks of one byte, and a chunked body that is too large

$put = record();
$answer = raw("PUT /canary/upstreams/app HTTP/1.1\r\nHost: x\r\n"
    . "Connection: close\r\nContent-Type: application/json\r\n"
    . "Transfer-Encoding: chunked\r\n\r\n"
    . join('', map { "1\r\n$_\r\n" } split //, $put) . "0\r\n\r\n");
like $answer, qr{\AHTTP/1\.1 200 }, 'chunks of one byte';
like $answer, qr/"revision": $revision,/, 'are put together';

my $chunk = "4000\r\n" . ' ' x 0x4000 . "\r\n";
$answer = raw("PUT /canary/upstreams/app HTTP/1.1\r\nHost: x\r\n"
    . "Connection: close\r\nContent-Type: application/json\r\n"
    . "Transfer-Encoding: chunked\r\n\r\n" . $chunk x 5 . "0\r\n\r\n");
like $answer, qr{\AHTTP/1\.1 413 }, 'a chunked body above 64 KiB';

# a body that never comes, and a client that leaves before its end

$c = http_connect($nginx->{api});
$c->write("PUT /canary/upstreams/app HTTP/1.1\r\nHost: x\r\n"
    . "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{");
$c->close;
is $nginx->upstream->{record}{revision}, $revision, 'half a body';

# who may come

is http($port, 'GET', '/open/upstreams/app')->{status}, 200, 'over TCP';
is http($port, 'GET', '/closed/upstreams/app')->{status}, 403, 'deny all';
is http($port, 'PUT', '/closed/upstreams/app', body => record(), headers =>
    { 'Content-Type' => 'application/json' })->{status}, 403,
    'deny all of a write';
is http($port, 'GET', '/metrics')->{status}, 403, 'deny for metrics';
is http($port, 'PUT', '/readonly/upstreams/app', body => record(), headers =>
    { 'Content-Type' => 'application/json' })->{status}, 403, 'limit_except';
is http($port, 'PUT', '/readonly/../open/upstreams/app', body => record(),
    headers => { 'Content-Type' => 'application/json' })->{status}, 200,
    'a path is what nginx makes of it';
is http($port, 'GET', '/open//upstreams/%61pp?x=1')->{status}, 200,
    'as for other locations';

done_testing;
