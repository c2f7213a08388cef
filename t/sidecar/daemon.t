# canaryd as a process: start without Redis or nginx, reload, stop, flags.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $nginx = nginx(groups => [blue => $blue, green => $green])->start;


sub names {
    my ($r) = @_;

    return ($r->{body} // '');
}


subtest 'Redis comes late' => sub {
    my $redis = redis();
    $redis->stop;

    my $canaryd = canaryd(nginx => $nginx, redis => $redis, wait => 'live');
    my $r = $canaryd->get('/ready');

    is $r->{status}, 503, 'not ready';
    like names($r), qr/redis/i, 'for Redis';
    is $canaryd->get('/live')->{status}, 200, 'but alive';
    is $canaryd->get('/health')->{status}, 200, 'and tells its health';
    is $canaryd->post('/v1/rollouts',
        { upstream => 'app', canary => 'green' })->{status}, 503,
        'no rollout can be started';
    like $canaryd->log, qr/redis/i, 'the log says it';
    is $nginx->upstream->{record}{revision}, 0, 'traffic is untouched';
    is $nginx->get('/')->{headers}{'x-backend'}, 'blue', 'and served';

    $redis->start;
    wait_for { $canaryd->get('/ready')->{status} == 200 } 15,
        'it to be ready';

    $redis->kill;
    wait_for { $canaryd->get('/ready')->{status} == 503 } 15,
        'it to notice';
    is $nginx->get('/')->{status}, 200, 'traffic is untouched';

    $redis->start;
    wait_for { $canaryd->get('/ready')->{status} == 200 } 15,
        'it to be ready again';
    pass 'ready, not ready, ready';
    $canaryd->stop;
    $redis->stop;
};


subtest 'nginx comes late' => sub {
    my $other = nginx(groups => [blue => $blue, green => $green]);
    my $redis = redis();
    my $canaryd = canaryd(nginx => $other, redis => $redis, wait => 'live');
    my $r = $canaryd->get('/ready');

    is $r->{status}, 503, 'not ready';
    like names($r), qr/nginx/i, 'for nginx';

    $other->start;
    wait_for { $canaryd->get('/ready')->{status} == 200 } 15,
        'it to be ready';
    is $other->upstream->{record}{revision}, 0, 'traffic is untouched';

    $other->stop;
    wait_for { $canaryd->get('/ready')->{status} == 503 } 15,
        'it to notice';
    pass 'and not when nginx is gone';
    $canaryd->stop;
    $redis->stop;
};


subtest 'its own Redis, a clean stop' => sub {
    my $canaryd = canaryd(nginx => $nginx);
    my @children = children($canaryd->pid);

    is scalar @children, 1, 'one child';
    like slurp("/proc/$children[0]/cmdline"), qr/redis-server/,
        'which is Redis';

    kill 'KILL', $children[0];
    wait_for {
        my ($now) = children($canaryd->pid);
        $now && $now != $children[0];
    } 15, 'Redis to be started again';
    wait_for { $canaryd->get('/ready')->{status} == 200 } 15,
        'it to be ready again';

    @children = children($canaryd->pid);
    my $start = time;
    is $canaryd->stop, 0, 'SIGTERM ends it with 0';
    cmp_ok time - $start, '<', 7, 'soon';
    ok !grep({ alive($_) } @children), 'its Redis is gone';
    ok !-e "$canaryd->{dir}/api.sock", 'its socket too';
    is_deeply [glob "$canaryd->{dir}/data/redis/*.sock"], [],
        'the one of Redis too';

    $canaryd->start;
    $canaryd->kill;
    wait_for { !grep { slurp("/proc/$_/cmdline") =~ /\Q$canaryd->{dir}\E/ }
        map { m{/(\d+)$} } glob '/proc/[0-9]*' } 10,
        'nothing to be left after kill -9';
    pass 'nor does anything outlive kill -9';

    $canaryd->start;
    is $canaryd->stop('INT'), 0, 'starts again after it';
};


subtest 'reload' => sub {
    my $canaryd = canaryd(nginx => $nginx,
        config => "log:\n  level: info\n  format: logfmt\n");

    my $level = sub {
        spew("$canaryd->{dir}/canaryd.yaml", $_[0]);
        my $length = length $canaryd->log;
        $canaryd->signal('HUP');
        wait_for { length $canaryd->log > $length } 10, 'a word in the log';
        return substr $canaryd->log, $length;
    };

    $level->("log:\n  level: info\n  format: json\n");
    my $log = $level->("log:\n  level: info\n  format: json\n# again\n");
    my ($line) = $log =~ /^(\{.*\})$/m;
    ok $line && eval { Canary::Test::decode($line) }, 'logs JSON now'
        or diag $log;

    $log = $level->("log:\n  level: shout\n");
    like $log, qr/log\.level/, 'names what is wrong';
    ok alive($canaryd->pid), 'and lives on';
    is $canaryd->get('/ready')->{status}, 200, 'with the old one';
    $canaryd->stop;
};


subtest 'flags' => sub {
    my $binary = Canary::Test::build() . '/canaryd';
    my $try = sub {
        return run($binary, @_,
            { env => Canary::Test::sanitizer_env('canaryd') });
    };

    my ($code, $out, $err) = $try->('--version');
    is $code, 0, '--version';
    like $out, qr/^canaryd \d/, $out;

    ($code, $out, $err) = $try->('--help');
    is $code, 0, '--help';
    like $out, qr/--data-dir/, 'lists the flags';

    for my $case (
        [['--tick', '1ms'], qr/tick/],
        [['--tick', 'soon'], qr/tick/],
        [['--listen', '0.0.0.0:1'], qr/listen/],
        [['--listen', 'nowhere'], qr/listen/],
        [['--node', 'a b'], qr/node/],
        [['--redis', 'http://x'], qr/redis/],
        [['--log-level', 'shout'], qr/log-level|log\.level/],
        [['--log-format', 'xml'], qr/log-format|log\.format/],
        [['--colour', 'red'], qr/colour/],
        [['--config', '/nonexistent.yaml'], qr/nonexistent/],
        [['stray'], qr/stray/],
    ) {
        my ($args, $re) = @$case;
        ($code, $out, $err) = $try->('--test-config', @$args);
        isnt $code, 0, "@$args: refused";
        like $err, $re, 'named';
    }

    my $config = spew(tmpdir() . '/wrong.yaml', "tick: 1s\ntock: 2s\n");
    ($code, $out, $err) = $try->('--test-config', '--config', $config);
    isnt $code, 0, 'an unknown key';
    like $err, qr/tock/, 'named';
};


subtest 'the rest of the API' => sub {
    my $s = stack(node => 'edge-1');
    my $canaryd = $s->{canaryd};

    my $r;
    wait_for {
        $r = $canaryd->get('/v1/upstreams');
        $r->{status} == 200 && @{ $r->{json}{upstreams} };
    } 10, 'the upstreams';
    my ($app) = @{ $r->{json}{upstreams} };

    is $app->{upstream}, 'app', 'one upstream';
    is_deeply $app->{groups}, { blue => 100, green => 0 }, 'its weights';
    is $app->{stable}, 'blue', 'its stable group';
    is $app->{rollout}, undef, 'without a rollout';
    is $app->{nodes}[0]{node}, 'edge-1', 'of this node';
    ok $app->{nodes}[0]{live}, 'which lives';

    $r = $canaryd->get('/metrics');
    is $r->{status}, 200, 'metrics';
    like $r->{headers}{'content-type'}, qr{^text/plain}, 'as text';
    like $r->{body}, qr/^# TYPE \w+ (?:gauge|counter)$/m, 'for Prometheus';
    is_deeply [grep { !/^(?:#.*|[a-z_]\w*(?:\{.*\})? [-+\w.]+)$/ }
        split /\n/, $r->{body}], [], 'well formed';

    $r = http($canaryd->target, 'HEAD', '/ready');
    is $r->{status}, 200, 'HEAD';

    my $connection = http_connect($canaryd->target);
    is $connection->request(GET => '/live')->{status}, 200, 'kept' for 1, 2;
};

done_testing;
