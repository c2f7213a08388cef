package Canary::Test;

=head1 NAME

Canary::Test - starts nginx, backends, Redis and canaryd for a test

=head1 SYNOPSIS

    use strict;
    use warnings;
    use FindBin;
    use lib "$FindBin::Bin/../lib";
    use Canary::Test;          # Test::More comes with it, strict too

    my ($v1, $v2) = (backend(name => 'v1'), backend(name => 'v2'));
    my $nginx = nginx(groups => [blue => $v1, green => $v2])->start;

    my $r = $nginx->get('/', 'X-User' => 'anna');
    is $r->{status}, 200;
    is $r->{headers}{'x-backend'}, 'v1';

    $r = $nginx->put(weights => { blue => 90, green => 10 });
    is $r->{json}{record}{revision}, 1;

    my $load = load($nginx, requests => 1000, header => 'X-User: %d');
    is $load->{total}{status}{200}, 1000;
    is $v1->counts->{requests} + $v2->counts->{requests}, 1001;

    done_testing;              # checks error logs and sanitizer reports

Run by C<prove t/module/x.t> or C<scripts/test t/module/x.t>.  Processes and
files go away at the end, however it comes; T_KEEP=1 keeps the directory.
T_BUILD names the build to test (default build), T_SANITIZE=1 means
build/asan, T_NGINX another nginx, which T_MODULE=static says has the
module in it, T_NGINX_SRC a source tree of nginx to build for.

=head1 NGINX

C<< nginx(%parts) >> makes the object (L<Canary::Nginx>), C<start> runs it.
By default: a free port on loopback, 2 workers, error log at C<info>,
C<canary_zone edge 1m state=DIR/edge.state>, C<upstream app> of blue and
green with C<canary_key $http_x_user> and C<canary_force $http_x_canary>,
C<proxy_pass http://app> with kept connections in C<location />, and a server
on C<unix:DIR/api.sock> with C</canary/> and C</metrics>.

    groups     [blue => $backend, green => [$a, "127.0.0.1:1 backup"]]
    zone, canary, key, force           replace; '' leaves out
    app_block                          the whole upstream block "app"
    app, location, server              lines to add in these blocks
    main, events, http, upstreams, servers     likewise
    proxy_pass, no_location, api_locations, keepalive, workers, log_level,
    user (of the workers, if the test runs as root),
    binary, module (a path)
    conf       the whole text (C<< $nginx->{dir} >>, C<{port}>, C<{api}> are
               known after nginx())
    allow      [qr/../] for expected [alert] or [emerg] lines

Methods: C<start>, C<stop>, C<restart>, C<reload>, C<test> take parts to
change; C<reload> is false if nginx refused.  C<test> is nginx -t: (ok, text).
C<crash> kills master and workers.  C<workers>, C<old_workers>, C<settled>,
C<error_log>.  C<< get($path, %headers) >>; C<< api(METHOD, 'upstreams/app',
$body, headers => {..}) >> where a reference is sent as JSON; C<upstream>,
C<< put(weights => .., ...) >> under the next revision, C<metrics>.

=head1 OTHERS

    backend(name => 'v1', error => 0.2, ...)   t/tools/backend.c
        ->set(error => 0, zero => 1)  ->counts  ->target  ->stop
    load($target, requests => 1000, connections => 8, ...)  t/tools/load.c
    load_start(...)    ->lines  ->stop, ->wait give the last line
    redis()            ->cmd(..)  ->target  ->stop  ->start  ->kill
    canaryd(nginx => $nginx, redis => $redis, ...)  see Canary::Daemon
    stack()                            all of them, in a hash
    canaryctl($canaryd, @args)         (exit code, stdout, stderr)
    run(@command)                      the same for any command
    http($target, METHOD, $path, headers => .., body => ..)   Canary::HTTP
    http_connect($target)->request(..)     ->send(..)->send(..), ->read, ->read
    wait_for { .. } $seconds, 'what'   the only way to wait
    free_port, tmpdir, slurp, spew, build, sanitized, reap, alive, children
    chi_square([observed], [expected]) < chi_square_limit($degrees)   p 1e-6

=cut

use strict;
use warnings;

use Cwd ();
use Exporter ();
use File::Basename ();
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP;
use Test::More import => ['!done_testing'];

use Canary::Daemon;
use Canary::HTTP qw(http http_connect);
use Canary::Nginx;
use Canary::Process qw(wait_for tmpdir spawn reap alive stop_process slurp
    spew children);
use Canary::Tools;

our @EXPORT = ((grep { $_ ne 'done_testing' } @Test::More::EXPORT),
    qw(done_testing nginx backend load load_start redis
    canaryd canaryctl stack run http http_connect wait_for free_port tmpdir slurp
    spew build root sanitized reap alive children spawn stop_process
    chi_square chi_square_limit encode decode));

my $root = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../../..');
my $json = JSON::PP->new->utf8->canonical->allow_nonref;


sub import {
    strict->import;
    warnings->import;

    goto &Exporter::import;
}


sub root { $root }


sub build {
    my $build = $ENV{T_BUILD} // ($ENV{T_SANITIZE} ? 'build/asan' : 'build');

    return $build =~ m{^/} ? $build : "$root/$build";
}


sub sanitized { return build() =~ /asan/ }


# The environment of a process under the sanitizers; nginx itself is built
# without, so they are loaded before it.

my $libraries;

sub sanitizer_env {
    my ($name, $preload) = @_;

    return {} unless sanitized();

    my $log = tmpdir() . "/sanitizer.$name";
    my $leaks = $name eq 'canaryd' || $name eq 'canaryctl' ? 1 : 0;
    my %env = (
        ASAN_OPTIONS => "detect_leaks=$leaks:log_path=$log",
        UBSAN_OPTIONS => "print_stacktrace=1:log_path=$log",
    );

    if ($preload) {
        $libraries //= join ':', map {
            my $path = `gcc -print-file-name=lib$_.so`;
            chomp $path;
            Cwd::abs_path($path);
        } qw(asan ubsan);
        $env{LD_PRELOAD} = $libraries;
    }

    return \%env;
}


# A port to listen on later.  It is below those that the system gives to
# clients (32768 and up): one of another test could take it meanwhile, and a
# client of a dead port could be connected to itself.

my %given;

sub free_port {
    for (1 .. 1000) {
        my $port = 10240 + int rand 22000;
        next if $given{$port};

        # kept to the end, so that no other test takes it either

        $given{$port} = IO::Socket::UNIX->new(
            Local => "\0canary-port-$port", Listen => 1) or next;

        return $port if IO::Socket::INET->new(LocalAddr => '127.0.0.1',
            LocalPort => $port, Proto => 'tcp', Listen => 1, ReuseAddr => 1);
    }

    die "no free port: $!";
}


sub nginx { return Canary::Nginx->new(@_) }
sub backend { return Canary::Backend->new(@_) }
sub redis { return Canary::Redis->new(@_)->start }
sub canaryd { return Canary::Daemon->new(@_)->start }
sub load_start { return Canary::Load->new(@_) }
sub load { return Canary::Load->new(@_)->wait }
sub encode { return $json->encode($_[0]) }
sub decode { return $json->decode($_[0]) }


# stack(%options of canaryd): two backends, an nginx before them, a Redis and a
# canaryd, in a hash: blue, green, nginx, redis, canaryd.

sub stack {
    my %opt = @_;

    my %s = map { $_ => backend(name => $_) } qw(blue green);

    $s{nginx} = nginx(groups => [map { $_ => $s{$_} } qw(blue green)],
        %{ delete $opt{parts} // {} })->start;
    $s{redis} = redis();
    $s{canaryd} = canaryd(nginx => $s{nginx}, redis => $s{redis}, %opt);

    return \%s;
}


# run(@command, {stdin => text, env => {..}, timeout => s}): (exit code,
# stdout, stderr); the code is 128 + n after signal n.

my $runs = 0;

sub run {
    my @command = @_;

    my %opt = ref $command[-1] ? %{ pop @command } : ();
    my $files = tmpdir() . '/run' . $runs++;

    spew("$files.in", $opt{stdin} // '');

    my $pid = spawn(name => $command[0], cmd => \@command,
        in => "$files.in", out => "$files.out", err => "$files.err",
        env => $opt{env} // {});
    my $status = reap($pid, $opt{timeout} // 60);

    unless (defined $status) {
        $status = stop_process($pid, 'KILL');
        diag "@command: killed after its time";
    }

    my @result = ($status & 127 ? 128 + ($status & 127) : $status >> 8,
        slurp("$files.out"), slurp("$files.err"));
    unlink map { "$files.$_" } qw(in out err);

    return @result;
}


# canaryctl([$canaryd,] @args [, {..}])

sub canaryctl {
    my @args = @_;

    my $daemon = ref $args[0] ? shift @args : undef;
    my %opt = ref $args[-1] ? %{ pop @args } : ();

    $opt{env} = {
        %{ sanitizer_env('canaryctl') },
        $daemon ? (CANARYD => $daemon->target) : (),
        %{ $opt{env} // {} },
    };

    return run(build() . '/canaryctl', @args, \%opt);
}


sub chi_square {
    my ($observed, $expected) = @_;

    my $sum = 0;

    for my $i (0 .. $#$observed) {
        $sum += ($observed->[$i] - $expected->[$i]) ** 2 / $expected->[$i];
    }

    return $sum;
}


# What chance exceeds once in a million, by Wilson and Hilferty.

sub chi_square_limit {
    my ($degrees) = @_;

    my $a = 2 / (9 * $degrees);

    return $degrees * (1 - $a + 4.753 * sqrt $a) ** 3;
}


# Stops what runs and fails the test for what the logs say.

sub check_logs {
    my @bad;

    $_->stop for grep { $_->running } Canary::Daemon::all(),
        Canary::Nginx::all();

    for my $nginx (Canary::Nginx::all()) {
        push @bad, $nginx->complaints;
    }

    for my $daemon (Canary::Daemon::all()) {
        push @bad, $daemon->complaints;
    }

    for my $report (glob tmpdir() . '/sanitizer.*') {
        push @bad, "$report:", split /\n/, slurp($report);
    }

    return @bad;
}


sub done_testing {
    my @bad = check_logs();

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(!@bad, 'nothing alarming in any log');
    diag($_) for @bad > 60 ? @bad[0 .. 59] : @bad;

    Test::More::done_testing();
}


1;
