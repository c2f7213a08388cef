# A canary by steps: promoted when it is good, reverted when it fails or is
# slow.  All of it with real traffic.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $s = stack();
my ($canaryd, $nginx, $blue, $green) = @$s{qw(canaryd nginx blue green)};

my @quick = (delay_ms => 3, jitter_ms => 3, error => 0, reset => 0,
    zero => 1);
my %analysis = (latency => [{ quantile => 0.9, tolerance => 0.25 }]);


sub traffic {
    return load_start($nginx, rate => 400, connections => 48, seconds => 90,
        header => 'X-User: %d', keys => 5000);
}


subtest 'a good version is promoted' => sub {
    $_->set(@quick) for $blue, $green;
    my $load = traffic();

    my $rollout = $canaryd->start_rollout(version => 'v2',
        steps => [map { { weight => $_, hold => '1s' } } 5, 25, 60, 100],
        bake => '1s', analysis => \%analysis);

    like $rollout->{id}, qr/^app-\w+$/, 'an id';
    is $rollout->{stable}, 'blue', 'stable';
    is $rollout->{canary}, 'green', 'canary';
    is $rollout->{version}, 'v2', 'version';
    is $rollout->{steps}, 4, 'steps';
    is $rollout->{spec}{lease}, '15s', 'defaults are filled in';

    my (@weights, @states, $seen);

    wait_for {
        $seen = $canaryd->rollout($rollout) or return;
        my $weight = $nginx->upstream->{effective}{weights}{green} // 0;

        push @weights, $weight if !@weights || $weights[-1] != $weight;
        push @states, $seen->{state}
            if !@states || $states[-1] ne $seen->{state};

        $seen->{state} =~ /succeeded|aborted/;
    } 40;

    is $seen->{state}, 'succeeded', 'it succeeded' or diag $seen->{reason};
    shift @weights while @weights && $weights[0] == 0;
    is_deeply \@weights, [5, 25, 60, 100], 'by its steps';
    shift @states if $states[0] eq 'pending';
    is_deeply \@states, [qw(progressing baking succeeded)], 'by its states';
    ok $seen->{finished}, 'has an end';

    my $up = $nginx->upstream;
    is $up->{record}{stable}, 'green', 'green is stable now';
    is $up->{record}{lease_ms}, 0, 'without a lease';
    is $up->{effective}{weights}{green}, 100, 'and serves everybody';

    my ($shown) = @{ $canaryd->get('/v1/upstreams')->{json}{upstreams} };
    is $shown->{stable}, 'green', 'canaryd says so';
    ok !$shown->{active}, 'nothing is active';
    is $shown->{rollout}, $rollout->{id}, 'the latest rollout';

    my $client = $load->stop;
    is $client->{failed}, 0, "none of $client->{finished} requests failed";
    ok $seen->{judgement}{requests}[0] > 100, 'the canary was judged';
};


# Roles are swapped: the next canary is blue.

sub revert {
    my ($what, $strength, @bad) = @_;

    subtest $what => sub {
        $_->set(@quick) for $blue, $green;
        $blue->set(@bad);

        my $load = traffic();
        my $rollout = $canaryd->start_rollout(canary => 'blue',
            version => 'bad', analysis => \%analysis,
            warmup => '500ms',
            steps => [map { { weight => $_, hold => '20s' } } 25, 100]);

        is $rollout->{stable}, 'green', 'stable';

        my $seen;
        wait_for {
            $seen = $canaryd->rollout($rollout);
            $seen->{state} =~ /succeeded|aborted/;
        } 40;

        is $seen->{state}, 'aborted', 'reverted' or diag $seen->{reason};
        is $seen->{judgement}{verdict}, 'harm', 'for harm';
        like $seen->{reason}, qr/evidence/, $seen->{reason};
        is $seen->{actor}, 'canaryd', 'by nobody';

        is $nginx->upstream->{effective}{weights}{green}, 100,
            'stable serves everybody';

        my $before = $blue->counts->{requests};
        my $stable = $green->counts->{requests};
        wait_for { $green->counts->{requests} > $stable + 200 } 10,
            'more traffic';
        is $blue->counts->{requests}, $before,
            'nothing reaches the bad version any more';

        my $client = $load->stop;
        my $bad = $blue->counts;
        $strength->($client, $bad);
    };
}


revert('20 % of 500s', sub {
    my ($client, $bad) = @_;
    is $client->{failed}, $bad->{status}{500},
        "the failed requests are the $bad->{status}{500} of the backend";
}, error => 0.2);

revert('resets', sub {
    my ($client, $bad) = @_;
    ok $bad->{reset} > 0, "$bad->{reset} resets";
}, reset => 0.3);

revert('twice as slow', sub {
    my ($client) = @_;
    is $client->{failed}, 0, 'no request failed';
}, delay_ms => 9, jitter_ms => 9);


subtest 'the list' => sub {
    my $list = $canaryd->get('/v1/rollouts')->{json}{rollouts};
    is scalar @$list, 4, 'four rollouts';
    is_deeply [map { $_->{state} } @$list],
        [qw(aborted aborted aborted succeeded)], 'newest first';
    is scalar @{ $canaryd->get('/v1/rollouts?limit=2')->{json}{rollouts} },
        2, 'with a limit';
    is_deeply $canaryd->get('/v1/rollouts?state=active')->{json}{rollouts},
        [], 'none is active';
    is scalar @{ $canaryd->get('/v1/rollouts?upstream=app')
        ->{json}{rollouts} }, 4, 'all are of app';
    is_deeply $canaryd->get('/v1/rollouts?upstream=other')
        ->{json}{rollouts}, [], 'none of another';
};

done_testing;
