# Freezes, alerts, approvals, retry, rollback, history, smoke tests on demand.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Fake;
use Canary::Test;
use POSIX qw(strftime);

my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $nginx = nginx(groups => [blue => $blue, green => $green])->start;
my $redis = redis();
my $fake = Canary::Fake->new;
my $load = load_start($nginx, seconds => 600, rate => 200, connections => 16,
    header => 'X-User: %d');
my $config = <<'END';
alerts:
  rules:
    - {match: {severity: critical}, action: revert}
    - {match: {severity: warning, alertname: "Slow*"}, action: pause}
    - {match: {severity: none}, action: ignore}
freeze:
  - {name: others, upstreams: "other*", cron: "* * * * *", for: 1h}
  - {name: past, from: "2020-01-01T00:00", to: "2020-01-02T00:00"}
END
my $canaryd = canaryd(nginx => $nginx, redis => $redis, config => $config);
my %slow = (steps => [{ weight => 10, hold => '60s' }, { weight => 100 }],
    analysis => { latency => [] });
my %quick = (steps => [{ weight => 50, hold => '200ms' }, { weight => 100 }],
    bake => '0s', analysis => { latency => [] });


sub aborted {
    my ($rollout) = @_;

    $canaryd->command_rollout($rollout, 'abort', { reason => 'test' });
    wait_for { $canaryd->rollout($rollout)->{state} eq 'aborted' } 15, 'end';
    wait_for {
        !grep { $_->{active} }
            @{ $canaryd->get('/v1/upstreams')->{json}{upstreams} };
    } 15, 'the upstream to be free';
}


sub alert {
    my ($labels, %more) = @_;

    return $canaryd->post('/v1/alerts', { version => '4', status => 'firing',
        receiver => 'canary', groupKey => '{}', alerts => [{
            status => 'firing', labels => $labels,
            annotations => { summary => 'it burns' },
            startsAt => '2026-01-01T00:00:00Z',
            endsAt => '0001-01-01T00:00:00Z', fingerprint => 'f00', %more }] });
}


sub moving {
    my ($rollout) = @_;

    wait_for { $canaryd->rollout($rollout)->{state} eq 'progressing' } 15,
        'it to begin';
}


subtest 'stop the line' => sub {
    my $r = $canaryd->post('/v1/freeze', { actor => 'anna',
        reason => 'black friday' });
    is $r->{status}, 200, 'stopped';
    is $r->{json}{stop}{actor}, 'anna', 'by whom';
    is $r->{json}{stop}{reason}, 'black friday', 'and why';
    my ($window) = grep { $_->{name} eq 'others' } @{ $r->{json}{windows} };
    ok $window->{until}, 'an open window of other upstreams';
    ($window) = grep { $_->{name} eq 'past' } @{ $r->{json}{windows} };
    ok !defined $window->{until}, 'one that is over';

    my $rollout = $canaryd->start_rollout(%quick);
    wait_for { ($canaryd->rollout($rollout)->{waiting_for} // '')
        eq 'freeze' } 10, 'it to wait';
    is $nginx->upstream->{record}{weights}{blue}, 100, 'nothing is started';
    is $canaryd->command_rollout($rollout, 'abort', {})->{status}, 200,
        'an abort passes';
    aborted($rollout);

    $r = Canary::HTTP::http($canaryd->target, 'DELETE', '/v1/freeze');
    is $r->{status}, 200, 'goes on';
    ok !defined $r->{json}{stop}, 'no stop any more';
    $rollout = $canaryd->start_rollout(%quick);
    is $canaryd->wait_state($rollout, 'succeeded')->{state}, 'succeeded',
        'rollouts, too';
    aborted($rollout);
};


subtest 'alerts' => sub {
    my $rollout = $canaryd->start_rollout(%slow);
    moving($rollout);

    my $r = alert({ alertname => 'X', severity => 'info',
        upstream => 'app' });
    is $r->{json}{upstreams}[0]{outcome}, 'noted', 'no rule: an incident';
    is alert({ alertname => 'X', severity => 'none', upstream => 'app' })
        ->{json}{ignored}, 1, 'ignored by rule';
    is alert({ alertname => 'X', severity => 'critical' })->{json}{ignored},
        1, 'ignored without an upstream';
    is alert({ alertname => 'X', severity => 'critical', upstream => 'app' },
        status => 'resolved')->{json}{ignored}, 1, 'or resolved';
    is $canaryd->rollout($rollout)->{state}, 'progressing', 'it goes on';

    $r = alert({ alertname => 'SlowDisk', severity => 'warning',
        upstream => 'app' });
    is $r->{json}{upstreams}[0]{outcome}, 'paused', 'paused';
    is $canaryd->rollout($rollout)->{state}, 'paused', 'it is';
    like $canaryd->rollout($rollout)->{reason}, qr/SlowDisk: it burns/,
        'and says why';

    $r = alert({ alertname => 'Errors', severity => 'critical',
        upstream => 'app' });
    is $r->{json}{upstreams}[0]{outcome}, 'reverted', 'reverted';
    wait_for { $canaryd->rollout($rollout)->{state} eq 'aborted' } 15, 'end';
    like $canaryd->rollout($rollout)->{reason}, qr/Errors: it burns/, 'why';
    is $nginx->upstream->{record}{weights}{blue}, 100, 'back on blue';
    aborted($rollout);
    is alert({ alertname => 'Errors', severity => 'critical',
        upstream => 'app' })->{json}{upstreams}[0]{outcome},
        'no rollout is active', 'nothing to revert';

    my @open = grep { $_->{kind} eq 'alert' }
        @{ $canaryd->get('/v1/incidents?state=open')->{json}{incidents} };
    is scalar @open, 1, 'one incident of one fingerprint';

    # 250 that nobody resolved, all older
    $redis->cmd('EVAL', <<'END', 0);
for i = 1, 250 do
    local id, key = 'app-' .. i, 'alert:' .. i
    redis.call('ZADD', 'canary:{app}:incidents:times', i, id)
    redis.call('HSET', 'canary:{app}:incidents', id,
        cjson.encode({ id = id, key = key, state = 'open' }))
    redis.call('HSET', 'canary:{app}:incidents:open', key, id)
end
END
    is alert({ alertname => 'Y', severity => 'info', upstream => 'app' },
        fingerprint => 'f01')->{json}{upstreams}[0]{outcome}, 'noted',
        'one more';
    wait_for { $redis->cmd('HLEN', 'canary:{app}:incidents') == 200 } 15,
        'the oldest to go';
    is scalar @{ $redis->cmd('HVALS', 'canary:{app}:incidents:open') },
        scalar(grep { decode($_)->{state} ne 'resolved' }
            @{ $redis->cmd('HVALS', 'canary:{app}:incidents') }),
        'also from those that are open';

    for ({}, { version => '3', alerts => [] }, { version => '4' },
        { version => '4', alerts => [(1) x 257] })
    {
        is $canaryd->post('/v1/alerts', $_)->{status}, 422, 'refused';
    }
};


subtest 'approval' => sub {
    my $rollout = $canaryd->start_rollout(%quick,
        steps => [{ weight => 50, hold => '100ms', approval => \1 },
            { weight => 100 }]);
    wait_for { ($canaryd->rollout($rollout)->{waiting_for} // '')
        eq 'approval' } 15, 'it to wait';
    is $canaryd->command_rollout($rollout, 'approve',
        { actor => 'carl', reason => 'looks good' })->{status}, 200,
        'approved';
    is $canaryd->wait_state($rollout, 'succeeded')->{state}, 'succeeded',
        'it goes on';
    is $canaryd->command_rollout($rollout, 'approve', {})->{status}, 409,
        'nothing to approve';
    like encode($redis->cmd('XRANGE', 'canary:{app}:events', '-', '+')),
        qr/carl.{1,20}detail.{1,80}looks good/, 'who and why';
    aborted($rollout);
};


subtest 'retry' => sub {
    my $rollout = $canaryd->start_rollout(%quick, version => 'r1');
    is $canaryd->command_rollout($rollout, 'retry', {})->{status}, 409,
        'not while it runs';
    aborted($rollout);
    my $r = $canaryd->command_rollout($rollout, 'retry', { actor => 'dora' });
    is $r->{status}, 201, 'again';
    isnt $r->{json}{id}, $rollout->{id}, 'under a new id';
    is $r->{json}{version}, 'r1', 'the same';
    is_deeply $r->{json}{spec}, $rollout->{spec}, 'with the same spec';
    is $r->{json}{actor}, 'dora', 'by whom';
    is $canaryd->wait_state($r->{json}, 'succeeded')->{state}, 'succeeded',
        'it runs';
    is $canaryd->post('/v1/rollouts/app-0123456789/retry', {})->{status}, 404,
        'another one is not there';
};


# r1 is on green and stable now, what was before on blue.

subtest 'rollback' => sub {
    my $r = $canaryd->post('/v1/upstreams/app/rollback',
        { version => 'nonsense' });
    is $r->{status}, 422, 'a version that never was';
    is $r->{json}{field}, 'version', 'by its field';

    $r = $canaryd->post('/v1/upstreams/app/rollback',
        { reason => 'slow', actor => 'eve' });
    is $r->{status}, 201, 'to the one before';
    is $r->{json}{canary}, 'blue', 'which is on blue';
    like $r->{json}{reason}, qr/rollback: slow/, 'why';
    is $canaryd->wait_state($r->{json}, 'succeeded')->{state}, 'succeeded',
        'done';
    is $nginx->upstream->{record}{stable}, 'blue', 'blue is stable';

    $r = $canaryd->post('/v1/upstreams/app/rollback', { version => 'r1' });
    is $r->{status}, 201, 'to a named version';
    is $r->{json}{canary}, 'green', 'where it is';
    $canaryd->wait_state($r->{json}, 'succeeded');

    # blue gets r2, then green r3: r1 is nowhere any more
    my $rollout = $canaryd->start_rollout(%quick, canary => 'blue',
        version => 'r2');
    $canaryd->wait_state($rollout, 'succeeded');
    $rollout = $canaryd->start_rollout(%quick, version => 'r3');
    $canaryd->wait_state($rollout, 'succeeded');
    is $canaryd->post('/v1/upstreams/app/rollback', { version => 'r1' })
        ->{status}, 409, 'a version that was overwritten';
    $r = $canaryd->post('/v1/upstreams/app/rollback', { version => 'r2' });
    is $r->{status}, 201, 'one that is still there';
    $canaryd->wait_state($r->{json}, 'succeeded');
};


subtest 'history' => sub {
    my @list = @{ $canaryd->get('/v1/upstreams/app/history')
        ->{json}{rollouts} };
    is $list[0]{version}, 'r2', 'the newest first';
    is $list[1]{version}, 'r3', 'then the one before';
    ok $list[0]{promoted}, 'promoted';
    ok scalar(grep { $_->{state} eq 'aborted' } @list), 'the aborted, too';
    is $canaryd->get('/v1/upstreams/none/history')->{json}{rollouts}[0],
        undef, 'nothing of another one';
};


subtest 'smoke tests on demand, runs of gates' => sub {
    my $rollout = $canaryd->start_rollout(%slow, canary => 'green',
        smoke => [{ name => 'a', path => '/a', servers => [$fake->target] },
            { name => 'b', path => '/b', servers => [$fake->target] }]);
    moving($rollout);
    $fake->set('/b' => { status => 500 });
    my $r = $canaryd->command_rollout($rollout, 'smoke-tests', {});
    is $r->{status}, 200, 'run';
    is $r->{json}{result}, 'failed', 'failed';
    is_deeply { map { $_->{name} => $_->{result} } @{ $r->{json}{results} } },
        { a => 'passed', b => 'failed' }, 'each with its result';
    ok defined $r->{json}{results}[0]{ms}, 'and time';
    is $canaryd->rollout($rollout)->{state}, 'progressing',
        'which changes nothing';

    my @gates;
    wait_for {
        @gates = @{ $canaryd->get("/v1/rollouts/$rollout->{id}/gates")
            ->{json}{gates} };
        @gates == 2;
    } 10, 'both runs';
    is $gates[0]{result}, 'passed', 'before the start';
    is $gates[1]{result}, 'failed', 'on demand';
    aborted($rollout);
    is $canaryd->command_rollout($rollout, 'smoke-tests', {})->{status}, 200,
        'also when it is over';
};

$load->stop;
done_testing;
