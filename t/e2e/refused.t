# An nginx that refuses the routing record of a rollout: it waits, and says
# which node it is and what its nginx said, wherever somebody looks.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Mmdb;
use Canary::Test;

my $redis = redis();
my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $file = mmdb(tmpdir() . '/places.mmdb',
    ['127.0.0.0/8' => { country => { iso_code => 'DE' } }]);
my $geoip = "canary_geoip $file;";

my %nodes = map { $_ => node($_) } qw(edge-a edge-b edge-c);
my $canaryd = $nodes{'edge-a'}{canaryd};
my $load = load_start($nodes{'edge-a'}{nginx}, rate => 200, seconds => 600,
    connections => 16, header => 'X-User: %d');

my $country = { if => { country => ['NZ'] }, group => 'green' };
my $said = qr/status 422, rules\[0\]\.if\.country: needs canary_geoip/;


# Nobody is in New Zealand: the rule alone is what two of the nodes cannot take.
# Only the first has a database.

sub node {
    my ($name) = @_;

    my $nginx = nginx(groups => [blue => $blue, green => $green],
        http => $name eq 'edge-a' ? $geoip : '')->start;

    return { nginx => $nginx, canaryd => canaryd(nginx => $nginx,
        redis => $redis, node => $name) };
}


sub reason { $canaryd->rollout($_[0])->{reason} }


sub repair {
    my (@names) = @_;

    ok $nodes{$_}{nginx}->reload(http => $geoip), "$_ is repaired"
        for @names;
}


sub break {
    my (@names) = @_;

    ok $nodes{$_}{nginx}->reload(http => ''), "$_ has no database"
        for @names;
}


my $rollout = $canaryd->start_rollout(bake => 0, on_success => 'keep',
    analysis => { latency => [] }, steps => [
        { weight => 20, hold => '300ms' },
        { weight => 30, hold => '300ms', rules => [$country] },
        { weight => 40, hold => '300ms' }]);


subtest 'the rollout waits, and says why' => sub {
    my $seen = $canaryd->wait_state($rollout, 'waiting');

    is $seen->{waiting_for}, 'node', 'it waits for a node';
    is $seen->{step}, 1, 'at the step whose record is refused';

    # both have tried it
    wait_for { reason($rollout) =~ /other/ } 20, 'both to be counted';
    $seen = $canaryd->rollout($rollout);
    like $seen->{reason}, qr/^node edge-b and 1 other refuse the record, /,
        'it names the node';
    like $seen->{reason}, qr/the weight is held: $said/, 'and what was said';
    is $seen->{nodes}{confirmed}, 1, 'one has it';
    is $seen->{nodes}{refused}{nodes}, 2, 'two do not';
    is $seen->{nodes}{refused}{node}, 'edge-b', 'the first of them';
    like $seen->{nodes}{refused}{error}, qr/^$said/, 'and why';

    my $other = $nodes{'edge-c'}{canaryd};
    is $other->rollout($rollout)->{reason}, $seen->{reason},
        'every node says so';
};


subtest 'wherever somebody looks' => sub {
    my ($code, $out) = canaryctl($canaryd, 'status', '--upstream', 'app');
    is $code, 0, 'status';
    like $out, qr/^state +waiting for node/m, 'the state';
    like $out, qr/^reason +node edge-b and 1 other refuse .* $said/m,
        'the reason';
    like $out, qr/^nodes +1 of 3 .*; edge-b and 1 more refuse it: $said/m,
        'the nodes';

    ($code, $out) = canaryctl($canaryd, 'explain', '--upstream', 'app');
    is $code, 0, 'explain';
    like $out, qr/waiting for node: node edge-b/, 'the summary';
    like $out, qr/nginx of edge-b and of 1 other takes the record/,
        'what has to happen';

    my ($event) = grep { $_->{type} eq 'waiting' }
        @{ $canaryd->get("/v1/rollouts/$rollout->{id}/events")
            ->{json}{events} };
    like $event->{detail}, qr/^node edge-[bc].* the record.*$said/,
        'the event: its words';
    like $event->{data}{nodes}{refused}{error}, qr/^$said/, 'and data';

    # the stream gives what was before to who asks for it
    my ($socket) = $canaryd->target =~ /^unix:(.*)/;
    my $curl = spawn(name => 'curl', out => tmpdir() . '/stream',
        cmd => ['curl', '-sN', '--unix-socket', $socket,
            'http://localhost/v1/events?upstream=app&after=app/0-0']);
    ok wait_for { slurp(tmpdir() . '/stream')
        =~ /^data: .*"type":"waiting".*refuse.*canary_geoip/m } 20,
        'the event stream';
    stop_process($curl, 'TERM');
};


subtest 'a canaryd that starts again' => sub {
    my $revision = $canaryd->rollout($rollout)->{revision};
    my $node = $nodes{'edge-b'};

    $node->{canaryd}->stop;
    $node->{canaryd} = canaryd(nginx => $node->{nginx}, redis => $redis,
        node => 'edge-b');
    ok wait_for { reason($rollout) =~ /edge-b and 1 other/
        && $node->{canaryd}->log =~ /nginx refused the record/ } 20,
        'it has tried it again';
    is scalar(grep { $_->{type} eq 'resumed' }
        @{ $canaryd->get("/v1/rollouts/$rollout->{id}/events")
            ->{json}{events} }), 0, 'the rollout did not go on meanwhile';
    is $canaryd->rollout($rollout)->{revision}, $revision,
        'under the same revision';
};


subtest 'one is repaired' => sub {
    repair('edge-b');
    ok wait_for { reason($rollout) =~ /^node edge-c refuses the record/ } 20,
        'the other one is named' or diag reason($rollout);
    is $canaryd->rollout($rollout)->{step}, 1, 'it does not go on';
    is $canaryd->rollout($rollout)->{step_held_ms}, 0, 'nor its clock';
};


subtest 'repaired' => sub {
    repair('edge-c');

    my $seen = $canaryd->wait_state($rollout, 'succeeded');
    is $seen->{nodes}{confirmed}, 3, 'all have its record';
    ok !exists $seen->{nodes}{refused}, 'nobody refuses it';

    my ($resumed) = grep { $_->{type} eq 'resumed' }
        @{ $canaryd->get("/v1/rollouts/$rollout->{id}/events")
            ->{json}{events} };
    is $resumed->{detail}, 'its nodes are live and take the record',
        'it went on';
    ok !(grep { exists $_->{error} } map { @{ $_->{nodes} } }
        @{ $canaryd->get('/v1/upstreams')->{json}{upstreams} }),
        'no node complains';
    $canaryd->command_rollout($rollout, 'abort');
    $canaryd->wait_state($rollout, 'aborted');
};


subtest 'a first step that is refused, and aborted' => sub {
    break('edge-b');

    my $rollout = $canaryd->start_rollout(
        steps => [{ weight => 30, hold => '1h', rules => [$country] }]);
    my $seen = $canaryd->wait_state($rollout, 'waiting');
    like $seen->{reason}, qr/^node edge-b refuses the record/, 'it waits';

    is $canaryd->command_rollout($rollout, 'abort',
        { reason => 'no geoip' })->{status}, 200, 'aborted';
    $seen = $canaryd->wait_state($rollout, 'aborted');
    like $seen->{reason}, qr/no geoip/, 'for its own reason';
    is $seen->{nodes}{confirmed}, 3, 'confirmed by all';
    ok !exists $seen->{nodes}{refused}, 'which nobody refuses';
};


subtest 'a group that a reload takes away' => sub {
    repair('edge-b');

    my $nginx = $nodes{'edge-c'}{nginx};
    my $rollout = $canaryd->start_rollout(
        steps => [{ weight => 30, hold => '1h' }]);
    wait_for { $canaryd->rollout($rollout)->{nodes}{confirmed} == 3 } 20,
        'its record everywhere';

    ok $nginx->reload(canary => 'zone=edge blue red',
        upstreams => 'upstream red { server ' . $green->target . '; }'),
        'green is red now';

    my $seen = $canaryd->wait_state($rollout, 'waiting');
    like $seen->{reason}, qr/^node edge-c refuses the record, .*: its nginx\.conf has no group green any more/,
        'it waits, and says why';
    is $seen->{nodes}{confirmed}, 2, 'one has it no more';

    $canaryd->command_rollout($rollout, 'abort');
    $seen = $canaryd->wait_state($rollout, 'aborted');
    is $seen->{nodes}{confirmed}, 3, 'an abort reaches all';

    my $r = $canaryd->post('/v1/rollouts', { upstream => 'app',
        canary => 'green', version => 'v3' });
    is $r->{status}, 409, 'a new one: others have the group';
    like $r->{json}{detail}, qr/green is no group of app on edge-c; its groups are blue, red/,
        'that one has not';

    ok $nginx->reload(canary => 'zone=edge blue green', upstreams => ''),
        'it is back';
    wait_for {
        $r = $canaryd->post('/v1/rollouts', { upstream => 'app',
            canary => 'green', version => 'v3' });
        $r->{status} == 201;
    } 20, 'a start';
    $canaryd->command_rollout($r->{json}, 'abort');
    $canaryd->wait_state($r->{json}, 'aborted');
    break('edge-b');
};


subtest 'a refusal that a higher revision has ended' => sub {
    my $rollout = $canaryd->start_rollout(lease => '1h',
        steps => [{ weight => 30, hold => '1h', rules => [$country] }]);
    $canaryd->wait_state($rollout, 'waiting');

    # by hand, at the node, as docs/operations.md has it
    my $nginx = $nodes{'edge-b'}{nginx};
    is $nginx->put(revision => 1000000, weights => { blue => 100 })->{status},
        200, 'a record by hand';

    my $seen = $canaryd->wait_state($rollout, 'aborted');
    ok !exists $seen->{nodes}{refused}, 'nothing is refused any more';
    like $seen->{reason}, qr/redis lost/, $seen->{reason};
    wait_for { $nginx->upstream->{record}{revision} > 1000000
        || $canaryd->rollout($rollout)->{revision} >= 1000000 } 20,
        'the record by hand to be everywhere';
    ok !(grep { exists $_->{error} } map { @{ $_->{nodes} } }
        @{ $canaryd->get('/v1/upstreams')->{json}{upstreams} }),
        'no node complains';
};

$load->stop;
done_testing;
