# What has succeeded where is part of the commit by which it succeeds: neither
# a death right after it nor anything else comes in between.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;
use Canary::Proxy;
use JSON::PP ();

my $redis = redis();
my $proxy = Canary::Proxy->new($redis->target)->start;
my $nginx = nginx(groups => [map { $_ => backend(name => $_) }
    qw(blue green)])->start;
my $first = canaryd(nginx => $nginx, redis => $proxy->target);
my $load = load_start($nginx, rate => 200, connections => 8, seconds => 300,
    header => 'X-User: %d');

my %quick = (environment => 'staging', bake => 0, on_success => 'keep',
    guard => JSON::PP::false);


sub promote {
    my ($canaryd, $version) = @_;

    my $r = $canaryd->post('/v1/rollouts', { upstream => 'app',
        canary => 'green', version => $version, environment => 'production',
        promotion => { from => 'staging' } });

    if ($r->{status} == 201) {
        $canaryd->command_rollout($r->{json}, 'abort');
        $canaryd->wait_state($r->{json}, 'aborted');
    }

    return $r->{status};
}


sub state {
    my ($rollout) = @_;

    my $doc = $redis->cmd('HGET', "canary:{app}:rollout:$rollout->{id}",
        'doc');

    return decode($doc)->{state}{state};
}


subtest 'the leader dies before it hears of its commit' => sub {
    $proxy->mode('mute', '"state":"succeeded"');

    my $rollout = $first->start_rollout(%quick, version => 'v1',
        steps => [{ weight => 20, hold => '1s' }]);
    wait_for { &state($rollout) eq 'succeeded' } 30, 'the commit';
    $first->kill;

    my $second = canaryd(nginx => $nginx, redis => $redis);
    is $second->rollout($rollout)->{state}, 'succeeded', 'known as succeeded';
    is promote($second, 'v1'), 201, 'and for a promotion';
    is promote($second, 'v2'), 409, 'which another version is not';
    $second->stop;
};


subtest 'commands' => sub {
    my $canaryd = canaryd(nginx => $nginx, redis => $redis);
    my $rollout = $canaryd->start_rollout(%quick, version => 'v3',
        steps => [{ weight => 20, hold => '1h' }]);

    $canaryd->wait_state($rollout, 'progressing');
    is promote($canaryd, 'v3'), 409, 'not yet';
    is $canaryd->command_rollout($rollout, 'promote',
        { full => JSON::PP::true })->{status}, 200, 'promoted to the end by a person';
    is &state($rollout), 'succeeded', 'it has succeeded';

    my $key = 'canary:{app}:succeeded';
    ok $redis->cmd('ZSCORE', $key, '+staging v3'), 'remembered';
    $canaryd->command_rollout($rollout, 'abort');
    ok !$redis->cmd('ZSCORE', $key, '+staging v3'), 'taken back';
    ok $redis->cmd('ZSCORE', $key, '-staging v3'), 'remembered, too';
    $canaryd->wait_state($rollout, 'aborted');
    is promote($canaryd, 'v3'), 409, 'so that it may not go on';

    # staging is another upstream
    $redis->cmd('SADD', 'canary:upstreams', 'other');
    $redis->cmd('ZADD', 'canary:{other}:succeeded', 1000, '+staging v3');
    is promote($canaryd, 'v3'), 409, 'nor by an older success elsewhere';
    $redis->cmd('ZADD', 'canary:{other}:succeeded', '9999999999999',
        '+staging v3');
    is promote($canaryd, 'v3'), 201, 'but by a newer one';
    $redis->cmd('ZADD', 'canary:{other}:succeeded', 1000, '+staging v9');
    is promote($canaryd, 'v9'), 201, 'or one that was never taken back';

    $redis->cmd('SET', 'canary:{wrong}:succeeded', 'text');
    $redis->cmd('SADD', 'canary:upstreams', 'wrong');
    is promote($canaryd, 'v9'), 500, 'what cannot be read promotes nothing';
    $redis->cmd('SREM', 'canary:upstreams', 'wrong');
    $canaryd->stop;
};

$load->stop;

done_testing;
