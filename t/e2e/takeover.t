# canaryd dies: another one goes on with the evidence; without one the lease
# gives everything back to stable.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;


subtest 'another canaryd goes on' => sub {
    my $redis = redis();
    my @groups = map { $_ => backend(name => $_) } qw(blue green);
    my @nodes = map {
        my $nginx = nginx(groups => \@groups)->start;
        { nginx => $nginx,
          canaryd => canaryd(nginx => $nginx, redis => $redis) };
    } 1, 2;
    my @loads = map { load_start($_->{nginx}, rate => 200, seconds => 120,
        connections => 24, header => 'X-User: %d') } @nodes;

    my $rollout = $nodes[0]{canaryd}->start_rollout(lease => '1h',
        steps => [{ weight => 50, hold => '1h' }]);

    # the one that leads is to die

    my $leader;
    wait_for { $leader = eval { $redis->cmd('GET', 'canary:{app}:leader') } }
        10, 'a leader';
    my $second_leads = $leader =~ /:\Q$nodes[1]{canaryd}{node}\E$/;
    @nodes = reverse @nodes if $second_leads;

    my ($first, $second) = map { $_->{canaryd} } @nodes;
    my $nginx = $nodes[1]{nginx};

    wait_for {
        my $judgement = $first->rollout($rollout)->{judgement};
        $judgement && $judgement->{requests}[0] > 300;
    } 20, 'evidence';

    my $before = $first->rollout($rollout)->{judgement};
    my $record = $nginx->upstream->{record};
    $first->kill;

    is $second->rollout($rollout)->{state}, 'progressing',
        'the other knows the rollout';

    my $seen;
    wait_for {
        $seen = $second->rollout($rollout);
        ($seen->{judgement}{requests}[0] // 0)
            > $before->{requests}[0] + 300;
    } 30, 'the other to drive it';

    cmp_ok $seen->{judgement}{ticks}, '>', $before->{ticks},
        'the judge went on, not from nothing';
    is $seen->{state}, 'progressing', 'the rollout goes on';
    is_deeply $nginx->upstream->{record}{weights}, $record->{weights},
        'the weights did not move';

    $groups[3]->set(error => 0.5);
    wait_for { $second->rollout($rollout)->{state} eq 'aborted' } 30,
        'the other to revert it';
    is $nginx->upstream->{effective}{weights}{blue}, 100, 'reverted';
    $_->stop for @loads;
};


subtest 'the lease' => sub {
    my $s = stack();
    my ($canaryd, $nginx, $green) = @$s{qw(canaryd nginx green)};
    my $load = load_start($nginx, rate => 200, seconds => 120,
        header => 'X-User: %d');

    my $rollout = $canaryd->start_rollout(lease => '1s',
        steps => [{ weight => 50, hold => '1h' }]);

    wait_for { $green->counts->{requests} > 200 } 20,
        'more traffic than one lease brings';

    my $up = $nginx->upstream;
    is $up->{effective}{lapsed}, JSON::PP::false, 'the lease is renewed';
    is $up->{record}{lease_ms}, 1000, 'it is one of a second';

    $canaryd->kill;

    wait_for { $nginx->upstream->{effective}{lapsed} } 5, 'the lapse';

    my $before = $green->counts->{requests};
    my $stable = $s->{blue}->counts->{requests};
    wait_for { $s->{blue}->counts->{requests} > $stable + 200 } 10,
        'traffic';
    is $green->counts->{requests}, $before, 'stable serves everybody';
    is $load->stop->{failed}, 0, 'no request failed';

    # it comes back and goes on
    $canaryd->start;
    wait_for { !$nginx->upstream->{effective}{lapsed} } 15,
        'the lease to begin anew';
    is $canaryd->command_rollout($rollout, 'abort')->{status}, 200,
        'abort';
};

done_testing;
