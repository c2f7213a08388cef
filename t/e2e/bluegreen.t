# Blue-green: flip, bake, and back to the old group if it is bad.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $s = stack();
my ($canaryd, $nginx, $blue, $green) = @$s{qw(canaryd nginx blue green)};


sub traffic {
    return load_start($nginx, rate => 300, connections => 32, seconds => 90,
        header => 'X-User: %d');
}


subtest 'flip, bake, success' => sub {
    my $load = traffic();
    my $rollout = $canaryd->start_rollout(strategy => 'blue-green',
        bake => '1500ms');

    is $rollout->{steps}, 1, 'one step';

    $canaryd->wait_state($rollout, 'baking');
    is $nginx->upstream->{effective}{weights}{green}, 100, 'flipped';
    is $nginx->upstream->{record}{stable}, 'blue', 'blue is still stable';

    my $seen = $canaryd->wait_state($rollout, 'succeeded');
    is $nginx->upstream->{record}{stable}, 'green', 'green is stable';
    is $load->stop->{failed}, 0, 'no request failed';
};


subtest 'flip and back' => sub {
    my $load = traffic();
    $blue->set(error => 0.3, zero => 1);

    my $rollout = $canaryd->start_rollout(strategy => 'blue-green',
        canary => 'blue', bake => '1h',
        analysis => { max_error_rate => 0.05 });

    wait_for { $blue->counts->{requests} > 0 } 10, 'the flip';

    my $seen;
    wait_for {
        $seen = $canaryd->rollout($rollout);
        $seen->{state} =~ /succeeded|aborted/;
    } 30;

    is $seen->{state}, 'aborted', 'reverted' or diag $seen->{reason};
    is $nginx->upstream->{effective}{weights}{green}, 100, 'to the old one';
    is $nginx->upstream->{record}{stable}, 'green', 'which stayed stable';

    my $client = $load->stop;
    is $client->{failed}, $blue->counts->{status}{500},
        "only the bad version failed, $client->{failed} requests";
    $blue->set(error => 0);
};


subtest 'keep instead of promote' => sub {
    my $load = traffic();
    my $rollout = $canaryd->start_rollout(canary => 'blue', bake => 0,
        steps => [{ weight => 30, hold => '500ms' }],
        on_success => 'keep');

    $canaryd->wait_state($rollout, 'succeeded');

    my $up = $nginx->upstream;
    is $up->{record}{stable}, 'green', 'green is still stable';
    is $up->{effective}{weights}{blue}, 30, 'the weights stay';
    is $up->{record}{lease_ms}, 0, 'without a lease';
    $load->stop;
};

done_testing;
