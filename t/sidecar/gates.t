# Smoke tests, hooks and checks of a rollout, against servers that answer,
# fail, hang, answer garbage and close early.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Fake;
use Canary::Test;
use Digest::SHA qw(hmac_sha256_hex);

my $secret = 'correct-horse-battery';
my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $nginx = nginx(groups => [blue => $blue, green => $green])->start;
my $redis = redis();
my $fake = Canary::Fake->new;
my $file = spew(tmpdir() . '/hook.secret', "$secret\n");
chmod 0600, $file;
my $canaryd = canaryd(nginx => $nginx, redis => $redis,
    config => "secrets:\n  deploy: {file: $file}\n");
my $load = load_start($nginx, seconds => 600, rate => 200,
    connections => 16,
    header => 'X-User: %d');
my %short = (steps => [{ weight => 50, hold => '300ms' }, { weight => 100 }],
    bake => '0s', analysis => { latency => [] });


sub rollout {
    my (%spec) = @_;

    return $canaryd->start_rollout(%short, %spec);
}


sub ended {
    my ($rollout) = @_;

    return $canaryd->wait_state($rollout, 'succeeded|aborted');
}


# Back on blue.

sub reset_stable {
    my ($rollout) = @_;

    $canaryd->command_rollout($rollout, 'abort', { reason => 'test' });
    wait_for {
        my $u = $nginx->upstream;
        $u->{record}{stable} eq 'blue' && $u->{record}{weights}{blue} == 100
            && $canaryd->rollout($rollout)->{state} eq 'aborted';
    } 15, 'blue to be stable';
}


my @broken = ([fail => { status => 500 }], [hang => { mode => 'hang' }],
    [garbage => { mode => 'garbage' }], [early => { mode => 'early' }],
    [close => { mode => 'close' }]);

subtest 'smoke tests that pass' => sub {
    my $rollout = rollout(smoke => [
        { name => 'home', path => '/home?x=1', status => 200,
          headers => { Host => 'shop.example' }, body_contains => 'fine',
          servers => [$fake->target] },
        { method => 'POST', path => '/post', status => 201,
          servers => [$fake->target] }]);

    $fake->set('/home' => { body => '{"all": "fine"}' },
        '/post' => { status => 201 });
    is ended($rollout)->{state}, 'succeeded', 'it succeeds';
    my ($r) = $fake->requests('/home');
    is $r->{headers}{host}, 'shop.example', 'with its headers';
    is $r->{query}, 'x=1', 'and query';
    is scalar $fake->requests('/post'), 1, 'each once';
    reset_stable($rollout);
};


subtest 'smoke tests that do not' => sub {
    for ([body => { body => 'other' }, qr/does not contain/], @broken,
        [status => { status => 204, body => '' }, qr/status 204, not 200/])
    {
        my ($name, $how, $re) = @$_;

        $fake->set('/bad' => $how);
        my $before = $green->counts->{requests};
        my $rollout = rollout(smoke => [{ name => 'bad', path => '/bad',
            timeout => '200ms', body_contains => '{}',
            servers => [$fake->target] }]);
        wait_for { $canaryd->rollout($rollout)->{state} eq 'aborted' } 15,
            "$name to end";
        my $seen = $canaryd->rollout($rollout);
        like $seen->{reason}, $re // qr/smoke failed: bad on/, $name;
        is $green->counts->{requests}, $before, 'no user saw it';
        is $nginx->upstream->{record}{weights}{blue}, 100, 'it is on blue';
    }
};


subtest 'a smoke test without a server has not passed' => sub {
    my $rollout = rollout(smoke => [{ path => '/' }]);
    wait_for { $canaryd->rollout($rollout)->{state} =~ /aborted|succeeded/ }
        15, 'the end';
    my $seen = $canaryd->rollout($rollout);

    if ($seen->{state} eq 'succeeded') {
        pass 'nginx names the servers of the group';
        reset_stable($rollout);

    } else {
        like $seen->{reason}, qr/no server of the canary group is known/,
            'it says so';
    }
};


subtest 'hooks' => sub {
    my $rollout = rollout(version => 'v7', hooks => [
        map { { on => $_, url => $fake->url("/$_"), secret => 'deploy' } }
            qw(confirm-start before-start each-step confirm-step
               confirm-promotion on-success)]);

    is ended($rollout)->{state}, 'succeeded', 'it succeeds';
    wait_for { $fake->requests('/on-success') } 10, 'the last hook';

    for my $name (qw(confirm-start before-start each-step confirm-step
        confirm-promotion on-success))
    {
        my @r = $fake->requests("/$name");
        ok @r, "$name was called" or next;
        my $r = $r[0];
        my $body = decode($r->{body});
        is $body->{hook}, $name, 'by its name';
        is $body->{version}, 'v7', 'with the version';
        is $body->{rollout}, $rollout->{id}, 'and rollout';
        is $r->{headers}{'idempotency-key'}, $body->{key}, 'the key';
        is $r->{headers}{'x-canary-signature'}, 'sha256=' . hmac_sha256_hex(
            "$r->{headers}{'x-canary-timestamp'}.$r->{body}", $secret),
            'is signed';
        my %keys = map { $_->{headers}{'idempotency-key'} => 1 } @r;
        is scalar keys %keys, scalar @r, 'once each';
    }

    reset_stable($rollout);
};


subtest 'a hook is tried again with the same key' => sub {
    $fake->set('/flaky' => { status => 503, times => 2 });
    my $rollout = rollout(hooks => [{ on => 'before-start',
        url => $fake->url('/flaky') }]);

    is ended($rollout)->{state}, 'succeeded', 'it succeeds';
    my @r = $fake->requests('/flaky');
    is scalar @r, 3, 'at the third try';
    is_deeply [map { $_->{headers}{'idempotency-key'} } @r[1, 2]],
        [($r[0]{headers}{'idempotency-key'}) x 2], 'with one key';
    ok !$r[0]{headers}{'x-canary-signature'}, 'unsigned without a secret';
    reset_stable($rollout);
};


subtest 'hooks that fail' => sub {
    for (@broken) {
        my ($name, $how) = @$_;

        $fake->set('/broken' => $how, '/undo' => {});
        my $rollout = rollout(hooks => [
            { on => 'before-start', url => $fake->url('/broken'),
              timeout => '150ms', retries => 1 },
            { on => 'on-revert', url => $fake->url('/undo') }]);
        wait_for { $canaryd->rollout($rollout)->{state} eq 'aborted' } 15,
            "$name to end";
        like $canaryd->rollout($rollout)->{reason},
            qr/before-start failed: http/, $name;
        cmp_ok scalar(grep { decode($_->{body})->{rollout} eq $rollout->{id} }
            $fake->requests('/broken')), '>=', 2, 'tried twice';
        wait_for {
            grep { decode($_->{body})->{rollout} eq $rollout->{id} }
                $fake->requests('/undo');
        } 10, 'on-revert';
        pass 'on-revert was called';
        wait_for {
            !grep { $_->{active} } @{ $canaryd->get('/v1/upstreams')
                ->{json}{upstreams} };
        } 10, 'the end';
    }
};


subtest 'a question that is not answered waits, a no reverts' => sub {
    for (@broken) {
        my ($name, $how) = @$_;

        $fake->set('/may' => $how);
        my $rollout = rollout(hooks => [{ on => 'confirm-start',
            url => $fake->url('/may'), timeout => '150ms', retries => 0 }]);
        wait_for {
            ($canaryd->rollout($rollout)->{waiting_for} // '') eq 'gate';
        } 10, "$name to wait";
        is $nginx->upstream->{record}{weights}{blue}, 100,
            "$name: traffic is on blue";
        my $r = $canaryd->command_rollout($rollout, 'abort', {});
        is $r->{status}, 200, 'an abort does not wait for it';
        reset_stable($rollout);
    }

    $fake->set('/may' => { status => 403 });
    my $rollout = rollout(hooks => [{ on => 'confirm-start',
        url => $fake->url('/may') }]);
    wait_for { $canaryd->rollout($rollout)->{state} eq 'aborted' } 15, 'no';
    like $canaryd->rollout($rollout)->{reason}, qr/status 403/, '403 is a no';
};


subtest 'a hook that hangs does not keep an abort' => sub {
    $fake->set('/slow' => { mode => 'hang' });
    my $rollout = rollout(hooks => [{ on => 'before-start', timeout => '60s',
        url => $fake->url('/slow') }]);
    wait_for { $fake->requests('/slow') } 10, 'the hook';
    my $r = $canaryd->command_rollout($rollout, 'abort', {});
    is $r->{status}, 200, 'aborted';
    wait_for { $canaryd->rollout($rollout)->{state} eq 'aborted' } 15, 'it';
    pass 'while it hangs';
};


sub prometheus {
    my ($value) = @_;

    return { body => encode({ status => 'success', data => {
        resultType => 'vector',
        result => [{ metric => {}, value => [1, $value] }] } }) };
}


subtest 'checks' => sub {
    my @checks = ({ name => 'cpu', max => 0.8, timeout => '200ms',
        prometheus => { url => $fake->url('/prom'),
            query => 'max(cpu{job="a b"})', secret => 'deploy' } },
        { name => 'ready', http => { url => $fake->url('/state'),
            path => 'data.0.ready', equals => JSON::PP::true() } });

    $fake->set('/prom/api/v1/query' => prometheus('0.5'),
        '/state' => { body => '{"data": [{"ready": true}]}' });
    my $rollout = rollout(checks => \@checks);
    is ended($rollout)->{state}, 'succeeded', 'it succeeds';
    my ($r) = $fake->requests('/prom/api/v1/query');
    is $r->{query}, 'query=max%28cpu%7Bjob%3D%22a%20b%22%7D%29', 'the query';
    is $r->{headers}{authorization}, "Bearer $secret", 'and token';
    reset_stable($rollout);

    $fake->set('/prom/api/v1/query' => prometheus('0.9'));
    $rollout = rollout(checks => \@checks);
    wait_for { $canaryd->rollout($rollout)->{state} eq 'aborted' } 15, 'end';
    like $canaryd->rollout($rollout)->{reason},
        qr/checks failed: cpu is 0.9, above 0.8/, 'a bad value reverts';

    for (@broken, [nothing => { body => encode({ status => 'success',
        data => { resultType => 'vector', result => [] } }) }])
    {
        my ($name, $how) = @$_;

        $fake->set('/prom/api/v1/query' => $how);
        $rollout = rollout(checks => \@checks, checks_every => '1s',
            steps => [{ weight => 20, hold => '100ms' }, { weight => 100 }]);
        wait_for {
            ($canaryd->rollout($rollout)->{waiting_for} // '') eq 'gate';
        } 10, "$name to wait";
        is $nginx->upstream->{record}{weights}{green}, 20,
            "$name: neither on nor back";
        reset_stable($rollout);
    }
};


subtest 'event hooks' => sub {
    my $rollout = rollout(version => 'v8', hooks => [{ on => 'event',
        url => $fake->url('/events'), secret => 'deploy' }]);
    ended($rollout);
    wait_for {
        grep { decode($_->{body})->{event} eq 'succeeded' }
            $fake->requests('/events');
    } 15, 'the last event';
    my @r = $fake->requests('/events');
    my %events = map { decode($_->{body})->{event} => $_ } @r;
    ok $events{$_}, $_ for qw(created started succeeded);
    my %keys = map { $_->{headers}{'idempotency-key'} => 1 } @r;
    is scalar keys %keys, scalar @r, 'each once';
    ok $r[0]{headers}{'x-canary-signature'}, 'signed';
    reset_stable($rollout);
};


subtest 'another leader asks again, under the same key' => sub {
    my $other = canaryd(nginx => $nginx, redis => $redis, node => 'other',
        config => "secrets:\n  deploy: {file: $file}\n");
    $fake->set('/ask' => { mode => 'hang' });
    my $rollout = rollout(hooks => [{ on => 'before-start', timeout => '60s',
        url => $fake->url('/ask') }]);
    wait_for { $fake->requests('/ask') } 15, 'the hook';
    my ($leader) = ($redis->cmd('GET', 'canary:{app}:leader') // '')
        =~ /:(.*)/;
    my ($first, $second) = $leader eq 'other' ? ($other, $canaryd)
        : ($canaryd, $other);
    $first->kill;
    $fake->set('/ask' => {});
    is $second->wait_state($rollout, 'succeeded')->{state}, 'succeeded',
        'it goes on';
    my @r = $fake->requests('/ask');
    cmp_ok scalar @r, '>=', 2, 'asked again';
    is $r[1]{headers}{'idempotency-key'}, $r[0]{headers}{'idempotency-key'},
        'under the same key';
    $canaryd->start if $first == $canaryd;
    $other->stop if $first != $other;
    reset_stable($rollout);
};


subtest 'the servers that nginx names' => sub {
    my @addresses = map { $_->target =~ s/^tcp://r } $blue, $green;
    my $zoned = nginx(groups => [], upstreams =>
        "upstream blue { zone blue 64k; server $addresses[0]; }\n"
        . "upstream green { zone green 64k; server $addresses[1];"
        . " server 127.0.0.1:1 down; }\n")->start;
    my $third = canaryd(nginx => $zoned, redis => undef, node => 'third');
    my $rollout = $third->start_rollout(%short,
        smoke => [{ path => '/', status => 200 }]);
    wait_for {
        @{ $third->get("/v1/rollouts/$rollout->{id}/gates")->{json}{gates} };
    } 15, 'the run';
    my ($run) = @{ $third->get("/v1/rollouts/$rollout->{id}/gates")
        ->{json}{gates} };
    is $run->{result}, 'passed', 'it passed';
    is_deeply [map { $_->{server} } @{ $run->{results} }], [$addresses[1]],
        'on the one that is not down';
    $third->stop;
};


subtest 'refused' => sub {
    my $r = $canaryd->post('/v1/rollouts', { upstream => 'app',
        canary => 'green', hooks => [{ on => 'event', secret => 'none',
            url => $fake->url('/x') }] });
    is $r->{status}, 422, 'a secret that nobody knows';
    is $r->{json}{field}, 'hooks[0].secret', 'by its field';
};


subtest 'secrets are not seen' => sub {
    unlike $canaryd->log, qr/\Q$secret\E/, 'in the log';
    unlike join(' ', map { ref $_ ? @$_ : $_ // '' }
        map { ref $_ ? map { ref $_ ? @$_ : $_ } @$_ : $_ }
        @{ $redis->cmd('XRANGE', 'canary:{app}:events', '-', '+') }),
        qr/\Q$secret\E/, 'in events';
    unlike $canaryd->get('/v1/rollouts?limit=100')->{body},
        qr/\Q$secret\E/, 'in the API';

    for my $rollout (@{ $canaryd->get('/v1/rollouts?limit=100')
        ->{json}{rollouts} })
    {
        my $r = $canaryd->get("/v1/rollouts/$rollout->{id}/explain");
        is $r->{status}, 200, 'explained';
        unlike $r->{body}, qr/\Q$secret\E/, 'in what explains it';
    }
};


$load->stop;
done_testing;
