# "First some, then everybody": a rule with weights of its own is judged by
# itself.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;
use JSON::PP ();

my %backends = map { $_ => backend(name => $_) } qw(blue green);
my $nginx = nginx(groups => [map { $_ => $backends{$_} } qw(blue green)])
    ->start;

my $probe = $nginx->put(weights => { blue => 100 }, rules => []);
plan skip_all => 'this module has no rules' if $probe->{status} != 200;

my $canaryd = canaryd(nginx => $nginx, redis => redis());
wait_for { $canaryd->get('/v1/upstreams')->{json}{upstreams}[0]{revision} }
    10, 'the probe to be known in Redis';
my $steps = [
    { weight => 0, hold => '1s', rules => [{
        if => { header => { name => 'X-Country', value => 'NZ' } },
        weights => { green => 50, blue => 50 } }] },
    { weight => 20, hold => '1s' },
];

my @loads = (
    load_start($nginx, rate => 200, connections => 24, seconds => 300,
        header => 'X-User: %d'),
    load_start($nginx, rate => 200, connections => 24, seconds => 300,
        header => ['X-User: %d', 'X-Country: NZ']),
);


# The recorded ticks give the same judgement, to the last digit.

sub replays {
    my ($seen, $expected) = @_;

    my ($code, $out) = canaryctl($canaryd, 'replay', $seen->{id}, '--json');
    is $code, $expected, 'replay';

    my $again = decode($out);
    is $again->{ticks}, $again->{judged}, 'every tick is recorded';
    is $again->{recorded}{$_}, $seen->{judgement}{$_}, "the same $_"
        for qw(verdict log_evidence log_safe log_errors excess_errors);
    is_deeply $again->{recorded}{requests}, $seen->{judgement}{requests},
        'the same requests';
}


subtest 'first New Zealand, then everywhere' => sub {
    my $rollout = $canaryd->start_rollout(bake => 0, on_success => 'keep',
        steps => $steps, analysis => { latency => [] });

    my ($first, $then, $seen);
    wait_for {
        my $up = $nginx->upstream;
        $first = $up if ($up->{effective}{weights}{green} // 0) == 0
            && @{ $up->{record}{rules} // [] };
        $then = $up if ($up->{effective}{weights}{green} // 0) == 20;
        $seen = $canaryd->rollout($rollout);
        $seen->{state} =~ /succeeded|aborted/;
    } 40, 'the end';

    is $seen->{state}, 'succeeded', 'it succeeded' or diag $seen->{reason};
    ok $first, 'the rule came first';
    ok $then, 'then the weight';
    ok !@{ $then->{record}{rules} // [] }, 'without the rule';
    ok $seen->{judgement}{requests}[0] > 50,
        "$seen->{judgement}{requests}[0] canary requests were judged";
    replays($seen, 0);

    my $ticks = $canaryd->get("/v1/rollouts/$rollout->{id}/ticks")
        ->{json}{ticks};
    ok((grep { ($_->{shares}{green}[1] // 0) == 50
        && $_->{shares}{green}[0] == 0 } @$ticks),
        'shares of the rule are recorded');
    ok((grep { ($_->{shares}{green}[0] // 0) == 20
        && $_->{shares}{blue}[0] == 80 } @$ticks), 'and of the weights');

    $canaryd->command_rollout($rollout, 'abort');
    $canaryd->wait_state($rollout, 'aborted');
};


subtest 'a bad version is found in the stratum' => sub {
    $backends{green}->set(error => 0.4, zero => 1);

    my $rollout = $canaryd->start_rollout(bake => 0,
        steps => [{ %{ $steps->[0] }, hold => '1h' }, $steps->[1]],
        guard => JSON::PP::false(), analysis => { latency => [] });

    my $seen;
    wait_for {
        $seen = $canaryd->rollout($rollout);
        $seen->{state} =~ /succeeded|aborted/;
    } 40, 'the end';

    is $seen->{state}, 'aborted', 'reverted';
    like $seen->{reason}, qr/evidence of harm/, $seen->{reason};
    is $seen->{step}, 0, 'in the first step';
    ok !@{ $nginx->upstream->{record}{rules} // [] }, 'no rule is left';
    replays($seen, 3);

    my @failed = map { $_->stop->{failed} } @loads;
    is $failed[0], 0, 'nobody else saw it';
    ok $failed[1] > 0, 'New Zealand did';
};

done_testing;
