# Too many connections by TCP: more are refused, other addresses and the unix
# socket do not notice, and when some end the next are taken.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Auth;
use Canary::Test;
use IO::Select;
use IO::Socket::INET;

my $max = 300;
my $dir = tmpdir();
my ($file, %token) = tokens_file(ann => 'admin');
my ($port, $other, $tls) = map { free_port() } 1 .. 3;

my ($code, $out, $err) = run(qw(openssl req -x509 -newkey rsa:2048 -nodes
    -days 2 -subj /CN=canaryd -keyout), "$dir/key", '-out', "$dir/crt",
    '-addext', 'subjectAltName=IP:127.0.0.1');
$code == 0 or die $err;
chmod 0600, "$dir/key";

# the soft limit of descriptors would not do
my $s = stack(prefix => ['prlimit', '--nofile=200:4096'],
    args => ['--listen', "127.0.0.1:$port", '--listen', "127.0.0.1:$other",
        '--listen', "tls:127.0.0.1:$tls"],
    config => "connections: $max\nauth: {tokens: $file}\n"
        . "tls: {certificate: $dir/crt, key: $dir/key}\n");
my $canaryd = $s->{canaryd};


sub dial {
    my ($to) = @_;

    return IO::Socket::INET->new(PeerAddr => "127.0.0.1:$to")
        // die "connect: $!";
}


sub metric {
    my ($name, $listen) = @_;

    my ($value) = $canaryd->get('/metrics')->{body}
        =~ /^\Q$name\E\{listen="\Q$listen\E"\} (\d+)$/m;

    return $value;
}


# Is it closed by canaryd?

sub closed {
    my ($socket) = @_;

    return IO::Select->new($socket)->can_read(10)
        && !sysread $socket, my $byte, 1;
}


sub complaints { return scalar(() = $canaryd->log =~ /too many conn/g) }


# Half of them say nothing, the others never end their request or handshake.

sub flood {
    my ($to, $count) = @_;

    return map {
        my $socket = dial($to);
        syswrite $socket, $to == $tls ? "\x16\x03\x01"
            : "GET /v1/upstreams HTTP/1.1\r\nHost: x\r\nX-Slow: " if $_ % 2;
        $socket;
    } 1 .. $count;
}


for ([$port, "127.0.0.1:$port"], [$tls, "tls:127.0.0.1:$tls"]) {
    my ($to, $listen) = @$_;
    my $before = complaints();

    subtest "$listen is full" => sub {
        my @idle = flood($to, $max);
        wait_for { metric('canaryd_connections', $listen) == $max } 20,
            'all to be accepted';
        is metric('canaryd_connections_refused_total', $listen), 0,
            'none is refused yet';

        my @more = flood($to, 100);
        is scalar(grep { closed($_) } @more), 100, 'all others are';
        is metric('canaryd_connections_refused_total', $listen), 100,
            'and counted';
        is metric('canaryd_connections', $listen), $max, 'the first stay';
        is complaints(), $before + 1, 'a line in the log, one';

        my $rollout = $canaryd->start_rollout(
            steps => [{ weight => 20, hold => '1h' }]);
        is $canaryd->command_rollout($rollout, 'abort')->{status}, 200,
            'the unix socket works: an abort';
        $canaryd->wait_state($rollout, 'aborted');
        is http("127.0.0.1:$other", 'GET', '/v1/upstreams',
            bearer($token{ann}))->{status}, 200, 'so does another address';

        close $_ for splice @idle, 0, 20;
        my $status;
        wait_for {
            ($status) = run('curl', '-sS', '--cacert', "$dir/crt", '-H',
                "Authorization: Bearer $token{ann}",
                ($to == $tls ? 'https' : 'http')
                    . "://127.0.0.1:$to/v1/upstreams");
            $status == 0;
        } 20, 'a place';
        is $status, 0, 'and when some have gone others are taken';

        my $alive = 0;
        for (@idle) {
            syswrite $_, "\r\n\r\n" if $to != $tls;
            $alive++ if $to == $tls ? !IO::Select->new($_)->can_read(0)
                : IO::Select->new($_)->can_read(5);
        }
        is $alive, $max - 20, 'who was let in is not thrown out';
    };
}


subtest 'short ones' => sub {
    my $refused = metric('canaryd_connections_refused_total',
        "127.0.0.1:$other");
    my %status;
    $status{ http("127.0.0.1:$other", 'GET', '/v1/upstreams',
        bearer($token{ann}), close => 1)->{status} }++ for 1 .. 2 * $max;
    is_deeply \%status, { 200 => 2 * $max },
        'more than the limit, one after the other';
    is metric('canaryd_connections_refused_total', "127.0.0.1:$other"),
        $refused, 'none was refused';
};

done_testing;
