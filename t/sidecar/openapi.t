# docs/openapi.yaml against the running server, in both directions: every
# route is described and every description is a route; every answer of a tour
# fits the schema of its status and has no member that it does not name; the
# examples and all that the tour sends fit, too.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Fake;
use Canary::Test;
use JSON::Validator;
use YAML::XS ();

$YAML::XS::Boolean = 'JSON::PP';
my $api = YAML::XS::Load(slurp(root() . '/docs/openapi.yaml'));
my @methods = qw(get put post delete patch);
my $fake = Canary::Fake->new;
my $s = stack(tick => '200ms', config => <<'END');
alerts:
  rules:
    - {match: {severity: none}, action: ignore}
freeze:
  - {name: others, upstreams: "other*", cron: "* * * * *", for: 1h}
  - {name: past, from: "2020-01-01T00:00", to: "2020-01-02T00:00"}
END
my $canaryd = $s->{canaryd};


# --- the document itself ---

# The thing that a {$ref} stands for.

sub follow {
    my ($thing) = @_;

    while (ref $thing eq 'HASH' && defined $thing->{'$ref'}) {
        my $ref = $thing->{'$ref'};
        my $at = $api;

        $at = ref $at eq 'HASH' ? $at->{$_} : undef
            for split m{/}, $ref =~ s{^#/}{}r;
        die "there is no $ref\n" unless defined $at;
        $thing = $at;
    }

    return $thing;
}


sub walk {
    my ($thing, $visit) = @_;

    $visit->($thing) if ref $thing eq 'HASH';
    walk($_, $visit) for ref $thing eq 'HASH' ? values %$thing
        : ref $thing eq 'ARRAY' ? @$thing : ();
}


# What an object's schema does not name is an error here; who reads the API
# should let it be.

walk($api->{components}{schemas}, sub {
    my ($schema) = @_;

    $schema->{additionalProperties} //= JSON::PP::false
        if ref $schema->{properties} eq 'HASH';
});
walk($api->{paths}, sub {
    my ($schema) = @_;

    $schema->{additionalProperties} //= JSON::PP::false
        if ref $schema->{properties} eq 'HASH';
});


subtest 'the document' => sub {
    my %ids;

    is $api->{openapi}, '3.1.0', 'its version';
    walk($api, sub { eval { follow($_[0]); 1 } or fail $@ });

    my %tags = map { $_->{name} => 1 } @{ $api->{tags} };

    for my $path (sort keys %{ $api->{paths} }) {
        for my $method (grep { $api->{paths}{$path}{$_} } @methods) {
            my $operation = $api->{paths}{$path}{$method};
            my $what = "$method $path";

            ok $operation->{summary}, "$what: a summary";
            ok !$ids{ $operation->{operationId} // '' }++, "$what: an id";
            ok $tags{ $operation->{tags}[0] }, "$what: a tag";

            my @named = $path =~ /\{(\w+)\}/g;
            my @given = map { $_->{name} } grep { $_->{in} eq 'path' }
                map { follow($_) } @{ $api->{paths}{$path}{parameters} // [] };
            is "@given", "@named", "$what: parameters of the path";
            ok follow($_)->{description}, "$what: what an answer is"
                for values %{ $operation->{responses} };
        }
    }
};


# --- routes ---

subtest 'every route is described' => sub {
    my @routes = slurp(root() . '/sidecar/api.c')
        =~ m!\{ "([A-Z]+)", "(/[^"]*)"!g;
    cmp_ok @routes / 2, '>=', 12, 'there are some';

    my %described = map { (s/\{\w+\}/{}/gr) => $api->{paths}{$_} }
        keys %{ $api->{paths} };

    while (my ($method, $path) = splice @routes, 0, 2) {
        ok $described{$path}{ lc $method }, "$method $path";
    }
};


subtest 'every description is a route' => sub {
    for my $path (sort keys %{ $api->{paths} }) {
        my $try = $path =~ s/\{(\w+)\}/$1 eq 'id' ? 'app-0123456789' : 'x'/ger;
        my $r = http($canaryd->target, 'PATCH', $try);
        my @allowed = sort grep { $_ ne 'HEAD' }
            split /, /, $r->{headers}{allow} // '';

        is_deeply \@allowed,
            [sort map { uc } grep { $api->{paths}{$path}{$_} } @methods],
            $path;
    }
};


# --- answers ---

my (%validator, %seen);

sub faults {
    my ($schema, $value) = @_;

    my $validator = $validator{$schema} //= JSON::Validator->new->schema({
        '$schema' => 'https://json-schema.org/draft/2019-09/schema',
        allOf => [$schema],
        components => $api->{components},
    })->schema;

    return join "\n", $validator->validate($value);
}


# The path of the document that a request's is, the plain ones first.

sub described {
    my ($path) = @_;

    $path =~ s/\?.*//s;

    for my $template (sort { ($a =~ tr/{//) <=> ($b =~ tr/{//) }
        keys %{ $api->{paths} })
    {
        my $pattern = join '[^/]+', map { quotemeta } split /\{\w+\}/,
            $template, -1;
        return $template if $path =~ /^$pattern$/;
    }

    return;
}


# Asks canaryd and checks the answer; the checks of a request that is meant to
# be wrong are left out.

sub ask {
    my ($method, $path, $want, %opt) = @_;

    my $r = http($opt{target} // $canaryd->target, $method, $path,
        map { exists $opt{$_} ? ($_ => $opt{$_}) : () } qw(body headers));
    my $name = "$method $path: $r->{status}";
    my $template = described($path);
    my $operation = $template && $api->{paths}{$template}{ lc $method };

    return $r unless is $r->{status}, $want, $name;
    ok $operation, "$name: is described" or return $r;
    $seen{"$method $template"}{ $r->{status} } = 1;

    if (ref $opt{body} && $operation->{requestBody} && $r->{status} < 300) {
        my $body = follow($operation->{requestBody});
        is faults($body->{content}{'application/json'}{schema}, $opt{body}),
            '', "$name: what is sent";
    }

    my $response = follow($operation->{responses}{ $r->{status} });
    ok $response, "$name: has its own description"
        or $response = follow($operation->{responses}{default});
    $r->{headers}{$_} // fail "$name: no $_"
        for map { lc } keys %{ $response->{headers} // {} };

    return $r if $r->{status} == 304;

    my ($type) = ($r->{headers}{'content-type'} // '') =~ /^([^;]+)/;
    my $content = $response->{content}{ $type // '' };
    ok $content, "$name: the type, $type" or return $r;

    if ($type =~ /json/) {
        is faults($content->{schema}, $r->{json}), '', "$name: what is answered"
            or diag $r->{body};
    }

    return $r;
}


# The beginning of the stream: what there is of the rollout.

sub stream {
    my ($path) = @_;

    my ($socket) = $canaryd->target =~ /^unix:(.*)/;
    my $curl = spawn(name => 'curl', out => tmpdir() . '/stream',
        cmd => ['curl', '-sNi', '--unix-socket', $socket,
            'http://localhost/v1/events?upstream=app&after=app/0-0']);
    my ($head, @events);

    wait_for {
        ($head, my $body) = split /\r\n\r\n/, slurp(tmpdir() . '/stream'), 2;
        @events = ($body // '') =~ /^data: (.*)$/mg;
        grep { /"type":"incident-opened"/ } @events;
    } 20, 'the stream';
    stop_process($curl, 'TERM');

    like $head, qr{^HTTP/1.1 200}, 'a stream';
    like $head, qr{^Content-Type: text/event-stream}mi, 'of its type';
    $seen{'GET /v1/events'}{200} = 1;
    is faults({ '$ref' => '#/components/schemas/Event' }, decode($_)), '',
        'an event of it' for @events;
}


# What the stream says first of an event that is not kept.

sub gap {
    my ($after) = @_;

    my $http = http_connect($canaryd->target, timeout => 20);
    $http->send('GET', "/v1/events?after=$after");
    $http->until_match(qr/^event: gap\ndata: .*\n\n/m, time + 20)
        or die 'no gap';

    return decode(($http->{buffer} =~ /^event: gap\ndata: (.*)$/m)[0]);
}


subtest 'operation' => sub {
    my $no_nginx = canaryd(redis => $s->{redis}, node => 'blind',
        nginx => 'unix:' . tmpdir() . '/none.sock:/canary/', wait => 'live');

    ask(GET => $_, 200) for qw(/health /ready /live /metrics /v1/whoami);
    ask(GET => '/ready', 503, target => $no_nginx->target);
    is ask(GET => '/health', 200, target => $no_nginx->target)
        ->{json}{status}, 'degraded', 'with a component that is down';
    $no_nginx->stop;
};


subtest 'the dashboard' => sub {
    ask(GET => $_, 302) for '/', '/ui';
    my $tag = ask(GET => '/ui/', 200)->{headers}{etag};
    ask(GET => '/ui/', 304, headers => { 'If-None-Match' => $tag });
    $tag = ask(GET => "/ui/$_", 200)->{headers}{etag}
        for qw(app.css icon.svg main.js);
    ask(GET => '/ui/main.js', 304, headers => { 'If-None-Match' => $tag });
    ask(GET => '/ui/none', 404);
};


subtest 'what is refused' => sub {
    my $id = 'app-0123456789';

    ask(GET => '/v1/rollouts?limit=0', 422);
    ask(GET => "/v1/rollouts/$id$_", 404)
        for '', qw(/series /explain /events /ticks /gates);
    ask(GET => '/v1/rollouts/x/gates', 404);
    ask(GET => "/v1/rollouts/$id/$_?limit=0", 422) for qw(events ticks);
    ask(GET => "/v1/incidents/$id", 404);
    ask(GET => '/v1/incidents?state=x', 422);
    ask(GET => '/v1/incidents?upstream=a%20b', 422);

    for ('a%20b', 'unknown') {
        ask(GET => "/v1/upstreams/$_/history", 404);
        ask(POST => "/v1/upstreams/$_/rollback", 404, body => {});
    }

    is_deeply ask(GET => '/v1/upstreams/app/history', 200)->{json}{rollouts},
        [], 'an upstream without a rollout is there';
    ask(POST => '/v1/upstreams/app/rollback', 409, body => {});
    ask(POST => "/v1/rollouts/$id/smoke-tests", 404, body => {});
    ask(GET => '/v1/events?after=x', 422);
    is faults({ '$ref' => '#/components/schemas/Gap' }, gap($_)), '',
        "a gap, after $_" for qw(app/1-0 nowhere/1-0);

    for (['/v1/rollouts'], ['/v1/alerts'], ['/v1/freeze'],
        ['/v1/freeze', 'DELETE'], ['/v1/upstreams/app/rollback'],
        map { ["/v1/$_"] } "rollouts/$id/smoke-tests",
        (map { "rollouts/$id/$_" } qw(abort pause resume promote approve
            retry)), map { "incidents/$id/$_" } qw(acknowledge resolve))
    {
        my ($path, $method) = ($_->[0], $_->[1] // 'POST');

        ask($method => $path, 415, body => 'x',
            headers => { 'Content-Type' => 'text/plain' });
        ask($method => $path, 413, body => 'x' x (257 * 1024));
        next if $path =~ /smoke/;
        ask($method => $path, 400, body => '[1]',
            headers => { 'Content-Type' => 'application/json' });
        ask($method => $path, 422, body => { unknown => 1 });
        ask($method => $path, 404, body => {}) if $path =~ /$id/;
    }
};


subtest 'a rollout' => sub {
    my $load = load_start($s->{nginx}, rate => 200, connections => 16,
        seconds => 120, header => 'X-User: %d', keys => 20000);

    ask(GET => '/v1/upstreams', 200);
    ask(GET => '/v1/rollouts', 200);

    my $r = ask(POST => '/v1/rollouts', 201, body => {
        upstream => 'app', canary => 'green', version => 'v1',
        steps => [{ weight => 20, hold => '200ms', approval => JSON::PP::true },
            { weight => 50, hold => 3600 }],
        analysis => { latency => [{ quantile => 0.9 }],
            max_error_rate => 0.2 },
    });
    my $path = "/v1/rollouts/$r->{json}{id}";

    is $r->{headers}{location}, $path, 'Location';
    ask(POST => '/v1/rollouts', 409,
        body => { upstream => 'app', canary => 'green' });
    $canaryd->wait_state($r->{json}, 'waiting');
    ask(GET => $path, 200);
    is_deeply ask(GET => "$path/gates", 200)->{json}{gates}, [],
        'a rollout without a gate is there';
    ask(POST => "$path/resume", 409, body => {});
    ask(POST => "$path/promote", 200, body => { actor => 'anna',
        reason => 'looks good' });
    wait_for {
        my $now = $canaryd->rollout($r->{json});
        $now->{judgement} && $now->{traffic}{green};
    } 20, 'traffic';
    ask(GET => $path, 200);
    ask(POST => "$path/pause", 409, body => { revision => 4711 });
    ask(POST => "$path/pause", 200, body => {});
    ask(POST => "$path/pause", 409, body => {});
    ask(POST => "$path/resume", 200, body => {});
    wait_for { @{ $canaryd->get("$path/series")->{json}{series}{at_ms} } > 2 }
        20, 'points';
    ask(GET => "$path$_", 200) for qw(/series /explain /events /ticks);
    ask(GET => '/v1/rollouts?state=active&limit=5', 200);
    ask(GET => '/v1/upstreams', 200);
    ask(POST => "$path/abort", 200, body => { reason => 'enough' });
    $canaryd->wait_state($r->{json}, 'aborted');
    ask(GET => $path, 200);
    ask(POST => "$path/promote", 409, body => {});
    ask(GET => "$path$_", 200) for qw(/explain /events /ticks);
    stream($path);
    $load->stop;
};


# What came of the alert, and of the rollouts before.

sub incidents {
    my (%query) = @_;

    return @{ ask(GET => '/v1/incidents?' . join('&',
        map { "$_=$query{$_}" } sort keys %query), 200)->{json}{incidents} };
}


subtest 'all of a spec, and gates' => sub {
    my $url = 'http://' . $fake->target;

    $fake->set('/value' => { body => '{"data": {"n": 1}}' },
        '/api/v1/query' => { body => '{"status": "success", "data": '
            . '{"resultType": "scalar", "result": [1, "3"]}}' });

    my $r = ask(POST => '/v1/rollouts', 201, body => {
        upstream => 'app', canary => 'green', version => 'v2',
        environment => 'staging', commit => 'abc123', build => '812',
        ticket => 'OPS-12', deadline => '2h',
        slo => { error_rate => 0.1, p99_ms => 5000, min_requests => 5 },
        guard => { failures => 1000, ratio => 0.9, window => '5s' },
        smoke => [{ name => 'home', path => '/home', status => 200,
            headers => { Host => 'a.example' }, timeout => '2s',
            max_ms => 1500, servers => [$fake->target] }],
        hooks => [map { { on => $_, url => "$url/$_", retries => 1 } }
            qw(confirm-start before-start each-step)],
        checks => [
            { name => 'n', http => { url => "$url/value", path => 'data.n',
                equals => 1 }, max => 5 },
            { name => 'q', prometheus => { url => $url, query => 'up' },
                max => 5 }],
        checks_every => '1s',
        steps => [{ weight => 20, hold => '200ms', min_requests => 1,
            approval => JSON::PP::true,
            rules => [{ if => { header => { name => 'X-Try' } },
                group => 'green' }] },
            { weight => 100 }],
        bake => '0s',
    });
    my $path = "/v1/rollouts/$r->{json}{id}";
    my $load = load_start($s->{nginx}, rate => 200, connections => 16,
        seconds => 120, header => 'X-User: %d', keys => 20000);

    wait_for {
        ($canaryd->rollout($r->{json})->{waiting_for} // '') eq 'approval';
    } 20, 'approval to be asked for';
    ask(GET => $path, 200);
    is ask(POST => "$path/smoke-tests", 200, body => {})->{json}{result},
        'passed', 'smoke tests on demand';
    wait_for {
        my %seen = map { $_->{gate} => 1 }
            @{ $canaryd->get("$path/gates")->{json}{gates} };
        $seen{smoke} && $seen{checks} && $seen{'before-start'};
    } 20, 'gates';
    ask(GET => "$path/gates", 200);
    ask(POST => "$path/retry", 409, body => {});
    ask(POST => "$path/approve", 200, body => { reason => 'fine' });
    $canaryd->wait_state($r->{json}, 'succeeded');
    ask(POST => "$path/approve", 409, body => {});
    ask(GET => "$path$_", 200) for '', qw(/explain /events);
    ask(POST => '/v1/upstreams/app/rollback', 422,
        body => { version => 'v0' });
    ask(GET => '/v1/upstreams/app/history', 200);
    $canaryd->command_rollout($r->{json}, 'abort');
    $canaryd->wait_state($r->{json}, 'aborted');
    $load->stop;
};


subtest 'to and fro' => sub {
    my $load = load_start($s->{nginx}, rate => 200, connections => 16,
        seconds => 120, header => 'X-User: %d', keys => 20000);
    my %quick = (upstream => 'app', strategy => 'blue-green', bake => '0s',
        steps => [{ weight => 100, hold => '200ms' }]);

    for (['green', 'v3'], ['blue', 'v4']) {
        $canaryd->wait_state($canaryd->start_rollout(%quick,
            canary => $_->[0], version => $_->[1]), 'succeeded');
    }

    my $r = ask(POST => '/v1/upstreams/app/rollback', 201, body => {
        version => 'v3', reason => 'v4 is ugly' });
    $canaryd->wait_state($r->{json}, 'succeeded');
    $r = ask(POST => '/v1/upstreams/app/rollback', 201, body => {});
    $canaryd->wait_state($r->{json}, 'succeeded');
    ask(GET => '/v1/upstreams/app/history', 200);

    # frozen, so that it neither ends nor begins
    is ask(POST => '/v1/freeze', 200, body => { actor => 'anna',
        reason => 'black friday' })->{json}{stop}{actor}, 'anna', 'stopped';
    $r = ask(POST => '/v1/rollouts', 201, body => { %quick,
        canary => 'green', version => 'v5' });
    my $path = "/v1/rollouts/$r->{json}{id}";
    wait_for { ($canaryd->rollout($r->{json})->{waiting_for} // '')
        eq 'freeze' } 20, 'it to be frozen';
    ask(GET => $path, 200);
    ask(GET => '/v1/freeze', 200);
    ask(POST => '/v1/upstreams/app/rollback', 409, body => {});
    ask(POST => "$path/smoke-tests", 409, body => {});
    $canaryd->command_rollout($r->{json}, 'abort');
    $canaryd->wait_state($r->{json}, 'aborted');
    $r = ask(POST => "$path/retry", 201, body => { reason => 'again' });
    $canaryd->command_rollout($r->{json}, 'abort');
    $canaryd->wait_state($r->{json}, 'aborted');
    is ask(DELETE => '/v1/freeze', 200)->{json}{stop}, undef, 'goes on';
    ask(GET => '/v1/freeze', 200);
    $load->stop;
};


subtest 'an experiment, and rolling by nodes' => sub {
    my $load = load_start($s->{nginx}, rate => 200, connections => 16,
        seconds => 120, header => 'X-User: %d', keys => 20000);

    for ({ upstream => 'app', strategy => 'experiment',
            groups => { green => 20 }, duration => '1h' },
        { upstream => 'app', strategy => 'rolling', canary => 'green',
            rolling => { by => 'nodes', bake => '1h' }, holdback => 50 })
    {
        my $r = ask(POST => '/v1/rollouts', 201, body => $_);
        my $path = "/v1/rollouts/$r->{json}{id}";

        wait_for {
            my $now = $canaryd->rollout($r->{json});
            $now->{judgement} && $now->{traffic}{green};
        } 20, 'traffic';
        ask(GET => "$path$_", 200) for '', qw(/series /explain /ticks);
        $canaryd->command_rollout($r->{json}, 'abort');
        $canaryd->wait_state($r->{json}, 'aborted');
    }

    ask(POST => '/v1/rollouts', 422, body => { upstream => 'app',
        strategy => 'rolling', canary => 'green',
        rolling => { by => 'nodes', order => ['ghost'] } });
    $load->stop;
};


subtest 'alerts and incidents' => sub {
    my $r = ask(POST => '/v1/alerts', 200, body => { version => '4',
        status => 'firing', alerts => [{ status => 'firing',
            labels => { alertname => 'Slow', upstream => 'app' },
            annotations => { summary => 'it is slow' },
            fingerprint => 'f00' }] });
    is $r->{json}{upstreams}[0]{outcome}, 'noted', 'an alert is noted';

    my @alerts;
    wait_for {
        @alerts = grep { $_->{kind} eq 'alert' } @{ $canaryd->get(
            '/v1/incidents?upstream=app&state=open')->{json}{incidents} };
    } 20, 'an incident';
    cmp_ok incidents(upstream => 'app'), '>', 0, 'there are some';

    my $path = "/v1/incidents/$alerts[0]{id}";
    ask(GET => $path, 200);

    for (qw(acknowledge resolve)) {
        ask(POST => "$path/$_", 200, body => { actor => 'anna' });
        ask(POST => "$path/$_", 409, body => {});
    }

    ask(GET => $path, 200);
    is scalar(grep { $_->{id} eq $alerts[0]{id} }
        incidents(state => 'resolved')), 1, 'it is resolved';
};


subtest 'the examples' => sub {
    my $body = $api->{paths}{'/v1/rollouts'}{post}{requestBody};
    my $content = $body->{content}{'application/json'};

    for my $name (sort keys %{ $content->{examples} }) {
        my $spec = $content->{examples}{$name}{value};

        is faults($content->{schema}, $spec), '', "$name fits";
        my $r = ask(POST => '/v1/rollouts', 201, body => $spec);
        $canaryd->command_rollout($r->{json}, 'abort');
        $canaryd->wait_state($r->{json}, 'aborted');
    }

    # a schema that lets all pass would let these
    isnt faults($content->{schema}, { upstream => 'app' }), '', 'no canary';
    isnt faults($content->{schema}, { upstream => 'app', canary => 'green',
        wieght => 1 }), '', 'an unknown member';
    isnt faults($content->{schema}, { upstream => 'a b', canary => 'green' }),
        '', 'a name that is none';
};


subtest 'all of it was seen' => sub {
    for my $path (sort keys %{ $api->{paths} }) {
        for my $method (grep { $api->{paths}{$path}{$_} } @methods) {
            for my $status (sort keys
                %{ $api->{paths}{$path}{$method}{responses} })
            {
                # an abort is refused only while Redis loses its state
                next if $status eq 'default'
                    || "$path $status" =~ m{/abort 409$};

                ok $seen{ uc($method) . " $path" }{$status},
                    "$method $path: $status";
            }
        }
    }
};

done_testing;
