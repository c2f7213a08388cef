# The leader dies or sleeps in mid-step: another one goes on in less than 3 s,
# with the evidence; who wakes up changes nothing.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $redis = redis();
my @groups = map { $_ => backend(name => $_) } qw(blue green);

# a tick as it is in production
my @nodes = map {
    my $nginx = nginx(groups => \@groups)->start;
    { nginx => $nginx, canaryd => canaryd(nginx => $nginx, redis => $redis,
        tick => '1s') };
} 1 .. 3;
my @loads = map { load_start($_->{nginx}, rate => 100, seconds => 200,
    connections => 8, header => 'X-User: %d') } @nodes;


sub leader { return $redis->cmd('GET', 'canary:{app}:leader') // '' }


# The canaryd that leads, and one that does not.

sub roles {
    my $name;
    wait_for { ($name) = leader() =~ /^\d+:(.*)/ } 20, 'a leader';

    my ($leads) = grep { $_->{node} eq $name } map { $_->{canaryd} } @nodes;
    my ($other) = grep { $_ != $leads && $_->running }
        map { $_->{canaryd} } @nodes;

    return ($leads, $other);
}


sub judgement {
    my ($canaryd, $rollout) = @_;

    return ($canaryd->rollout($rollout) // {})->{judgement}
        // { ticks => 0, requests => [0, 0, 0, 0] };
}


my $rollout = $nodes[0]{canaryd}->start_rollout(lease => '1h',
    steps => [{ weight => 50, hold => '1h' }]);
my ($leads, $other) = roles();
wait_for { judgement($other, $rollout)->{requests}[0] > 200 } 30, 'evidence';


# By Redis' clock, in ms: now, who leads, and when that runs out.

sub look {
    return @{ $redis->cmd('EVAL', <<'LUA', 1, 'canary:{app}:leader') };
local t = redis.call('TIME')
return {t[1] * 1000 + math.floor(t[2] / 1000),
        redis.call('GET', KEYS[1]) or '',
        redis.call('PEXPIRETIME', KEYS[1])}
LUA
}


# From the signal until another one has led, and has judged a tick: in ms, all
# of it by stamps that Redis gave.  The signal was sent before the first look
# after it.  How long this test had to wait for the CPU meanwhile, beside its
# own pauses of 50 ms, is what a canaryd may have had to wait as well: that
# much is not the product's.

sub measure {
    my ($was, $signal, %opt) = @_;

    $signal->();
    my ($sent, $who, $expires) = look();
    my ($now, $claimed, $judged, $until) = ($sent);
    my $lag = 0;

    wait_for {
        my $before = $now;
        ($now, $who, $until) = look();
        $lag = $now - $before - 60 if $now - $before - 60 > $lag;

        $expires = $until if $who eq $was;
        return 0 if !$who || $who eq $was;

        # who claims it has a whole one; later it is renewed
        $claimed //= $until - 2500;
        my $tick = $redis->cmd('XRANGE', "canary:{app}:recorded:$opt{id}",
            ($opt{handed} ? $claimed : $expires) - 1, '+', 'COUNT', 1)->[0];
        ($judged) = $tick->[0] =~ /^(\d+)/ if $tick;
        $judged;
    } 20, 'another leader to judge';

    return { left => $expires - $sent, claimed => $claimed - $sent,
        judged => $judged - $sent, lag => $lag };
}


sub takeover {
    my ($what, $signal) = @_;

    my ($leads, $other) = roles();
    my $was = leader();
    my $before = judgement($other, $rollout);
    my $revision = $redis->cmd('HGET', 'canary:{app}:route', 'revision');

    my $ms = measure($was, sub { $leads->signal($signal) },
        id => $rollout->{id});
    diag "$what: the lease had $ms->{left} ms, led again after "
        . "$ms->{claimed} ms, judged after $ms->{judged} ms, "
        . "lag of the test $ms->{lag} ms";
    # it may have been renewed on the way between signal and look
    cmp_ok $ms->{left}, '<=', 2510, "$what: a lease is not longer";
    cmp_ok $ms->{claimed}, '>=', $ms->{left},
        "$what: nobody else leads before it ran out";
    cmp_ok $ms->{judged}, '<', 3000 + $ms->{lag},
        "$what: another one judges in less than 3 s";

    my $now;
    wait_for { $now = judgement($other, $rollout);
        $now->{ticks} > $before->{ticks} } 20, 'it to judge';
    cmp_ok $now->{requests}[$_], '>=', $before->{requests}[$_],
        "$what: nothing of the evidence is lost ($_)" for 0 .. 3;
    is $redis->cmd('HGET', 'canary:{app}:route', 'revision'), $revision,
        "$what: no weight moved";
    is $other->rollout($rollout)->{state}, 'progressing',
        "$what: the rollout goes on";

    return ($leads, $was);
}


subtest 'SIGSTOP' => sub {
    my ($slept, $was) = takeover('SIGSTOP', 'STOP');
    my ($leads, $other) = roles();

    # what happens meanwhile is not what the sleeper would do
    $leads->command_rollout($rollout, 'pause', { actor => 'anna' });
    my $revision = $redis->cmd('HGET', 'canary:{app}:route', 'revision');
    my $events = $redis->cmd('XLEN', 'canary:{app}:events');

    $slept->signal('CONT');
    wait_for { $slept->log =~ /lost the lead/ } 20, 'it to hear of it';

    isnt leader(), $was, 'its token is void';
    is $redis->cmd('HGET', 'canary:{app}:route', 'revision'), $revision,
        'it moved no weight';
    is $redis->cmd('XLEN', 'canary:{app}:events'), $events,
        'and decided nothing';
    is $leads->rollout($rollout)->{state}, 'paused', 'the state is as it was';

    # all that it does with its old token is refused
    my $before = judgement($leads, $rollout)->{ticks};
    wait_for { judgement($leads, $rollout)->{ticks} > $before + 2 } 20,
        'the leader to go on';
    is_deeply [grep { /judge|advance|error/ } grep { /level=error/ }
        split /\n/, $slept->log], [], 'without an error';

    $leads->command_rollout($rollout, 'resume');
    wait_for { $leads->rollout($rollout)->{state} eq 'progressing' } 20,
        'it to go on';
};


subtest 'kill -9' => sub {
    my ($dead) = takeover('SIGKILL', 'KILL');
    reap($dead->pid, 10);
    delete $dead->{pid};
    $dead->start;
};


subtest 'SIGTERM hands over' => sub {
    my ($leads) = roles();
    my $ms = measure(leader(), sub { $leads->signal('TERM') }, handed => 1,
        id => $rollout->{id});

    diag "SIGTERM: led again after $ms->{claimed} ms, judged after "
        . "$ms->{judged} ms, lag of the test $ms->{lag} ms";
    cmp_ok $ms->{judged}, '<', 3000 + $ms->{lag}, 'soon';
    $leads->stop;
    $leads->start;
};


# A leader that wakes up in the middle of a write: the token is checked by
# Redis, not by who holds it.

subtest 'fencing' => sub {
    my ($leads) = roles();
    my $doc = $redis->cmd('HGET', "canary:{app}:rollout:$rollout->{id}",
        'doc');
    my @keys = map { "canary:{app}:$_" } 'route', "rollout:$rollout->{id}",
        'events', 'leader', "recorded:$rollout->{id}";
    my $script = slurp(root() . '/sidecar/lua/commit.lua');
    my $revision = $redis->cmd('HGET', 'canary:{app}:route', 'revision');
    my $refused;

    # between reading seq and writing, the leader may write
    wait_for {
        my $seq = $redis->cmd('HGET', "canary:{app}:rollout:$rollout->{id}",
            'seq');
        $refused = $redis->cmd('EVAL', $script, 5, @keys, 'app',
            $rollout->{id}, $seq, '1:sleeper', $doc, '', $revision + 1,
            '{"revision":1}', 1, 1, 'sleeper', 'canary:changes', 100, 1000,
            100, 0, 0, '');
        $refused->[0] ne 'seq';
    } 20, 'the seq';

    is $refused->[0], 'leader', 'an old token is refused';
    is $redis->cmd('HGET', 'canary:{app}:route', 'revision'), $revision,
        'and nothing is written';
};


$nodes[0]{canaryd}->command_rollout($rollout, 'abort');
is $nodes[0]{canaryd}->wait_state($rollout, 'aborted')->{state}, 'aborted',
    'it can be aborted';
$_->stop for @loads;
done_testing;
