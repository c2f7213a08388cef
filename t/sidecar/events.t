# What happened and why: events by HTTP and as a stream, explanations, ticks
# that are recorded and judged again.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $s = stack();
my ($canaryd, $nginx, $green, $redis) = @$s{qw(canaryd nginx green redis)};

my $load = load_start($nginx, rate => 300, connections => 24,
    seconds => 300, header => 'X-User: %d');


# A listener: the events that came, in their order.

sub listen_to {
    my ($path, %headers) = @_;

    my $http = http_connect($canaryd->target, timeout => 60);
    $http->send('GET', $path, headers => \%headers);

    $http->until_match(qr/\r\n\r\n/, time + 20) or die 'no answer';
    my ($head) = $http->{buffer} =~ /\A(.*?)\r\n\r\n/s;

    return { http => $http, head => $head };
}


sub events_of {
    my ($listener) = @_;

    my $http = $listener->{http};
    $http->fill(time + 0.02);

    return map { { id => $_->[0], type => $_->[1], %{ decode($_->[2]) } } }
        map { [/\Aid: (.*)\nevent: (.*)\ndata: (.*)\n\n/] }
        $http->{buffer} =~ /^(id: .*\nevent: .*\ndata: .*\n\n)/mg;
}


# What the listener was told of events that are not kept.

sub gaps_of {
    my ($listener) = @_;

    my $http = $listener->{http};
    $http->fill(time + 0.02);

    return map { decode($_) }
        $http->{buffer} =~ /^event: gap\ndata: (.*)\n\n/mg;
}


# The id of the oldest event of app.

sub oldest {
    return 'app/' . $redis->cmd('XRANGE', 'canary:{app}:events', '-', '+',
        'COUNT', 1)->[0][0];
}


sub await_event {
    my ($listener, $type, $rollout) = @_;

    my $found;
    wait_for {
        ($found) = grep { $_->{type} eq $type
            && (!$rollout || $_->{rollout} eq $rollout) }
            events_of($listener);
    } 30, "event $type";

    return $found;
}


my $listener = listen_to('/v1/events');
my $app = listen_to('/v1/events?upstream=app');
my $other = listen_to('/v1/events?upstream=other');

my $done = $canaryd->start_rollout(on_success => 'keep', version => 'v2',
    bake => 0, steps => [{ weight => 20, hold => '500ms' },
        { weight => 50, hold => '300ms' }]);
$canaryd->wait_state($done, 'succeeded');
my $id = $done->{id};


subtest 'the events of a rollout' => sub {
    my $r = $canaryd->get("/v1/rollouts/$id/events");
    is $r->{status}, 200, 'answered';

    my @events = @{ $r->{json}{events} };
    is_deeply [map { $_->{type} } @events],
        [qw(created started step succeeded)], 'all of them, in order';
    is $r->{json}{next}, undef, 'there are no more';

    for my $event (@events) {
        is $event->{rollout}, $id, "$event->{type}: of the rollout";
        like $event->{id}, qr{^app/\d+-\d+$}, 'has an id';
        like $event->{at}, qr/^20\d\d-.*Z$/, 'and a time';
        ok $event->{data}{limits}{log_harm} > 4.6, 'and its limits';
        is $event->{data}{nodes}{live}, 1, 'and its nodes';
    }

    my ($created, $started, $step) = @events;
    is $created->{actor}, 'api', 'who made it';
    is $started->{actor}, 'canaryd', 'who went on';
    is_deeply $started->{data}{weights},
        { before => { blue => 100, green => 0 },
          after => { blue => 80, green => 20 } }, 'weights before and after';
    is $started->{data}{revision}{after}, $started->{revision}, 'revision';
    is $started->{data}{before}{state}, 'pending', 'state before';
    is $started->{data}{after}{state}, 'progressing', 'state after';
    cmp_ok $step->{data}{counts}{green}{requests}, '>', 0,
        'requests that it was decided upon';
    ok exists $step->{data}{evidence}{log_evidence}, 'and the evidence';
    like $step->{data}{leader}, qr/^\d+:\Q$canaryd->{node}\E$/,
        'and who led';

    $r = $canaryd->get("/v1/rollouts/$id/events?limit=2");
    is scalar @{ $r->{json}{events} }, 2, 'limit';
    my $rest = $canaryd->get("/v1/rollouts/$id/events?after="
        . $r->{json}{next});
    is_deeply [map { $_->{type} } @{ $rest->{json}{events} }],
        [qw(step succeeded)], 'and what comes after';

    is $canaryd->get("/v1/rollouts/$id/events?$_->[0]")->{status}, 422,
        $_->[0] for ['limit=0'], ['after=x'], ['limits=1'];
    is $canaryd->get("/v1/rollouts/app-0000000000/$_")->{status}, 404,
        "$_ of none" for qw(events explain ticks);
};


subtest 'the stream' => sub {
    like $listener->{head}, qr{^content-type: text/event-stream}im, 'type';
    like $listener->{head}, qr{^cache-control: no-store}im, 'not cached';

    for my $l ($listener, $app) {
        await_event($l, 'succeeded', $id);
        is_deeply [map { $_->{type} } events_of($l)],
            [qw(created started step succeeded)], 'every event once';
    }

    is scalar(events_of($other)), 0, 'nothing of another upstream';
    my @events = events_of($listener);
    is_deeply $events[2]{data}, $canaryd->get("/v1/rollouts/$id/events")
        ->{json}{events}[2]{data}, 'the same as by the list';

    # who comes again goes on after the last one
    my $again = listen_to('/v1/events', 'Last-Event-ID' => $events[1]{id});
    await_event($again, 'succeeded', $id);
    is_deeply [map { $_->{type} } events_of($again)], [qw(step succeeded)],
        'Last-Event-ID';

    my $after = listen_to('/v1/events?after=' . $events[0]{id});
    await_event($after, 'succeeded', $id);
    is scalar(events_of($after)), 3, 'the same as a parameter';

    is $canaryd->get('/v1/events?after=nonsense')->{status}, 422,
        'nonsense is refused';
    is $canaryd->get('/v1/events?upstream=%7B')->{status}, 422,
        'no name of an upstream';

    my $head = http($canaryd->target, 'HEAD', '/v1/events');
    is $head->{status}, 200, 'HEAD has an end';

    wait_for { $listener->{http}->fill(time + 1);
        $listener->{http}{buffer} =~ /^: /m } 30, 'a heartbeat';
    pass 'heartbeat';
};


subtest 'explain' => sub {
    my $r = $canaryd->get("/v1/rollouts/$id/explain");
    is $r->{status}, 200, 'answered';
    is $r->{json}{state}, 'succeeded', 'the state';
    is scalar @{ $r->{json}{decisions} }, 4, 'the decisions';
    like $r->{json}{decisions}[2]{text},
        qr/green from 20 % to 50 %.*requests failed.*evidence of harm/,
        'each in words';

    my $long = $canaryd->start_rollout(lease => '1h',
        steps => [{ weight => 40, hold => '1h', approval => 1 == 1
            ? JSON::PP::true : 0 }]);
    $canaryd->wait_state($long, 'progressing');

    my $now = wait_for {
        my $x = $canaryd->get("/v1/rollouts/$long->{id}/explain")->{json};
        $x->{now}{counts}{green}{requests} && $x;
    } 20, 'traffic';
    my ($hold) = grep { $_->{when} =~ /hold/ } @{ $now->{next} };
    like $hold->{then}, qr/approval/, 'what follows the hold';
    is $hold->{limit}, 3600000, 'how long it is';
    my ($harm) = grep { $_->{when} =~ /harm/ } @{ $now->{next} };
    cmp_ok $harm->{limit}, '>', 4.6, 'what would take it back';
    cmp_ok $harm->{value}, '<', $harm->{limit}, 'how far it is';

    my ($code, $out) = canaryctl($canaryd, 'explain', $long->{id});
    is $code, 0, 'canaryctl explain';
    like $out, qr/started by canaryd.*what would have to happen/s, 'says it';

    $canaryd->command_rollout($long, 'abort',
        { reason => 'enough', actor => 'anna' });
    $canaryd->wait_state($long, 'aborted');

    my ($by) = grep { $_->{type} eq 'reverting' }
        @{ $canaryd->get("/v1/rollouts/$long->{id}/explain")
            ->{json}{decisions} };
    is $by->{actor}, 'anna', 'who aborted it';
    like $by->{detail}, qr/enough/, 'and why';
    is $by->{data}{weights}{after}{green}, 0, 'and what that did';
};


subtest 'replay' => sub {
    $green->set(error => 0.3);
    my $bad = $canaryd->start_rollout(lease => '1h',
        steps => [{ weight => 50, hold => '1h' }]);
    $canaryd->wait_state($bad, 'aborted');
    $green->set(error => 0);

    my $judged = $canaryd->rollout($bad)->{judgement};
    my ($code, $out) = canaryctl($canaryd, 'replay', $bad->{id}, '--json');
    is $code, 3, 'it would be taken back again';

    my $replayed = decode($out);
    is $replayed->{ticks}, $replayed->{judged}, 'every tick is recorded';
    is $replayed->{recorded}{$_}, $judged->{$_}, "the same $_"
        for qw(verdict log_evidence log_safe log_errors);
    is_deeply $replayed->{recorded}{requests}, $judged->{requests},
        'the same requests';

    my $config = spew(tmpdir() . '/other.yaml',
        "analysis: {error_tolerance: 1000, max_error_rate: 0.99, "
        . "latency: []}\n");
    ($code, $out) = canaryctl($canaryd, 'replay', $bad->{id}, '--config',
        $config, '--json');
    is $code, 0, 'with another tolerance it would not';
    isnt decode($out)->{replayed}{verdict}, 'harm', 'the verdict';
    is decode($out)->{recorded}{verdict}, 'harm', 'beside what was';

    ($code, $out) = canaryctl($canaryd, 'replay', $bad->{id});
    like $out, qr/reverts at tick \d+/, 'in words';

    spew($config, "analysis: {alpha: 7}\n");
    ($code, $out, my $err) = canaryctl($canaryd, 'replay', $bad->{id},
        '--config', $config);
    is $code, 1, 'a wrong config';
    like $err, qr/analysis\.alpha/, 'names the field';

    # a later rollout leaves the ticks of the earlier ones
    ($code) = canaryctl($canaryd, 'replay', $id);
    is $code, 0, 'an earlier rollout can still be replayed';
};


subtest 'canaryctl events' => sub {
    my ($code, $out) = canaryctl($canaryd, 'events', $id);
    is $code, 0, 'of a rollout';
    is scalar(() = $out =~ /^20.* $id /mg), 4, 'a line each';

    my $file = tmpdir() . '/follow';
    my $pid = spawn(name => 'follow', cmd => [build() . '/canaryctl',
        'events', '--follow', '--upstream', 'app', '--server',
        $canaryd->target], out => $file);
    wait_for { slurp($file) =~ /aborted/ } 20, 'the history';

    my $next = $canaryd->start_rollout(steps => [{ weight => 5,
        hold => '1h' }]);
    wait_for { slurp($file) =~ /$next->{id}  started by canaryd/ } 20,
        'what happens';

    $canaryd->stop;
    $canaryd->start;
    $canaryd->command_rollout($next, 'pause');
    wait_for { slurp($file) =~ /$next->{id}  paused by api/ } 30,
        'the stream to go on';
    is scalar(() = slurp($file) =~ /$next->{id}  started/g), 1,
        'nothing comes twice';

    $canaryd->command_rollout($next, 'abort');
    $canaryd->wait_state($next, 'aborted');
    stop_process($pid);

    ($code) = canaryctl($canaryd, 'events');
    is $code, 2, 'of what?';
};


subtest 'many listeners, slow ones, none' => sub {
    my @many = map { listen_to('/v1/events') } 1 .. 40;

    # One that does not read is dropped when its buffer is full; the others
    # read.
    my $slow = listen_to('/v1/events');
    my $text = 'x' x 8000;

    for my $n (1 .. 300) {
        $redis->cmd('XADD', 'canary:{app}:events', '*', 'at', 1, 'type',
            'noise', 'rollout', '', 'revision', 1, 'actor', 'test',
            'detail', "$n $text", 'data', '');
        next if $n % 30;

        for my $http (map { $_->{http} } @many) {
            $http->until_match(qr/"detail":"$n x.*\n\n/, time + 30)
                or die "nothing of event $n";
            $http->{buffer} = '';
        }
    }

    pass 'forty listeners get all';

    wait_for { $canaryd->get('/metrics')->{body}
        =~ /^canaryd_event_listeners_dropped_total [1-9]/m } 30,
        'the slow one to be dropped';
    pass 'who does not read is dropped';
    like $canaryd->get('/metrics')->{body},
        qr/^canaryd_event_listeners 4\d$/m, 'the others are counted';

    $_->{http}->close for @many, $listener, $app, $other, $slow;
    wait_for { $canaryd->get('/metrics')->{body}
        =~ /^canaryd_event_listeners [0-2]$/m } 30, 'them to be gone';

    is $canaryd->get('/live')->{status}, 200, 'canaryd lives';
};


subtest 'retention' => sub {
    $canaryd->stop;
    $canaryd->{config} = "retention: {count: 2, age: 1h}\n";
    $canaryd->start;

    for (1 .. 3) {
        my $r = $canaryd->start_rollout(steps => [{ weight => 5,
            hold => '1h' }]);
        $canaryd->wait_state($r, 'progressing');
        $canaryd->command_rollout($r, 'abort');
        $canaryd->wait_state($r, 'aborted');
    }

    is scalar @{ $canaryd->get('/v1/rollouts?upstream=app')
        ->{json}{rollouts} }, 2, 'two rollouts are kept';
    is scalar @{ $redis->cmd('KEYS', 'canary:{app}:rollout:*') }, 2,
        'no more documents';
    cmp_ok scalar @{ $redis->cmd('KEYS', 'canary:{app}:recorded:*') }, '<=',
        2, 'nor ticks';

    my ($latest) = @{ $canaryd->get('/v1/rollouts')->{json}{rollouts} };
    my $ttl = $redis->cmd('PTTL', "canary:{app}:rollout:$latest->{id}");
    cmp_ok $ttl, '<=', 3600_000, 'what has ended runs out';
    cmp_ok $ttl, '>', 3500_000, 'in its time';

    # events that are older go with the next one; the stream is cut in whole
    # nodes of 100 entries or so
    my $old = 1000 * (time - 7200);
    $redis->cmd('DEL', 'canary:{app}:events');
    $redis->cmd('XADD', 'canary:{app}:events', $old + $_ . '-0', 'at',
        $old + $_, 'type', 'noise', 'rollout', '', 'revision', 1, 'actor',
        'test', 'detail', '', 'data', '') for 1 .. 250;
    my $known = listen_to('/v1/events?after=app/' . ($old + 1) . '-0');
    await_event($known, 'noise');
    is scalar(gaps_of($known)), 0, 'no gap as long as an event is kept';

    my $r = $canaryd->start_rollout(steps => [{ weight => 5, hold => '1h' }]);
    cmp_ok $redis->cmd('XLEN', 'canary:{app}:events'), '<', 110,
        'old events are gone';

    my $late = listen_to('/v1/events', 'Last-Event-ID' => 'app/'
        . ($old + 1) . '-0');
    await_event($late, 'created', $r->{id});
    my ($gap) = gaps_of($late);
    is $gap->{asked}, 'app/' . ($old + 1) . '-0', 'who asks for one is told';
    is $gap->{oldest}, oldest(), 'and what is kept';
    $canaryd->command_rollout($r, 'abort');
};


subtest 'an event that is not kept' => sub {
    my $latest = $canaryd->get('/v1/rollouts')->{json}{rollouts}[0];
    my $gap = sub {
        my ($what, $path, %headers) = @_;

        my $l = listen_to($path, %headers);
        my $gap = wait_for { (gaps_of($l))[0] } 20, "$what: a gap";
        my ($before) = $l->{http}{buffer} =~ /\A(.*?)event: gap/s;
        unlike $before, qr/^(id|event|data):/m, "$what: first";
        return ($l, $gap);
    };

    my ($l, $told) = $gap->('before the first', '/v1/events?after=app/1-0');
    is_deeply { map { $_ => $told->{$_} } qw(type upstream asked oldest) },
        { type => 'gap', upstream => 'app', asked => 'app/1-0',
            oldest => oldest() }, 'what it says';
    like $told->{detail}, qr/read the state anew/, 'and in words';
    await_event($l, 'aborted', $latest->{id});
    is +(events_of($l))[0]{id}, oldest(), 'what is left follows';

    my ($ahead, $then) = $gap->('after the last',
        '/v1/events?upstream=app', 'Last-Event-ID' => 'app/9' . '0' x 14
            . '-0');
    is $then->{oldest}, oldest(), 'an event that never was';

    my (undef, $none) = $gap->('of no upstream', '/v1/events',
        'Last-Event-ID' => 'nowhere/5-0');
    is $none->{upstream}, 'nowhere', 'names it';
    ok exists $none->{oldest} && !defined $none->{oldest}, 'nothing is kept';

    my (undef, $else) = $gap->('of an upstream that is not listened to',
        '/v1/events?upstream=other&after=app/1-0');
    is $else->{upstream}, 'app', 'names that';

    my $all = listen_to('/v1/events?after=app/0-0');
    await_event($all, 'aborted', $latest->{id});
    is scalar(gaps_of($all)), 0, '0-0 asks for no event';
    is +(events_of($all))[0]{id}, oldest(), 'but for all of them';

    my $kept = listen_to('/v1/events', 'Last-Event-ID' => oldest());
    await_event($kept, 'aborted', $latest->{id});
    is scalar(gaps_of($kept)), 0, 'nor is there one after a kept one';

    my $empty = listen_to('/v1/events?after=' . oldest(),
        'Last-Event-ID' => '');
    await_event($empty, 'aborted', $latest->{id});
    pass 'an empty Last-Event-ID is none';

    my $r = $canaryd->start_rollout(steps => [{ weight => 5, hold => '1h' }]);
    await_event($ahead, 'created', $r->{id});
    is scalar(gaps_of($ahead)), 1, 'who was told gets what happens';
    $canaryd->command_rollout($r, 'abort');
    $canaryd->wait_state($r, 'aborted');

    for my $id ('nonsense', 'app/1', 'app/' . '1' x 16 . '-0', '/1-0',
        'x' x 64 . '/1-0', 'app/1-0' . '0' x 200)
    {
        my $refused = http($canaryd->target, 'GET', '/v1/events',
            headers => { 'Last-Event-ID' => $id });
        is $refused->{status}, 422, substr($id, 0, 20) . ' is refused';
        is $refused->{json}{field}, 'Last-Event-ID', 'says what is wrong';

        $refused = $canaryd->get("/v1/events?after=$id");
        is $refused->{status}, 422, 'as a parameter, too';
        is $refused->{json}{field}, 'after', 'says what is wrong';
    }

    $_->{http}->close for $l, $ahead, $all, $kept, $empty;
};


subtest 'canaryctl events after a gap' => sub {
    my $r = $canaryd->start_rollout(steps => [{ weight => 5, hold => '1h' }]);
    $canaryd->wait_state($r, 'progressing');

    # it came first, and gets an event when the others have got it
    my $first = listen_to('/v1/events');

    my %file = (text => tmpdir() . '/gap', json => tmpdir() . '/gap.json');
    my @pids = map { spawn(name => "follow $_", cmd => [build()
        . '/canaryctl', 'events', '--follow', $r->{id}, '--server',
        $canaryd->target, $_ eq 'json' ? '--json' : ()], out => $file{$_}) }
        qw(text json);
    wait_for { slurp($file{$_}) =~ /started/ } 20, "the history, $_"
        for qw(text json);

    wait_for { $canaryd->get('/metrics')->{body}
        =~ /^canaryd_event_listeners 3$/m } 30, 'them to listen';

    my $id = $redis->cmd('XADD', 'canary:{app}:events', '*', 'at', 1, 'type',
        'noise', 'rollout', '', 'revision', 1, 'actor', 'test', 'detail', '',
        'data', '');
    await_event($first, 'noise');
    $canaryd->stop;
    $redis->cmd('XTRIM', 'canary:{app}:events', 'MAXLEN', 0);
    $canaryd->start;

    my $asked = wait_for { (slurp($file{text})
        =~ /^gap: (app\/\d+-\d+) is not kept/m)[0] } 30, 'a line';
    cmp_ok $asked, 'ge', "app/$id", 'the last that came, of whatever rollout';
    like slurp($file{text}), qr/^gap: .* of app may be missing before here;/m,
        'for people';
    my $line = wait_for { (slurp($file{json}) =~ /^(.*"type":"gap".*)$/m)[0] }
        30, 'a gap in JSON';
    is_deeply [@{ decode($line) }{qw(asked oldest)}], [$asked, undef],
        'the same as JSON';

    $canaryd->command_rollout($r, 'abort');
    wait_for { slurp($file{text}) =~ /aborted/ && slurp($file{json})
        =~ /"aborted"/ } 30, 'what happens then';
    pass 'they go on';
    stop_process($_) for @pids;
};

$load->stop;
done_testing;
