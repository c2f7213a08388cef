#!/usr/bin/perl

# Every kind of trouble at once, under load: what nginx counted is what the
# backends did and the clients saw, to the request.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;
use Socket qw(SOL_SOCKET SO_LINGER);

my ($dead, $grpc, $socket) = map { free_port() } 1 .. 3;
my %b = map { $_ => backend(name => $_) } qw(blue green spare slow);

# a gRPC server that fails if it is told to, and one for web sockets

my $server = nginx(canary => '', force => '', key => '', zone => '',
    no_location => 1, module => '', api_locations => '',
    server => <<"CONF")->start;
listen 127.0.0.1:$grpc http2;
location / { add_header grpc-status \$arg_code; default_type application/grpc; return 200; }
CONF

spawn(name => 'web sockets', err => tmpdir() . '/ws', cmd => [$^X,
    '-MIO::Socket::INET', '-e', <<'PERL', $socket]);
my $listen = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$ARGV[0]",
    Listen => 64, ReuseAddr => 1) or die $!;
$SIG{CHLD} = 'IGNORE';
while (1) {
    my $c = $listen->accept or next;
    next if fork;
    my $head = '';
    until ($head =~ /\r\n\r\n/) {
        sysread $c, $head, 1, length $head or exit;
    }
    syswrite $c, "HTTP/1.1 101 Switching Protocols\r\n"
        . "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    while (sysread $c, my $bytes, 100) {
        last if $bytes =~ /bye/;
        syswrite $c, $bytes;
    }
    exit;
}
PERL
wait_for { IO::Socket::INET->new("127.0.0.1:$socket") } 20, 'web sockets';

my $nginx = nginx(
    groups => [%b],
    location => "proxy_next_upstream off;\nproxy_read_timeout 400ms;\n",
    upstreams => <<CONF,
upstream dead { server 127.0.0.1:$dead; }
upstream down { server 127.0.0.1:$dead down; }
upstream rpc { server 127.0.0.1:$grpc; }
upstream ws { server 127.0.0.1:$socket; }
upstream refused { canary zone=edge dead spare; }
upstream nobody { canary zone=edge down spare; }
upstream rescued { canary zone=edge spare dead; canary_key \$arg_k; canary_failover on; }
upstream calls { canary zone=edge rpc spare; }
upstream left { canary zone=edge slow spare; }
upstream sockets { canary zone=edge ws spare; }
CONF
    http => "map \$http_upgrade \$up { default upgrade; '' close; }",
    server => <<'CONF',
location /refused { proxy_pass http://refused; }
location /nobody { proxy_pass http://nobody; }
location /rescued { proxy_pass http://rescued; }
location /calls { grpc_pass grpc://calls; }
location /sockets {
    proxy_pass http://sockets;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $up;
}
location /left { proxy_pass http://left; }
CONF
)->start;


sub put {
    my (%record) = @_;

    my $r = $nginx->put(%record);
    is $r->{status}, 200, 'put' or diag $r->{body};
}


sub cell {
    my ($upstream, $group, $pinned) = @_;

    my $g = $nginx->counted($upstream)->{groups}{$group};

    return $pinned ? $g->{pinned} : $g->{strata}[0];
}


sub sum { my $n = 0; $n += $_ for @_; return $n }


put(weights => { blue => 60, green => 40 });
put(upstream => 'rescued', weights => { spare => 50, dead => 50 });
$b{green}->set(error => 0.06, reset => 0.06, truncate => 0.06, hang => 0.01,
    seed => 11);

# all at once

my %load = (
    app => load_start($nginx, requests => 12000, connections => 8,
        header => 'X-User: %d'),
    refused => load_start($nginx, requests => 1000, path => '/refused'),
    nobody => load_start($nginx, requests => 1000, path => '/nobody'),
    rescued => load_start($nginx, requests => 1000, path => '/rescued?k=%d'),
    fine => load_start($nginx, requests => 500, path => '/calls?code=0'),
    bad => load_start($nginx, requests => 500, path => '/calls?code=14'),
);

# clients that leave, and web sockets, meanwhile

my ($aborts, $sockets, @leaving) = (0, 0);

for my $round (1 .. 20) {
    my $c = http_connect($nginx->target);
    $c->send('GET', '/left?hang=1');
    my $ws = http_connect($nginx->target);
    $ws->write("GET /sockets HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        . "Connection: Upgrade\r\n\r\n");
    $ws->until_match(qr/101 Switching.*\r\n\r\n/s, time + 20);
    $ws->{buffer} = '';
    $ws->write('hello');
    $sockets++ if $ws->until_match(qr/hello/, time + 20);

    # one in three is ended by the server, by a polite and by a rude client

    if ($round % 3 == 0) {
        $ws->write('bye');
    } elsif ($round % 3 == 1) {
        setsockopt $ws->{socket}, SOL_SOCKET, SO_LINGER, pack 'II', 1, 0;
    }

    $aborts++;
    $ws->close;
    push @leaving, $c;

    # not before its backend has it

    wait_for { $b{slow}->counts->{hung} == $aborts } 20, 'the attempt';
    (shift @leaving)->close if $round % 2;
}

my %total = map { $_ => $load{$_}->wait->{total} } keys %load;
$_->close for @leaving;

my %cell = map { $_ => cell('app', $_) } qw(blue green);
$cell{ws} = cell('sockets', 'ws');
$cell{slow} = cell('left', 'slow');

is_deeply [@{ $cell{slow} }{qw(aborts attempts requests errors)}],
    [20, 20, 0, 0], 'clients that left';
is $sockets, 20, 'web sockets worked';

my %did = map { $_ => $b{$_}->counts } keys %b;

for my $g (qw(blue green)) {
    my ($c, $did) = ($cell{$g}, $did{$g});

    is $c->{attempts}, $did->{requests}, "$g: attempts";
    is $c->{selections}{weight}, $did->{requests}, "$g: selections";
    is $c->{requests}, $did->{requests}, "$g: judged";
    is $c->{errors}, sum(values %{ $c->{failures} }), "$g: errors";
    is $c->{failures}{http_5xx}, $did->{status}{500}, "$g: 5xx";
    is $c->{failures}{reset}, $did->{reset}, "$g: resets";
    is $c->{failures}{truncated}, $did->{truncated}, "$g: truncated";
    is $c->{failures}{timeout}, $did->{hung}, "$g: timeouts";
    is sum(values %{ $c->{latency_us} }), $c->{requests} - $c->{errors},
        "$g: latencies";
}

my ($app, $g) = ($total{app}, $cell{green});

is $app->{requests}, 12000, 'clients sent them all';
is sum(map { $cell{$_}{attempts} } qw(blue green)), 12000,
    'and all were counted';
is $app->{status}{500}, $g->{failures}{http_5xx}, 'clients saw the 500s';
is $app->{status}{502}, $g->{failures}{reset}, 'the resets as 502';
is $app->{status}{504}, $g->{failures}{timeout}, 'the timeouts as 504';
is $app->{status}{200}, 12000 - $g->{errors}, 'and the rest as 200'
    or diag encode($app);
cmp_ok $g->{failures}{$_}, '>', 10, "there were $_"
    for qw(http_5xx reset truncated timeout);

# the other upstreams

my $c = cell('refused', 'dead');
is_deeply [@$c{qw(requests errors attempts finished)}, $c->{failures}{connect}
    + $c->{failures}{no_live}], [1000, 1000, $c->{failures}{connect},
    $c->{failures}{connect}, 1000], 'refused connections';
is $total{refused}{status}{502}, 1000, 'are 502 for clients';

$c = cell('nobody', 'down');
is_deeply [@$c{qw(requests errors attempts finished)}, $c->{failures}{no_live}],
    [1000, 1000, 0, 0, 1000], 'no live server';
is $total{nobody}{status}{502}, 1000, 'is 502 for clients';

my ($from, $to) = (cell('rescued', 'dead'), cell('rescued', 'spare'));
my $helped = cell('rescued', 'spare', 1);
is $total{rescued}{status}{200}, 1000, 'failover: clients saw nothing';
is $from->{requests} + $to->{requests}, 1000, 'all are judged';
is $from->{errors}, $from->{requests}, 'each on the dead one is an error';
is $from->{rescued}, $from->{requests}, 'and rescued';
cmp_ok $from->{rescued}, '>', 100, 'there were many';
is $helped->{selections}{failover}, $from->{requests}, 'by stable';
is $to->{errors}, 0, 'which has no error';
is $did{spare}{requests}, 1000, 'and did all the work';

$c = cell('calls', 'rpc');
is_deeply [@$c{qw(requests errors attempts)}, $c->{failures}{grpc},
    $c->{responses}{'2xx'}], [1000, 500, 1000, 500, 1000], 'gRPC';
is sum(map { $total{$_}{status}{200} } qw(fine bad)), 1000,
    'which is 200 for clients';

$c = $cell{ws};
is_deeply [@$c{qw(requests errors attempts aborts)}, $c->{responses}{'1xx'}],
    [20, 0, 20, 0, 20], 'web sockets are answers, however they end';
is sum(values %{ $c->{latency_us} }), 0, 'without a latency';

done_testing;
