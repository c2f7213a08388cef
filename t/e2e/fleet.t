# Several nodes: counters add, one verdict; nodes that join, leave, restart,
# lag, or have another configuration.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $redis = redis();
my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my @groups = (blue => $blue, green => $green);
my @nodes = map { node() } 1, 2;
my ($one, $two) = map { $_->{canaryd} } @nodes;


sub node {
    my @parts = @_ ? @_ : @groups;

    my $nginx = nginx(groups => \@parts,
        canary => "zone=edge $parts[0] $parts[2]")->start;

    return { nginx => $nginx,
             canaryd => canaryd(nginx => $nginx, redis => $redis) };
}


# What an upstream's nodes look like, by name.

sub nodes {
    my ($app) = @{ $one->get('/v1/upstreams')->{json}{upstreams} };

    return { map { $_->{node} => $_ } @{ $app->{nodes} } };
}


sub judged {
    my ($rollout) = @_;

    my $r = ($one->rollout($rollout) // {})->{judgement} or return 0;

    return $r->{requests}[0] + $r->{requests}[2];
}


# So many requests on each node, from when all count for the rollout.

sub requests {
    my ($rollout, $each, @on) = @_;

    my $ticks = $one->rollout($rollout)->{judgement};
    $ticks = $ticks ? $ticks->{ticks} : 0;
    wait_for { ($one->rollout($rollout)->{judgement} // {})->{ticks}
        && $one->rollout($rollout)->{judgement}{ticks} > $ticks + 5 } 20,
        'some ticks';

    load($_->{nginx}, requests => $each, header => 'X-User: %d') for @on;
}


my $rollout = $one->start_rollout(lease => '1h',
    analysis => { stale_ticks => 100000 },
    steps => [{ weight => 50, hold => '1h' }]);

wait_for { !grep { $_->{nginx}->upstream->{record}{revision} == 0 } @nodes }
    20, 'all nodes to have the record';


subtest 'counters add' => sub {
    requests($rollout, 1000, @nodes);
    wait_for { judged($rollout) >= 2000 } 20, 'all to be judged';
    is judged($rollout), 2000, 'of both nodes, each request once';

    my $r = $two->rollout($rollout);
    is_deeply $r->{nodes}, { live => 2, confirmed => 2 }, 'two nodes';
    is_deeply $r->{judgement}{requests},
        $one->rollout($rollout)->{judgement}{requests},
        'everybody says the same';
};


subtest 'a node restarts' => sub {
    my $boot = nodes()->{$two->{node}}{boot};
    $nodes[1]{nginx}->restart;
    wait_for { nodes()->{$two->{node}}{boot} ne $boot } 20, 'the new boot';
    is $nodes[1]{nginx}->upstream->{record}{weights}{green}, 50,
        'it goes on with the record';

    requests($rollout, 500, @nodes);
    wait_for { judged($rollout) >= 3000 } 20, 'all to be judged';
    is judged($rollout), 3000, 'counters that began anew add as well';

    # its canaryd, too: what comes meanwhile is in the counters of nginx,
    # but nobody knows what of it was judged before
    $two->stop;
    $two->start;
    requests($rollout, 500, @nodes);
    wait_for { judged($rollout) >= 4000 } 20, 'all to be judged';
    is judged($rollout), 4000, 'nothing twice';
};


subtest 'a node leaves, and comes back' => sub {
    $two->stop;
    $nodes[1]{nginx}->stop;

    wait_for { !nodes()->{$two->{node}}{live} } 20, 'it to be gone';
    is $one->rollout($rollout)->{nodes}{live}, 1, 'one node';

    my $held = $one->rollout($rollout)->{step_held_ms};
    wait_for { $one->rollout($rollout)->{step_held_ms} > $held } 20,
        'the hold goes on without it';

    $one->command_rollout($rollout, 'abort');
    $one->wait_state($rollout, 'aborted');

    $nodes[1]{nginx}->start;
    is $nodes[1]{nginx}->upstream->{record}{weights}{green}, 50,
        'without canaryd it goes on where it was';
    $two->start;
    wait_for { $nodes[1]{nginx}->upstream->{record}{weights}{green} == 0 }
        20, 'it to follow';
    wait_for { my $n = nodes()->{$two->{node}};
        $n->{live} && !$n->{behind} } 20, 'it to be shown so';
    pass 'it follows the present record';
};


subtest 'a node lags' => sub {
    my $r = $one->start_rollout(lease => '1h', analysis =>
        { stale_ticks => 100000 }, steps => [{ weight => 10, hold => '1h' },
        { weight => 20, hold => '1h' }]);
    $one->wait_state($r, 'progressing');
    wait_for { $one->rollout($r)->{nodes}{confirmed} == 2 } 20, 'both';

    $two->signal('STOP');
    $one->command_rollout($r, 'promote');

    my $seen = wait_for { my $n = nodes()->{$two->{node}};
        $n->{behind} && $n } 20, 'it to be behind';
    ok $seen, 'a node that lags is shown';
    wait_for { $nodes[0]{nginx}->upstream->{record}{weights}{green} == 20 }
        20, 'the others to go on';

    $two->signal('CONT');
    wait_for { !nodes()->{$two->{node}}{behind} } 20, 'it to catch up';
    $one->command_rollout($r, 'abort');
    $one->wait_state($r, 'aborted');
};


subtest 'a node with another configuration' => sub {
    my $red = backend(name => 'red');
    my $r = $one->start_rollout(lease => '1h', analysis =>
        { stale_ticks => 100000 }, steps => [{ weight => 10,
        hold => '1h' }]);
    wait_for { $one->rollout($r)->{nodes}{confirmed} == 2 } 20, 'both';

    my $three = node(blue => $blue, red => $red);
    my $name = $three->{canaryd}{node};

    my $seen = wait_for { my $n = nodes()->{$name};
        $n->{error} && $n } 20, 'its nginx to refuse the record';
    like $seen->{error}, qr/green/, 'it is shown why';
    is_deeply $seen->{missing}, ['green'], 'and what it lacks';
    is_deeply nodes()->{$one->{node}}{missing}, ['red'],
        'and what the others lack';
    is $three->{nginx}->get('/')->{headers}{'x-backend'}, 'blue',
        'it goes on as it was';

    my $held = wait_for { my $x = $one->rollout($r);
        $x->{nodes}{live} == 3 && $x } 20, 'three nodes';
    my $ticks = $held->{judgement}{ticks};
    wait_for { $one->rollout($r)->{judgement}{ticks} > $ticks + 5 } 20,
        'some ticks';
    cmp_ok $one->rollout($r)->{step_held_ms}, '<=',
        $held->{step_held_ms} + 200, 'the hold waits for it';

    $one->command_rollout($r, 'abort');
    $one->wait_state($r, 'aborted');

    my $refused = $one->post('/v1/rollouts',
        { upstream => 'app', canary => 'green' });
    is $refused->{status}, 409, 'no rollout while it is live';
    is $refused->{json}{node}, $name, 'the node';
    is $refused->{json}{group}, 'green', 'and the group';
    like $refused->{json}{detail}, qr/green is no group of app on $name/,
        'in words';

    $refused = $one->post('/v1/rollouts',
        { upstream => 'app', canary => 'pink' });
    is $refused->{status}, 422, 'a group that nobody knows';

    $refused = $one->post('/v1/rollouts', { upstream => 'app',
        strategy => 'experiment', groups => { green => 10 },
        duration => '1h' });
    is $refused->{status}, 409, 'the same for a group of an experiment';
    is $refused->{json}{field}, 'groups', 'the field';
    is $refused->{json}{group}, 'green', 'the group';

    $refused = $one->post('/v1/rollouts', { upstream => 'app',
        strategy => 'experiment', groups => { pink => 10 },
        duration => '1h' });
    is $refused->{status}, 422, 'of an experiment, too';

    $three->{canaryd}->stop;
    wait_for { !nodes()->{$name}{live} } 20, 'it to be gone';
    $r = $one->start_rollout(steps => [{ weight => 10, hold => '1h' }]);
    ok $r->{id}, 'then it can be begun';
    $one->command_rollout($r, 'abort');
};

done_testing;
