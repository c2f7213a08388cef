# TLS on the listener: certificates, client certificates, versions, reload.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Auth;
use Canary::Test;

my $dir = tmpdir();
my ($file, %token) = tokens_file(ann => 'admin');
spew("$dir/token", "$token{ann}\n");


sub openssl {
    my ($code, $out, $err) = run('openssl', @_);
    $code == 0 or die "openssl @_: $err";
    return $out;
}


sub certificate {
    my ($name, $cn) = @_;

    openssl(qw(req -x509 -newkey rsa:2048 -nodes -days 2 -subj), "/CN=$cn",
        '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout',
        "$dir/$name.key", '-out', "$dir/$name.crt");
    chmod 0600, "$dir/$name.key";

    return;
}


sub get {
    my ($port, @more) = @_;

    my ($code, $out, $err) = run('curl', '-sS', '--cacert', "$dir/one.crt",
        '-H', "Authorization: Bearer $token{ann}", @more,
        "https://127.0.0.1:$port/v1/upstreams");

    return $code == 0 ? $out : "curl $code $err";
}


certificate('one', 'canaryd');
certificate('two', 'canaryd');
certificate('client', 'somebody');

my $s = stack(config => "auth: {tokens: $file}\n"
    . "tls: {certificate: $dir/server.crt, key: $dir/server.key}\n",
    wait => 'no');
$s->{canaryd}->stop('KILL');


sub use_certificate {
    my ($name) = @_;

    for my $what (qw(crt key)) {
        my $text = slurp("$dir/$name.$what");
        spew("$dir/server.$what", $text);
    }

    chmod 0600, "$dir/server.key";
}

use_certificate('one');

my $port = free_port();
my $plain = free_port();
my %opt = (nginx => $s->{nginx}, redis => $s->{redis});
my $canaryd = canaryd(%opt, args => ['--listen', "tls:127.0.0.1:$port",
    '--listen', "127.0.0.1:$plain"], config => "auth: {tokens: $file}\n"
    . "tls: {certificate: $dir/server.crt, key: $dir/server.key}\n");


subtest 'requests' => sub {
    like get($port), qr/"upstreams"/, 'curl';
    is http($plain, 'GET', '/v1/upstreams', bearer($token{ann}))->{status},
        200, 'the listener beside it is plain';
    is $canaryd->get('/v1/upstreams')->{status}, 200, 'so is the socket';
    is http($port, 'GET', '/live', timeout => 2)->{status}, 0,
        'plain text is no request';
    like get($port, '--tls-max', '1.1', '--ciphers', 'DEFAULT@SECLEVEL=0'),
        qr/^curl 35/, 'nor is TLS 1.1';
    like get($port, '--tlsv1.3'), qr/"upstreams"/, 'TLS 1.3';

    my ($code, $out, $err) = canaryctl('status', '--server',
        "https://127.0.0.1:$port", '--token-file', "$dir/token",
        '--cacert', "$dir/one.crt");
    is $code, 0, 'canaryctl' or diag $err;
    ($code, $out, $err) = canaryctl('status', '--server',
        "https://127.0.0.1:$port", '--token-file', "$dir/token");
    is $code, 1, 'canaryctl without the certificate';
    like $err, qr/certificate/, 'says so';
    is $canaryd->get('/live')->{status}, 200, 'it lives on';

    # half a handshake, then nothing
    my $c = http_connect($port);
    $c->write("\x16\x03\x01\x00\xff");
    $c->close;
    like get($port), qr/"upstreams"/, 'half a handshake disturbs nobody';
};


subtest 'SIGHUP' => sub {
    use_certificate('two');
    $canaryd->signal('HUP');
    wait_for { get($port) =~ /^curl 60/ } 10, 'the other certificate';
    like get($port, '--cacert', "$dir/two.crt"), qr/"upstreams"/,
        'which is served now';

    spew("$dir/server.crt", 'broken');
    $canaryd->signal('HUP');
    wait_for { $canaryd->log =~ /no TLS by this certificate/ } 10, 'the log';
    like get($port, '--cacert', "$dir/two.crt"), qr/"upstreams"/,
        'a broken one changes nothing';
    is $canaryd->stop, 0, 'a clean stop';
    use_certificate('one');
};


subtest 'client certificates' => sub {
    my $mine = canaryd(%opt, node => 'mutual', wait => 'live',
        args => ['--listen', "tls:127.0.0.1:$port"],
        config => "auth: {tokens: $file}\ntls: {certificate: "
            . "$dir/server.crt, key: $dir/server.key, client_ca: "
            . "$dir/client.crt, min_version: 1.3}\n");

    like get($port), qr/^curl/, 'none';
    like get($port, '--cert', "$dir/two.crt", '--key', "$dir/two.key"),
        qr/^curl/, 'another';
    like get($port, '--cert', "$dir/client.crt", '--key',
        "$dir/client.key"), qr/"upstreams"/, 'the right one';
    like get($port, '--cert', "$dir/client.crt", '--key',
        "$dir/client.key", '--tls-max', '1.2'), qr/^curl/,
        'min_version: 1.3';
    $mine->stop;
};


subtest 'behind nginx, by conf/nginx-api.conf' => sub {
    chmod 0600, "$dir/one.key";
    my $mine = canaryd(%opt, node => 'proxied', wait => 'live',
        args => ['--listen', "127.0.0.1:$plain"],
        config => "auth: {tokens: $file}\n");
    my $conf = slurp(Canary::Test::root() . '/conf/nginx-api.conf');

    $conf =~ s/listen 443/listen 127.0.0.1:$port/;
    $conf =~ s/127\.0\.0\.1:7070/127.0.0.1:$plain/g;
    $conf =~ s{/etc/nginx/canary.example.com.(crt|key)}{$dir/one.$1}g;

    my $temp = join '', map { "${_}_temp_path $dir/$_;\n" }
        qw(client_body proxy fastcgi uwsgi scgi);
    spew("$dir/proxy.conf", "pid $dir/proxy.pid; daemon off;\n"
        . "error_log $dir/proxy.log;\nevents {}\n"
        . "http { access_log off;\n$temp$conf}\n");

    my $pid = spawn(name => 'nginx', out => "$dir/proxy.out",
        err => "$dir/proxy.err",
        cmd => ['nginx', '-e', "$dir/proxy.log", '-p', $dir, '-c',
            "$dir/proxy.conf"]);
    wait_for { get($port) =~ /"upstreams"/ } 10, 'an answer by nginx';

    my (undef, $out) = run('curl', '-s', '--cacert', "$dir/one.crt",
        '-w', '%{http_code}', '-H', 'Authorization: Bearer ann.wrong',
        "https://127.0.0.1:$port/v1/upstreams");
    like $out, qr/not known.*401/, 'a wrong token is refused';
    stop_process($pid);
    $mine->stop;
};


subtest 'what must not be' => sub {
    my $try = sub {
        my ($tls, @args) = @_;
        my $config = spew("$dir/bad.yaml",
            "auth: {tokens: $file}\n" . ($tls ? "tls: {$tls}\n" : ''));
        my ($code, undef, $err) = run(Canary::Test::build() . '/canaryd',
            '--config', $config, '--redis', $s->{redis}->target,
            '--data-dir', $dir, @args,
            { env => Canary::Test::sanitizer_env('canaryd') });
        return "$code $err";
    };
    my @listen = ('--listen', "tls:127.0.0.1:$port");

    like $try->('', @listen), qr/^2 .*needs tls.certificate/s,
        'no certificate';
    like $try->('', '--listen', "0.0.0.0:$port"),
        qr/^2 .*unencrypted/s, 'another address in plain text';
    like $try->("certificate: $dir/one.crt, key: $dir/two.key", @listen),
        qr/^1 .*tls.key.*mismatch/s, "another certificate's key";
    like $try->("certificate: $dir/token, key: $dir/one.key", @listen),
        qr/^1 .*tls.certificate/s, 'no certificate at all';
    chmod 0644, "$dir/one.key";
    like $try->("certificate: $dir/one.crt, key: $dir/one.key", @listen),
        qr/^1 .*others must not be able to read/s, 'a key for all to read';
};


done_testing;
