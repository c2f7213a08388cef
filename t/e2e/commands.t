# What people do to a rollout: abort from every state that can be held, pause,
# resume, promote; two starts at once.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $s = stack();
my ($canaryd, $nginx, $blue, $green) = @$s{qw(canaryd nginx blue green)};

my %long = (steps => [{ weight => 40, hold => '1h' }]);
my $load;


sub traffic {
    $load //= load_start($nginx, rate => 200, connections => 16,
        seconds => 300, header => 'X-User: %d');
}


sub quiet {
    $load->stop if $load;
    undef $load;
}


sub green { $nginx->upstream->{effective}{weights}{green} // 0 }


# Aborts what is in this state: stable has all traffic by the answer.

sub abort_from {
    my ($what, $rollout) = @_;

    my $r = $canaryd->command_rollout($rollout, 'abort',
        { reason => "a test of $what", actor => 'tester' });
    my $green = green();

    is $r->{status}, 200, "$what: aborted" or diag $r->{body};
    is $green, 0, "$what: stable has all traffic by the answer";
    is $r->{json}{abort}{nodes}, 1, "$what: of one node";
    is $r->{json}{abort}{confirmed}, 1, "$what: one confirmed";
    cmp_ok $r->{json}{abort}{milliseconds}, '<', 1000,
        "$what: in $r->{json}{abort}{milliseconds} ms";

    my $end = $canaryd->wait_state($rollout, 'aborted');
    is $end->{actor}, 'tester', "$what: by whom";
    like $end->{reason}, qr/a test of $what/, "$what: and why";

    is $canaryd->command_rollout($rollout, 'abort')->{status}, 200,
        "$what: once more changes nothing";
}


subtest 'progressing' => sub {
    traffic();
    my $rollout = $canaryd->start_rollout(%long);

    wait_for { green() == 40 } 10, 'the first step';
    is $canaryd->rollout($rollout)->{state}, 'progressing', 'state';
    abort_from('progressing', $rollout);
};


subtest 'paused, resumed' => sub {
    traffic();
    my $rollout = $canaryd->start_rollout(%long);
    $canaryd->wait_state($rollout, 'progressing');

    my $r = $canaryd->command_rollout($rollout, 'pause',
        { actor => 'anna', reason => 'lunch' });
    is $r->{status}, 200, 'paused';
    is $r->{json}{state}, 'paused', 'by the answer';
    is $r->{json}{actor}, 'anna', 'by whom';
    like $r->{json}{reason}, qr/lunch/, 'why';
    is $canaryd->command_rollout($rollout, 'pause')->{status}, 409,
        'cannot be paused again';

    my $held = $canaryd->rollout($rollout)->{step_held_ms};
    my $counted = $blue->counts->{requests};
    wait_for { $blue->counts->{requests} > $counted + 100 } 10, 'traffic';
    is $canaryd->rollout($rollout)->{step_held_ms}, $held,
        'its clock stands still';
    is green(), 40, 'its weight stays';

    $r = $canaryd->command_rollout($rollout, 'resume');
    is $r->{json}{state}, 'progressing', 'resumed';
    wait_for { $canaryd->rollout($rollout)->{step_held_ms} > $held } 10,
        'the clock to go on';

    $canaryd->command_rollout($rollout, 'pause');
    abort_from('paused', $rollout);
};


subtest 'waiting for approval' => sub {
    traffic();
    my $rollout = $canaryd->start_rollout(bake => '1h',
        steps => [{ weight => 10, hold => '200ms', approval => \1 },
                  { weight => 60, hold => '200ms', approval => \1 }]);

    my $seen = $canaryd->wait_state($rollout, 'waiting');
    is $seen->{waiting_for}, 'approval', 'waits for approval';
    is $seen->{step}, 0, 'at the first step';

    my $r = $canaryd->command_rollout($rollout, 'promote');
    is $r->{status}, 200, 'approved';
    is $r->{json}{step}, 1, 'goes on';
    wait_for { green() == 60 } 10, 'the second step';

    $seen = $canaryd->wait_state($rollout, 'waiting');
    is $seen->{waiting_for}, 'approval', 'waits again';
    abort_from('waiting', $rollout);
};


subtest 'promoted by hand, baking' => sub {
    traffic();
    my $rollout = $canaryd->start_rollout(bake => '1h',
        steps => [{ weight => 10, hold => '1h' },
                  { weight => 50, hold => '1h' }]);
    $canaryd->wait_state($rollout, 'progressing');

    my $r = $canaryd->command_rollout($rollout, 'promote');
    is $r->{json}{step}, 1, 'on to the next step at once';
    wait_for { green() == 50 } 10, 'its weight';

    $r = $canaryd->command_rollout($rollout, 'promote');
    is $r->{json}{state}, 'baking', 'on to the bake';
    abort_from('baking', $rollout);
};


subtest 'waiting for data' => sub {
    quiet();
    my $rollout = $canaryd->start_rollout(%long,
        analysis => { stale_ticks => 5 });
    my $seen = $canaryd->wait_state($rollout, 'waiting');

    is $seen->{waiting_for}, 'no_data', 'nothing to judge';
    abort_from('no data', $rollout);
};


subtest 'no data, and data again' => sub {
    quiet();
    my $rollout = $canaryd->start_rollout(%long,
        analysis => { stale_ticks => 5 });
    $canaryd->wait_state($rollout, 'waiting');
    traffic();
    $canaryd->wait_state($rollout, 'progressing');
    abort_from('after no data', $rollout);
};


subtest 'incident' => sub {
    traffic();
    $_->set(error => 0.3) for $blue, $green;
    my $rollout = $canaryd->start_rollout(%long,
        analysis => { max_error_rate => 0.05 });
    my $seen = $canaryd->wait_state($rollout, 'waiting');

    is $seen->{waiting_for}, 'incident', 'stable itself fails';
    is green(), 40, 'the weight is held';
    abort_from('incident', $rollout);

    # the next rollout is to see nothing of it, not even in its first tick
    $_->set(error => 0, zero => 1) for $blue, $green;
    wait_for { $blue->counts->{requests} > 100 } 10, 'good traffic';
};


subtest 'after success' => sub {
    traffic();
    my $rollout = $canaryd->start_rollout(bake => 0,
        steps => [{ weight => 100, hold => '100ms' }]);
    $canaryd->wait_state($rollout, 'succeeded');
    is $nginx->upstream->{record}{stable}, 'green', 'green is stable';

    for my $command (qw(pause resume promote)) {
        is $canaryd->command_rollout($rollout, $command)->{status}, 409,
            "$command is refused";
    }

    abort_from('success', $rollout);
    is $nginx->upstream->{record}{stable}, 'blue', 'blue is stable again';
};


subtest 'a node that hangs' => sub {
    traffic();
    my $rollout = $canaryd->start_rollout(%long, lease => '1h');
    wait_for { green() == 40 } 10, 'the first step';

    my @workers = $nginx->workers;
    kill 'STOP', @workers;
    my $r = $canaryd->command_rollout($rollout, 'abort');
    is $r->{status}, 200, 'abort answers';
    is $r->{json}{abort}{confirmed}, 0, 'that nobody confirmed';
    cmp_ok $r->{seconds}, '<', 4, 'after some two seconds';
    kill 'CONT', @workers;

    $canaryd->wait_state($rollout, 'aborted');
    is green(), 0, 'reverted when it is back';
};


subtest 'two starts at once' => sub {
    traffic();

    for my $round (1 .. 5) {
        my @connections = map { http_connect($canaryd->target) } 1 .. 4;

        $_->send(POST => '/v1/rollouts',
            body => { upstream => 'app', canary => 'green', %long })
            for @connections;

        my @answers = map { $_->read } @connections;
        my @created = grep { $_->{status} == 201 } @answers;
        my @refused = grep { $_->{status} == 409 } @answers;

        is scalar @created, 1, "round $round: one was created";
        is scalar @refused, 3, "round $round: the others were refused";

        my $id = $created[0]{json}{id};
        is_deeply [map { $_->{json}{rollout} } @refused], [($id) x 3],
            'naming it';

        $canaryd->command_rollout($id, 'abort');
        $canaryd->wait_state($id, 'aborted');
    }
};

quiet();

done_testing;
