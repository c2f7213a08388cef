# Blue-green with a holdback, experiments, ramps by evidence, objectives,
# deadlines, the guard, and promotion from one environment to the next.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;
use JSON::PP ();

my %backends = map { $_ => backend(name => $_) } qw(blue green red);
my $nginx = nginx(groups => [map { $_ => $backends{$_} } qw(blue green red)],
    canary => 'zone=edge blue green red')->start;
my $canaryd = canaryd(nginx => $nginx, redis => redis());

my $load = load_start($nginx, rate => 400, connections => 48,
    seconds => 600, header => 'X-User: %d', keys => 5000);


sub weights { $nginx->upstream->{effective}{weights} }


sub ended {
    my ($rollout) = @_;

    my $seen;
    wait_for {
        $seen = $canaryd->rollout($rollout);
        $seen->{state} =~ /succeeded|aborted/;
    } 40, 'the end';

    return $seen;
}


subtest 'blue-green with a holdback' => sub {
    my $rollout = $canaryd->start_rollout(strategy => 'blue-green',
        holdback => 10, bake => '1s', on_success => 'keep',
        environment => 'staging', version => 'v1', commit => 'abc',
        build => '812', ticket => 'OPS-1');

    is $rollout->{strategy}, 'blue-green', 'strategy';
    is $rollout->{environment}, 'staging', 'environment';
    is $rollout->{commit}, 'abc', 'commit';
    is $rollout->{build}, '812', 'build';
    is $rollout->{ticket}, 'OPS-1', 'ticket';

    my $seen = $canaryd->wait_state($rollout, 'baking');
    is weights()->{green}, 90, 'flipped but for the holdback';
    is $nginx->upstream->{record}{guard}{group}, 'green', 'with a guard';

    $seen = ended($rollout);
    is $seen->{state}, 'succeeded', 'it succeeded' or diag $seen->{reason};
    ok $seen->{judgement}{requests}[2] > 0, 'compared with the holdback';
    is_deeply [sort keys %{ $seen->{measured_weights} }], [qw(blue green)],
        'measured weights';
    ok abs($seen->{measured_weights}{green} - 90) < 8,
        "near the intended: $seen->{measured_weights}{green}";
    ok defined $seen->{traffic}{green}{p95_ms}, 'p95';

    my $r = $canaryd->command_rollout($rollout, 'abort');
    is $r->{status}, 200, 'taken back';
    is weights()->{blue}, 100, 'at once';
    ended($rollout);
};


subtest 'promotion' => sub {
    my %spec = (version => 'v2', environment => 'production',
        promotion => { from => 'staging' }, guard => JSON::PP::false);
    my $r;

    $r = $canaryd->post('/v1/rollouts', { upstream => 'app',
        canary => 'green', %spec });
    is $r->{status}, 409, 'refused: it has not succeeded there';
    is $r->{json}{field}, 'promotion', 'field';
    is $r->{json}{detail}, 'version v2 has not succeeded in staging',
        'detail';

    $r = $canaryd->post('/v1/rollouts', { upstream => 'app',
        canary => 'green', %spec, version => 'v1' });
    is $r->{status}, 409, 'nor what succeeded and was taken back';

    my $staging = $canaryd->start_rollout(version => 'v2',
        environment => 'staging', bake => 0, on_success => 'keep',
        steps => [{ weight => 20, hold => '300ms' }]);
    is ended($staging)->{state}, 'succeeded', 'now it has';

    $r = $canaryd->post('/v1/rollouts', { upstream => 'app',
        canary => 'green', %spec });
    is $r->{status}, 201, 'and may go on';

    $canaryd->command_rollout($r->{json}, 'abort');
    is ended($r->{json})->{state}, 'aborted', 'enough of it';
    ok !$nginx->upstream->{record}{guard}, 'no guard';
};


subtest 'an experiment' => sub {
    $backends{red}->set(error => 0.4, zero => 1);

    my $rollout = $canaryd->start_rollout(strategy => 'experiment',
        groups => { green => 20, red => 20 },
        duration => '10s', analysis => { latency => [] });

    $canaryd->wait_state($rollout, 'progressing');
    wait_for { (weights()->{red} // 0) == 20 } 10, 'the record';
    is_deeply [@{ weights() }{qw(blue green red)}], [60, 20, 20], 'weights';

    my $seen;
    wait_for {
        $seen = $canaryd->rollout($rollout);
        $seen->{groups}{red}{result} eq 'harm';
    } 30, 'the harmful one to be found';

    is $seen->{state}, 'progressing', 'the other goes on';
    wait_for { (weights()->{red} // 0) == 0 } 5, 'it is taken out';
    is weights()->{green}, 20, 'the other keeps its share';
    is weights()->{blue}, 80, 'stable has the rest';

    my ($rc, $status) = canaryctl($canaryd, 'status', $rollout->{id});
    is $rc, 0, 'canaryctl status';
    like $status, qr/^result   green: running \(\w+\), odds 1 : /m,
        'has the group that goes on';
    like $status, qr/^result   red: harm, odds 1 : \d+, excess errors \d/m,
        'and the one that is out';
    unlike $status, qr/^verdict /m, 'no verdict of one for all';
    my $number = qr/[\d.]+/;
    like $status, qr/^$_->[0] +$_->[1] +$_->[2] %(?: +$number){9}$/m,
        "the health of $_->[0]"
        for ['blue', 'stable', 80], ['green', 'group', 20],
            ['red', 'group', 0];

    $seen = ended($rollout);
    ($rc, my $watched) = canaryctl($canaryd, 'watch', $rollout->{id});
    is $rc, 0, 'canaryctl watch';
    like $watched, qr/\ \ green\ \d+\ requests,\ 0\.00\ %\ errors
        .*?\ \ (?:safe|undecided),\ odds\ 1\ :\ \d
        .*?\ \ red\ \d+\ requests,\ \d\d\.\d\d\ %\ errors
        .*?\ \ harm,\ odds\ 1\ :\ \d/x, 'has both' or diag $watched;

    is $seen->{state}, 'succeeded', 'it ended' or diag $seen->{reason};
    like $seen->{groups}{green}{result}, qr/^(safe|undecided)$/,
        "a result: $seen->{groups}{green}{result}";
    is $seen->{groups}{red}{result}, 'harm', 'for each';
    like $seen->{reason}, qr/experiment is over: green \w+, red harm/,
        'said in words';
    wait_for { weights()->{blue} == 100 } 5, 'all back to stable';
    $backends{red}->set(error => 0);

    my ($out) = grep { $_->{type} eq 'group_out' }
        @{ $canaryd->get("/v1/rollouts/$rollout->{id}/events")
            ->{json}{events} };
    my $data = $out->{data};
    is_deeply [sort keys %{ $data->{counts} }], [qw(blue green red)],
        'the event has the counts of all groups';
    is $data->{groups}{red}{result}, 'harm', 'and their results';
    cmp_ok $data->{groups}{red}{log_evidence}, '>=',
        $data->{limits}{log_harm}, 'which is what it was held against';
    cmp_ok abs($data->{limits}{log_harm} - log(2 / 0.01)), '<', 0.001,
        'alpha is shared out';
    ok !$data->{evidence}, 'no evidence of the whole';

    my $past = $canaryd->get("/v1/rollouts/$rollout->{id}/series")->{json};
    my $points = $past->{series};
    my $n = @{ $points->{at_ms} };
    cmp_ok $n, '>', 3, 'the past has points';
    is_deeply [sort keys %{ $points->{groups} }], [qw(green red)],
        'of each group';
    for my $group (qw(green red)) {
        my $its = $points->{groups}{$group};
        is_deeply { map { $_ => scalar @{ $its->{$_} } } keys %$its },
            { map { $_ => $n } qw(weight log_evidence log_safe error_rate
                requests_per_second p50_ms p99_ms) }, "$group: all columns";
        cmp_ok abs($its->{$_}[-1] - $seen->{groups}{$group}{judgement}{$_}),
            '<', 0.002, "$group: $_ as the rollout has it"
            for qw(log_evidence log_safe);
        ok exists $past->{latency}{groups}{$group}
            && @{ $past->{latency}{groups}{$group} }
                == @{ $past->{latency}{from_ms} }, "$group: its latency";
    }
    ok((grep { $_ == 20 } @{ $points->{groups}{red}{weight} }),
        'red had its share');
    is $points->{groups}{red}{weight}[-1], 0, 'and lost it';
    ok((grep { ($_ // 0) > 0.2 } @{ $points->{groups}{red}{error_rate} }),
        'for its errors');
    ok !(grep { ($_ // 0) > 0 } @{ $points->{groups}{green}{error_rate} }),
        'which green had none of';
    my $first = $past->{canary_group};
    is_deeply $points->{canary}{error_rate},
        $points->{groups}{$first}{error_rate}, 'the canary is the first';
    is_deeply $points->{$_}, $points->{groups}{$first}{$_}, "and its $_"
        for qw(weight log_evidence log_safe);

    my $explained = $canaryd->get("/v1/rollouts/$rollout->{id}/explain")
        ->{json};
    like $explained->{summary}, qr/harm of green 1 : .*harm of red 1 : /,
        'explained for each';
    ok((grep { $_->{text} =~ /red is taken out.*harm of red 1 : / }
        @{ $explained->{decisions} }), 'in words');

    my ($code, $text) = canaryctl($canaryd, 'replay', $rollout->{id},
        '--json');
    is $code, 0, 'not all groups would be taken out';
    my $again = decode($text);
    is $again->{ticks}, $again->{judged}, 'every tick is recorded';

    for my $group (qw(green red)) {
        is $again->{recorded}{groups}{$group}{$_},
            $seen->{groups}{$group}{judgement}{$_}, "$group: the same $_"
            for qw(verdict log_evidence log_safe log_errors);
        is_deeply $again->{recorded}{groups}{$group}{requests},
            $seen->{groups}{$group}{judgement}{requests},
            "$group: the same requests";
    }

    ($code, $text) = canaryctl($canaryd, 'replay', $rollout->{id});
    like $text, qr/green.*red harm.*is taken out at tick \d+/s, 'in words';
};


subtest 'a ramp by evidence' => sub {
    my $rollout = $canaryd->start_rollout(ramp => 'evidence', bake => 0,
        on_success => 'keep',
        analysis => { burst => 1, safe_slack => 0.05, latency => [] },
        steps => [map { { weight => $_, hold => '1h', min_requests => 100 } }
            20, 60]);

    my $seen;
    wait_for {
        $seen = $canaryd->rollout($rollout);
        ($seen->{judgement}{needed_requests} // 0) > 0
    } 10, 'how far it is';
    ok $seen->{judgement}{needed_requests} < 1000,
        "$seen->{judgement}{needed_requests} requests to go";

    $seen = ended($rollout);
    is $seen->{state}, 'succeeded', 'without waiting for an hour'
        or diag $seen->{reason};
    is $seen->{judgement}{needed_requests}, 0, 'nothing is left to show';
    like $seen->{reason}, qr/shown to be safe/, $seen->{reason};
};


# The judge has no say: it is told to look for nothing that happens here.

sub objective {
    my (%slo) = @_;

    return $canaryd->start_rollout(bake => 0, deadline => '4s',
        on_success => 'keep', guard => JSON::PP::false,
        slo => { %slo, min_requests => 40 },
        analysis => { alpha => 1e-200, max_error_rate => 0, latency => [] },
        steps => [{ weight => 20, hold => '300ms' },
            { weight => 50, hold => '300ms' }]);
}


subtest 'objectives and a deadline' => sub {
    for (
        ['p95', { delay_ms => 40 }, { p95_ms => 20 },
            qr/p95 is [\d.]+ ms, above 20 ms/],
        ['error rate', { error => 0.4, zero => 1 }, { error_rate => 0.05 },
            qr/[\d.]+ % errors, above 5 %/],
    ) {
        my ($what, $fault, $slo, $says) = @$_;

        $backends{green}->set(%$fault);
        my $rollout = objective(%$slo);

        my $seen = $canaryd->wait_state($rollout, 'waiting');
        is $seen->{waiting_for}, 'slo', "$what: held";
        like $seen->{reason}, $says, $seen->{reason};
        is weights()->{green}, 20, "$what: with its weight";

        $seen = ended($rollout);
        is $seen->{state}, 'aborted', "$what: reverted";
        like $seen->{reason}, qr/deadline of 4s is over: $says/,
            $seen->{reason};
        is weights()->{blue}, 100, "$what: stable has all";

        my @moves = grep { $_->{type} =~ /^(?:started|step|baking)$/ }
            @{ $canaryd->get("/v1/rollouts/$rollout->{id}/events")
                ->{json}{events} };
        is scalar @moves, 1, "$what: it never went on";
    }

    # the same errors, allowed
    my $rollout = objective(error_rate => 0.9);
    is ended($rollout)->{state}, 'succeeded', 'below the rate it goes on'
        or diag $canaryd->rollout($rollout)->{reason};
    $canaryd->command_rollout($rollout, 'abort');
    ended($rollout);
    $backends{green}->set(delay_ms => 0, error => 0);
};


subtest 'the guard' => sub {
    $backends{green}->set(error => 1, zero => 1);

    my $rollout = $canaryd->start_rollout(
        guard => { failures => 5, ratio => 0.5, window => '5s' },
        analysis => { alpha => 1e-200, max_error_rate => 0, latency => [] },
        steps => [{ weight => 20, hold => '1h' }]);

    my $seen = ended($rollout);
    is $seen->{state}, 'aborted', 'a node that keeps it out ends it';
    like $seen->{reason}, qr/guard of 1 node keeps green out/,
        $seen->{reason};
    is weights()->{blue}, 100, 'stable has all';
    $backends{green}->set(error => 0);
};


subtest 'what is not there' => sub {
    my $problem = sub {
        my ($field, %spec) = @_;
        my $r = $canaryd->post('/v1/rollouts', { upstream => 'app', %spec });
        is $r->{status}, 422, "$field: refused";
        is $r->{json}{field}, $field, 'by its field' or diag $r->{body};
    };

    $problem->('groups', strategy => 'experiment',
        groups => { green => 5, pink => 5 });
    $problem->('groups', strategy => 'experiment', groups => { blue => 5 });
    $problem->('canary', canary => 'pink');
    $problem->('steps[0].rules', canary => 'green', steps => [{ weight => 1,
        rules => [{ if => { country => ['NZ'] }, group => 'pink' }] }]);
    $problem->('rolling.servers', canary => 'green', strategy => 'rolling',
        rolling => { by => 'servers' });
};

$load->stop;
done_testing;
