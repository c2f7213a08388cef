# canaryctl seed: what nginx starts with is what Redis says, from the first
# request on; and what becomes of it when Redis is not there.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $redis = redis();
my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my @groups = (blue => $blue, green => $green);
my $first = nginx(groups => \@groups)->start;
my $canaryd = canaryd(nginx => $first, redis => $redis);

my $config = spew(tmpdir() . '/seed.yaml',
    'redis: ' . $redis->target . "\nnode: new\n");


sub seed {
    my ($nginx, @args) = @_;

    my ($code, $out, $err) = canaryctl('seed', '--state-file',
        "$nginx->{dir}/edge.state", '--config', $config, @args);

    return { code => $code, out => $out, err => $err };
}


# Whom 200 users meet, each by one request.

sub greens {
    my ($nginx) = @_;

    my $c = http_connect($nginx->target);

    return scalar grep { $c->request('GET', '/',
        headers => { 'X-User' => "u$_" })->{headers}{'x-backend'} eq 'green' }
        1 .. 200;
}


my $load = load_start($first, rate => 200, seconds => 200,
    connections => 8, header => 'X-User: %d');

my $new = nginx(groups => \@groups);
my $slept = nginx(groups => \@groups);


subtest 'before the first record' => sub {
    my $r = seed($slept);
    is $r->{code}, 0, 'nothing to seed';
    $slept->start;
    is $slept->upstream->{record}{revision}, 0, 'as nginx.conf has it';
    is $slept->get('/')->{headers}{'x-backend'}, 'blue', 'stable';
    $slept->put(weights => { blue => 99, green => 1 });
    $slept->stop;
};


my $rollout = $canaryd->start_rollout(lease => '1h', on_success => 'keep',
    steps => [{ weight => 30, hold => '1h' }, { weight => 100,
        hold => '1h' }]);
$canaryd->wait_state($rollout, 'progressing');
$canaryd->command_rollout($rollout, 'promote');
wait_for { $first->upstream->{record}{weights}{green} == 100 } 20,
    'all traffic on green';
my $present = $first->upstream->{record};


subtest 'a new node, and one that slept' => sub {
    for my $case ([new => $new], [slept => $slept]) {
        my ($name, $nginx) = @$case;

        my $r = seed($nginx);
        is $r->{code}, 0, "$name: seeded" or diag $r->{err};
        $nginx->start;
        is $nginx->get('/')->{headers}{'x-backend'}, 'green',
            "$name: the first request follows the present record";
        is_deeply $nginx->upstream->{record}, $present,
            "$name: it is that of the others";
        unlike $nginx->error_log, qr/state file.*(ignored|damaged)/,
            "$name: nginx takes the file";
    }

    is $slept->{pid} && greens($slept), 200, 'and all that follow';
    is ((stat "$slept->{dir}/edge.state")[4],
        (stat $slept->{dir})[4], 'it belongs to whom the directory does');
    is_deeply [glob "$slept->{dir}/edge.state.*.*"], [], 'nothing is left';
};


subtest 'Redis lost it' => sub {
    my $route = $redis->cmd('HGETALL', 'canary:{app}:route');
    $_->stop for $new, $canaryd;       # which would write it back

    $redis->cmd('HSET', 'canary:{app}:route', 'revision', 1, 'record',
        '{"revision":1,"stable":"blue","weights":{"blue":100}}');
    my $r = seed($new);
    is $r->{code}, 0, 'an older record in Redis';
    like $r->{err}, qr/the file has revision \d+, redis 1: kept/, 'is said';
    $new->start;
    is_deeply $new->upstream->{record}, $present, 'and changes nothing';
    $new->stop;

    $redis->cmd('HSET', 'canary:{app}:route', 'revision', 99, 'record',
        '{"weights"');
    like seed($new)->{err}, qr/damaged/, 'a damaged one is left out';
    $new->start;
    is_deeply $new->upstream->{record}, $present, 'and changes nothing';
    $new->stop;

    $redis->cmd('HSET', 'canary:{app}:route', @$route);
};


subtest 'rolling by node' => sub {
    my $record = { %$present, revision => $present->{revision} + 1,
        nodes => ['edge-1'], drain => { green => ['127.0.0.1:1'] } };
    my $save = $redis->cmd('HGETALL', 'canary:{app}:route');

    $redis->cmd('HSET', 'canary:{app}:route', 'revision',
        $record->{revision}, 'record', encode($record));
    is seed($new)->{code}, 0, 'a record for another node';
    $new->start;
    is $new->upstream->{record}{revision}, $record->{revision},
        'its revision';
    is $new->get('/')->{headers}{'x-backend'}, 'blue', 'but stable';
    $new->stop;

    spew($config, 'redis: ' . $redis->target . "\nnode: edge-1\n");
    is seed($new)->{code}, 0, 'for this node';
    $new->start;
    is $new->get('/')->{headers}{'x-backend'}, 'green', 'the canary';
    $new->stop;

    $redis->cmd('HSET', 'canary:{app}:route', @$save);
    unlink "$new->{dir}/edge.state";
    spew($config, 'redis: ' . $redis->target . "\nnode: new\n");
    seed($new);
};


subtest 'without Redis' => sub {
    $redis->stop;

    my $r = seed($new);
    is $r->{code}, 1, 'fails';
    like $r->{err}, qr/redis: .*No such file/, 'and says why';
    is seed($new, '--if-unavailable', 'fail')->{code}, 1, 'if asked to';
    is seed($new, '--if-unavailable', 'panic')->{code}, 2, 'nonsense';
    is seed($new, '--wait=soon')->{code}, 2, 'nonsense, too';

    my $start = time;
    is seed($new, '--wait=1s')->{code}, 1, 'after its time';
    cmp_ok time - $start, '<', 20, 'which has an end';

    is seed($new, '--if-unavailable', 'keep')->{code}, 0, 'keep';
    $new->start;
    is $new->get('/')->{headers}{'x-backend'}, 'green', 'the last record';
    $new->stop;

    is seed($new, '--if-unavailable', 'stable')->{code}, 0, 'stable';
    $new->start;
    is $new->get('/')->{headers}{'x-backend'}, 'blue', 'its stable';
    cmp_ok $new->upstream->{record}{revision}, '<', $present->{revision},
        'as an older record';
    $new->stop;

    unlink "$new->{dir}/edge.state";
    is seed($new, '--if-unavailable', 'stable')->{code}, 0, 'without a file';
    $new->start;
    is $new->get('/')->{headers}{'x-backend'}, 'blue', 'as nginx.conf says';
    $new->stop;

    spew("$new->{dir}/edge.state", "nginx-canary-state 1 00000000 5\nhello");
    like seed($new, '--if-unavailable', 'keep')->{err}, qr/damaged/,
        'a damaged file is said';

    # it waits until Redis comes
    my $pid = spawn(name => 'seed', cmd => [build() . '/canaryctl', 'seed',
        '--state-file', "$new->{dir}/edge.state", '--config', $config,
        '--wait'], err => tmpdir() . '/seed.err');
    $redis->start;
    is reap($pid, 30), 0, 'ends when Redis is there';
};

$load->stop;
done_testing;
