# TLS to Redis, where hiredis has it; where it has not, the configuration says
# so.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $dir = tmpdir() . '/tls';
mkdir $dir or die $!;


sub openssl {
    my ($code, $out, $err) = run('openssl', @_);
    die "openssl @_: $err\n" if $code;
}


# A certificate for 127.0.0.1 by that authority.

sub certificate {
    my ($name, $ca) = @_;

    openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', "/CN=$name",
        '-keyout', "$dir/$name.key", '-out', "$dir/$name.csr");
    spew("$dir/$name.ext", "subjectAltName=IP:127.0.0.1\n");
    openssl('x509', '-req', '-in', "$dir/$name.csr", '-days', 2,
        '-CA', "$dir/$ca.pem", '-CAkey', "$dir/$ca.key", '-CAcreateserial',
        '-extfile', "$dir/$name.ext", '-out', "$dir/$name.pem");
}

for my $ca (qw(ca other)) {
    openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', 2,
        '-subj', "/CN=$ca", '-keyout', "$dir/$ca.key",
        '-out', "$dir/$ca.pem");
}

certificate('server', 'ca');
certificate('client', 'ca');

my $port = free_port();


sub config {
    my ($ca, $cert) = @_;

    return "redis: {address: 'rediss://127.0.0.1:$port', ca: $dir/$ca.pem"
        . ($cert ? ", cert: $dir/$cert.pem, key: $dir/$cert.key" : '')
        . "}\n";
}

my ($code, $out, $err) = run(build() . '/canaryd', '--test-config',
    '--config', spew("$dir/canaryd.yaml", config('ca', 'client')));

if ($code) {
    like $err, qr/hiredis/, 'a hiredis without TLS: the configuration says so';
    done_testing;
    exit;
}

my $redis = redis(args => ['--tls-port', $port,
    '--tls-cert-file', "$dir/server.pem", '--tls-key-file', "$dir/server.key",
    '--tls-ca-cert-file', "$dir/ca.pem", '--tls-auth-clients', 'yes']);
my @groups = map { $_ => backend(name => $_) } qw(blue green);
my $nginx = nginx(groups => \@groups)->start;
my $canaryd = canaryd(nginx => $nginx, config => config('ca', 'client'));
my $load = load_start($nginx, rate => 100, header => 'X-User: %d');
my $r = $canaryd->start_rollout(steps => [{ weight => 40, hold => '1h' }]);

wait_for {
    my $x = $canaryd->rollout($r);
    $x->{judgement} && $x->{judgement}{requests}[0] > 20;
} 30, 'a rollout over TLS';
pass 'a rollout is driven';

$canaryd->command_rollout($r, 'abort');
$canaryd->wait_state($r, 'aborted');
pass 'and aborted';

# a restart: both connections come back

$redis->stop;
wait_for { $canaryd->get('/ready')->{status} == 503 } 20, 'it is missed';
$redis->start;
wait_for { $canaryd->get('/ready')->{status} == 200 } 20, 'it is back';
pass 'connected again';

$load->stop;
$canaryd->stop;

for (['other', 'client', 'another authority'],
    ['ca', undef, 'no certificate of its own'])
{
    my ($ca, $cert, $what) = @$_;
    my $node = canaryd(nginx => $nginx, wait => 'live',
        config => config($ca, $cert));

    wait_for { $node->log =~ /level=(?:warn|error).*redis/ } 20, 'a warning';
    is $node->get('/ready')->{status}, 503, "$what: refused";
    $node->stop;
}

done_testing;
