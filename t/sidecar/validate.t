# Wrong input to the REST API: its status, the field to blame, and nothing
# else happens.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $s = stack();
my ($canaryd, $nginx) = @$s{qw(canaryd nginx)};

my %spec = (upstream => 'app', canary => 'green');
my $before = $nginx->upstream->{record};

# what, body, status, field
my @wrong = (
    ['not JSON', '{"upstream": ', 400],
    ['a NUL in a string', '{"upstream": "app", "canary": "green", '
        . '"version": "v1\u0000x"}', 400],
    ['nothing', '', [400, 422]],
    ['half a character', "{\"upstream\": \"\xc3\"}", [400, 422]],
    ['a list', [], 400],
    ['no upstream', { canary => 'green' }, 422, 'upstream'],
    ['no canary', { upstream => 'app' }, 422, 'canary'],
    ['an unknown field', { %spec, cannary => 1 }, 422, 'cannary'],
    ['a field twice', '{"upstream":"app","canary":"green","bake":1,"bake":2}',
        422, 'bake'],
    ['an unknown upstream', { %spec, upstream => 'nowhere' }, 422,
        'upstream'],
    ['an upstream of bad letters', { %spec, upstream => '../app' }, 422,
        'upstream'],
    ['an upstream that is a number', { %spec, upstream => 7 }, 422,
        'upstream'],
    ['an unknown group', { %spec, canary => 'red' }, 422, 'canary'],
    ['the stable group', { %spec, canary => 'blue' }, 422, 'canary'],
    ['a strategy of its own', { %spec, strategy => 'yolo' }, 422,
        'strategy'],
    ['a version that is a number', { %spec, version => 1.4 }, 422,
        'version'],
    ['a version that is too long', { %spec, version => 'v' x 200 }, 422,
        'version'],
    ['no steps', { %spec, steps => [] }, 422, 'steps'],
    ['too many steps', { %spec, steps => [({ weight => 1 }) x 33] }, 422,
        'steps'],
    ['a step without weight', { %spec, steps => [{ hold => '1s' }] }, 422,
        'steps[0].weight'],
    ['weight 0', { %spec, steps => [{ weight => 0 }] }, 422,
        'steps[0].weight'],
    ['weight 101', { %spec, steps => [{ weight => 1 }, { weight => 101 }] },
        422, 'steps[1].weight'],
    ['a negative weight', { %spec, steps => [{ weight => -1 }] }, 422,
        'steps[0].weight'],
    ['weight as text', { %spec, steps => [{ weight => '10' }] }, 422,
        'steps[0].weight'],
    ['three decimals', '{"upstream":"app","canary":"green",'
        . '"steps":[{"weight":0.125}]}', 422, 'steps[0].weight'],
    ['a huge number', '{"upstream":"app","canary":"green",'
        . '"steps":[{"weight":1e400}]}', [400, 422], undef],
    ['falling weights', { %spec, steps => [{ weight => 50 },
        { weight => 10 }] }, 422, 'steps[1].weight'],
    ['a wrong duration', { %spec, steps => [{ weight => 1,
        hold => 'soon' }] }, 422, 'steps[0].hold'],
    ['a negative duration', { %spec, bake => -1 }, 422, 'bake'],
    ['an unknown field of a step', { %spec, steps => [{ weight => 1,
        wait => 1 }] }, 422, 'steps[0].wait'],
    ['approval by a word', { %spec, steps => [{ weight => 1,
        approval => 'yes' }] }, 422, 'steps[0].approval'],
    ['a partial flip', { %spec, strategy => 'blue-green',
        steps => [{ weight => 50 }] }, 422, 'steps[0].weight'],
    ['a ramp of its own', { %spec, ramp => 'fast' }, 422, 'ramp'],
    ['alpha 1', { %spec, analysis => { alpha => 1 } }, 422,
        'analysis.alpha'],
    ['an unknown field of analysis', { %spec, analysis => { alpa => 1 } },
        422, 'analysis.alpa'],
    ['quantile 99', { %spec, analysis => { latency => [{
        quantile => 99 }] } }, 422, 'analysis.latency[0].quantile'],
    ['a long warm-up', { %spec, warmup => '2h' }, 422, 'warmup'],
    ['a short lease', { %spec, lease => '10ms' }, 422, 'lease'],
    ['a success of its own', { %spec, on_success => 'party' }, 422,
        'on_success'],
);

for my $case (@wrong) {
    my ($what, $body, $status, $field) = @$case;

    my $r = $canaryd->post('/v1/rollouts', $body,
        headers => { 'Content-Type' => 'application/json' });
    my %ok = map { $_ => 1 } ref $status ? @$status : $status;

    subtest $what => sub {
        ok $ok{ $r->{status} }, "status $r->{status}"
            or diag $r->{body};
        is $r->{headers}{'content-type'}, 'application/problem+json',
            'a problem document';
        is $r->{json}{status}, $r->{status}, 'that says the status';
        ok length($r->{json}{title} // ''), 'has a title';
        ok length($r->{json}{detail} // ''), 'and says what is wrong';
        is $r->{json}{field}, $field, 'and where'
            if defined $field && length $field;
    };
}


subtest 'what is not about the fields' => sub {
    my $json = 'application/json';
    my $r = $canaryd->post('/v1/rollouts', \%spec,
        headers => { 'Content-Type' => 'text/plain' });
    is $r->{status}, 415, 'not declared as JSON';

    $r = $canaryd->post('/v1/rollouts',
        '{"upstream": "' . 'x' x (257 * 1024) . '"}',
        headers => { 'Content-Type' => $json });
    is $r->{status}, 413, 'over the limit';

    for my $case ([DELETE => '/v1/rollouts'], [PUT => '/v1/rollouts'],
        [POST => '/v1/upstreams'], [POST => '/ready'],
        [GET => '/v1/rollouts/app-1/abort'])
    {
        my ($method, $path) = @$case;
        $r = http($canaryd->target, $method, $path, body => '{}',
            headers => { 'Content-Type' => $json });
        is $r->{status}, 405, "$method $path";
        ok $r->{headers}{allow}, 'has Allow: '
            . ($r->{headers}{allow} // '');
        is $r->{json}{status}, 405, 'is a problem document';
    }

    for my $path ('/v1', '/v2/rollouts', '/v1/rollouts/app-0000000000',
        '/v1/rollouts/..%2f', '/v1/rollouts/' . 'x' x 500)
    {
        $r = $canaryd->get($path);
        is $r->{status}, 404, 'GET ' . substr $path, 0, 40;
    }

    $r = $canaryd->post('/v1/rollouts/app-0000000000/abort');
    is $r->{status}, 404, 'abort of nothing';

    for my $query ('limit=0', 'limit=101', 'limit=x', 'state=happy',
        'colour=red')
    {
        $r = $canaryd->get("/v1/rollouts?$query");
        is $r->{status}, 422, $query;
        my $name = $query =~ s/=.*//r;
        like "$r->{json}{field} $r->{json}{detail}", qr/$name/,
            'names the parameter';
    }
};


is_deeply $nginx->upstream->{record}, $before, 'traffic is as it was';
is_deeply $canaryd->get('/v1/rollouts')->{json}{rollouts}, [],
    'there is no rollout';


subtest 'commands' => sub {
    my $load = load_start($nginx, rate => 100, seconds => 100);
    my $rollout = $canaryd->start_rollout(
        steps => [{ weight => 10, hold => '1h' }]);
    my $id = $rollout->{id};
    $rollout = $canaryd->wait_state($id, 'progressing');

    for my $case (
        ['pause', { reasn => 'x' }, 422, 'reasn'],
        ['pause', { reason => 'x' x 201 }, 422, 'reason'],
        ['pause', { reason => 7 }, 422, 'reason'],
        ['pause', { actor => 'x' x 64 }, 422, 'actor'],
        ['pause', { revision => 'one' }, 422, 'revision'],
        ['pause', { revision => 1.5 }, 422, 'revision'],
        ['pause', [], 400],
        ['abort', { revision => 1 }, 422, 'revision'],
        ['pause', '{', 400],
    ) {
        my ($command, $body, $status, $field) = @$case;
        my $r = $canaryd->post("/v1/rollouts/$id/$command", $body,
            headers => { 'Content-Type' => 'application/json' });
        is $r->{status}, $status, "$command " . substr ref $body
            ? Canary::Test::encode($body) : $body, 0, 40;
        is $r->{json}{field}, $field, 'names the field' if $field;
    }

    my $r = $canaryd->command_rollout($id, 'pause',
        { revision => $rollout->{revision} + 1000 });
    is $r->{status}, 409, 'a stale revision';
    is $r->{json}{revision}, $canaryd->rollout($id)->{revision},
        'says the present one';

    $r = $canaryd->command_rollout($id, 'resume');
    is $r->{status}, 409, 'resume of what is not paused';

    $r = $canaryd->post('/v1/rollouts', { %spec });
    is $r->{status}, 409, 'a second rollout on a busy upstream';
    is $r->{json}{rollout}, $id, 'names the first';

    is $canaryd->rollout($id)->{state}, 'progressing', 'it goes on';

    $r = $canaryd->command_rollout($id, 'abort');
    is $r->{status}, 200, 'aborted';
    $canaryd->wait_state($id, 'aborted');
    $load->stop;
};

done_testing;
