# scripts/health-check: each service healthy and not, --wait, --timeout.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $address = $green->target;
my $nginx = nginx(groups => [blue => $blue], upstreams => <<"END")->start;
upstream green { zone green 64k; server $address max_fails=1 fail_timeout=60s; }
END
my $redis = redis();
my $canaryd = canaryd(nginx => $nginx, redis => $redis);
my %env = (CANARYD => $canaryd->target, CANARYCTL => build() . '/canaryctl',
    CANARY_NGINX => $nginx->api_target . ':/canary/',
    %{ Canary::Test::sanitizer_env('canaryctl') });
my @services = qw(nginx module canaryd redis servers);


sub check {
    my %with = ref $_[-1] ? (%env, %{ pop @_ }) : %env;
    my ($code, $out, $err) = run(root() . '/scripts/health-check', @_,
        { env => \%with });

    is $out, '', 'nothing on stdout';
    return { code => $code, err => $err };
}


subtest 'usage' => sub {
    for my $case (['--service', 'x'], ['--timeout', '0'], ['--timeout', '1h'],
        ['--nginx', 'x'], ['--frob'], ['--service'])
    {
        is check(@$case)->{code}, 2, "@$case";
    }
};


subtest 'healthy' => sub {
    my $r = check();
    is $r->{code}, 0, 'all' or diag $r->{err};
    like $r->{err}, qr/^health-check: $_: (?!FAILED)/m, $_ for @services;
    unlike $r->{err}, qr/\033/, 'no colour in a pipe';

    for my $service (@services) {
        $r = check('--service', $service);
        is $r->{code}, 0, "--service $service" or diag $r->{err};
        like $r->{err}, qr/\Ahealth-check: \Q$service\E: [^\n]+\n\z/,
            'alone';
    }

    is check('--quiet')->{err}, '', '--quiet';
};


subtest 'nginx and module' => sub {
    my %nobody = (CANARY_NGINX => 'unix:' . tmpdir() . '/no.sock:/canary/');

    for my $service (qw(nginx module servers)) {
        my $r = check('--service', $service, \%nobody);
        is $r->{code}, 1, "$service: nobody there";
        like $r->{err}, qr/$service: FAILED: \S/, 'says so';
    }

    my $r = check('--service', 'module',
        { CANARY_NGINX => $nginx->api_target . ':/metrics/' });
    is $r->{code}, 1, 'another location';
    like $r->{err}, qr/is not canary_api/, 'says so';
};


subtest 'canaryd and redis' => sub {
    my $r = check('--service', 'canaryd', '--server',
        'unix:' . tmpdir() . '/no.sock');
    is $r->{code}, 1, 'no canaryd';
    like $r->{err}, qr/canaryd: FAILED: .*cannot reach canaryd/, 'says so';

    $redis->stop;
    wait_for { $canaryd->get('/health')->{json}{components}{redis}{status}
        ne 'ok' } 20, 'Redis to be missed';

    for my $service (qw(canaryd redis)) {
        $r = check('--service', $service);
        is $r->{code}, 1, "$service, without Redis";
        like $r->{err}, qr/$service: FAILED: [^{]/, 'says why, not as JSON';
    }

    is check('--service', 'nginx')->{code}, 0, 'nginx is well all the same';
    is check('--service', 'redis', '--wait', '--timeout', '1')->{code}, 1,
        '--wait until the time is up';

    my $pid = spawn(name => 'health-check', cmd => [root()
        . '/scripts/health-check', '--service', 'redis', '--wait',
        '--timeout', '50'], err => tmpdir() . '/h.err',
        out => tmpdir() . '/h.out', env => \%env);
    $redis->start;
    is reap($pid, 60), 0, '--wait until it is back';
};


subtest 'servers' => sub {
    like check('--service', 'servers')->{err}, qr/servers: 1 answer/,
        'connected to';

    $green->stop;
    my $r = check('--service', 'servers');
    is $r->{code}, 1, 'one is gone' or diag $r->{err};
    like $r->{err}, qr/servers: FAILED: no connection: app\/green \Q$address\E/,
        'says which';

    $r = $nginx->api('PUT', "upstreams/app/groups/green/servers/$address",
        { drain => \1 });
    is $r->{status}, 200, 'drained' or diag $r->{body};
    is check('--service', 'servers')->{code}, 0, 'is not asked';
};

done_testing;
