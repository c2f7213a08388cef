# Node by node over the fleet, and server by server inside a group.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;


subtest 'node by node' => sub {
    my $redis = redis();
    my @groups = map { $_ => backend(name => $_) } qw(blue green);
    my $green = $groups[3];
    my @nginx = map { nginx(groups => \@groups)->start } 1, 2;
    my @canaryd = map { canaryd(nginx => $_, redis => $redis) } @nginx;
    my @loads = map { load_start($_, rate => 200, seconds => 300,
        connections => 24, header => 'X-User: %d') } @nginx;
    my @names = map { $_->{node} } @canaryd;

    # an order that would be waited for is refused

    my $refused = sub {
        my (@order) = @_;

        return $canaryd[0]->post('/v1/rollouts', { upstream => 'app',
            canary => 'green', strategy => 'rolling',
            rolling => { by => 'nodes', order => \@order } });
    };
    my $sorted = join ', ', sort @names;

    my $r = $refused->('ghost', @names);
    is $r->{status}, 422, 'a node that there is not';
    is $r->{json}{field}, 'rolling.order[0]', 'where';
    is $r->{json}{node}, 'ghost', 'which';
    is $r->{json}{detail}, "ghost is no node of app; live are $sorted", 'why';
    is $refused->(@names, 'ghost')->{json}{field}, 'rolling.order[2]',
        'also as the last one';

    my $third = nginx(groups => \@groups)->start;
    my $gone = canaryd(nginx => $third, redis => $redis);
    $_->stop for $gone, $third;
    $r = wait_for {
        my $now = $refused->($names[1], $gone->{node});
        $canaryd[0]->command_rollout($now->{json}, 'abort')
            if $now->{status} == 201;
        $now->{status} == 409 && $now->{json}{node} && $now;
    } 20, 'a node that is away';
    is $r->{json}{field}, 'rolling.order[1]', 'where';
    is $r->{json}{node}, $gone->{node}, 'which';
    is $r->{json}{detail}, "node $gone->{node} of app is not live: start it, "
        . "or leave it out; live are $sorted", 'why';

    my $share = sub { $nginx[$_[0]]->upstream->{effective}{weights}{green} };

    my $rollout = $canaryd[0]->start_rollout(strategy => 'rolling',
        rolling => { by => 'nodes', order => [reverse @names],
            bake => '1500ms' });

    is $rollout->{steps}, 2, 'a step for each node';

    wait_for { ($share->(1) // 0) == 100 } 10, 'the first of the order';
    my $seen = $canaryd[0]->rollout($rollout);
    is $seen->{target}, $names[1], 'says whose turn it is';
    is $share->(0) // 0, 0, 'the other still serves stable';
    is $nginx[0]->upstream->{record}{revision},
        $nginx[1]->upstream->{record}{revision}, 'under the same revision';

    wait_for { ($share->(0) // 0) == 100 } 20, 'then the other';
    $seen = $canaryd[0]->rollout($rollout);
    is $seen->{target}, $names[0], 'its turn';

    $seen = $canaryd[1]->wait_state($rollout, 'succeeded');
    wait_for { 2 == grep { $_->upstream->{record}{stable} eq 'green' }
        @nginx } 5, 'green is stable on both';
    is $_->stop->{failed}, 0, 'no request failed' for @loads;


    # a bad one does not get further than the first node

    @loads = map { load_start($_, rate => 200, seconds => 300,
        connections => 24, header => 'X-User: %d') } @nginx;
    $groups[1]->set(error => 0.5, zero => 1);

    $rollout = $canaryd[0]->start_rollout(strategy => 'rolling',
        canary => 'blue', holdback => 20,
        rolling => { by => 'nodes', bake => '1h' });

    is_deeply $rollout->{spec}{rolling}{order}, [sort @names],
        'without an order: by name';
    wait_for {
        $seen = $canaryd[0]->rollout($rollout);
        $seen->{state} eq 'aborted';
    } 40, 'the revert';

    like $seen->{reason}, qr/evidence of harm/, $seen->{reason};
    is $seen->{step}, 0, 'on the first node';
    my ($first) = grep { $names[$_] eq (sort @names)[0] } 0, 1;
    my @clients = map { $_->stop } @loads;
    ok $clients[$first]{failed} > 0, 'some of its users saw it';
    is $clients[1 - $first]{failed}, 0, 'nobody else';
};


subtest 'server by server' => sub {
    my %blue = map { $_ => backend(name => "blue$_") } 1, 2, 3;
    my $green = backend(name => 'green');
    my $server = sub { Canary::Nginx::address($_[0]) };

    my $nginx = nginx(upstreams => join("\n",
        'upstream blue {', '    zone blue 64k;',
        (map { '    server ' . $server->($blue{$_}) . ' max_fails=0;' }
            1, 2, 3), '}',
        'upstream green {', '    zone green 64k;',
        '    server ' . $server->($green) . ';', '}'))->start;
    my $canaryd = canaryd(nginx => $nginx, redis => redis());
    my $load = load_start($nginx, rate => 300, seconds => 300,
        connections => 24, header => 'X-User: %d');

    my $drained = sub {
        join ' ', map { $_->{server} } grep { $_->{drain} }
            @{ $nginx->upstream->{groups}{blue}{servers} };
    };

    # the stable group itself: its weights stay as they are

    my $rollout = $canaryd->start_rollout(strategy => 'rolling',
        canary => 'blue', version => 'v2', rolling => { by => 'servers',
            servers => [map { $server->($blue{$_}) } 1, 2],
            bake => '500ms' });

    is $rollout->{steps}, 2, 'a step for each server';

    my @seen;
    my $state;
    wait_for {
        my $now = $drained->();
        push @seen, $now if $now ne '' && (!@seen || $seen[-1] ne $now);
        $state = $canaryd->rollout($rollout);
        $state->{state} =~ /succeeded|aborted/;
    } 40, 'the end';

    is $state->{state}, 'succeeded', 'it succeeded' or diag $state->{reason};
    is_deeply \@seen, [map { $server->($blue{$_}) } 1, 2],
        'each was drained, one after the other';
    wait_for { $drained->() eq '' } 5, 'all serve again';
    is $nginx->upstream->{effective}{weights}{blue}, 100,
        'the weights never moved';
    is $load->stop->{failed}, 0, 'no request failed';


    # requests in flight keep it; an abort ends the drain

    $load = load_start($nginx, rate => 300, seconds => 300,
        connections => 24, header => 'X-User: %d');
    $blue{3}->set(delay_ms => 5000);

    $rollout = $canaryd->start_rollout(strategy => 'rolling',
        canary => 'blue', rolling => { by => 'servers', drain => '1h',
            servers => [$server->($blue{3})] });
    wait_for { $drained->() eq $server->($blue{3}) } 10, 'drained';

    $state = $canaryd->rollout($rollout);
    is $state->{turn}, 'drain', 'waits for requests in flight';
    is $state->{target}, $server->($blue{3}), 'of this server';

    my $r = $canaryd->command_rollout($rollout, 'promote');
    is $r->{status}, 409, 'nothing goes past it';
    like $r->{json}{detail}, qr/being worked on/, 'says why';

    $canaryd->command_rollout($rollout, 'abort');
    wait_for { $drained->() eq '' } 10, 'it serves again';
    $blue{3}->set(delay_ms => 0);
    $load->stop;
};

done_testing;
