# Who may: tokens of a file, each role against each route, limits to upstreams,
# who comes by which listener, failed logins, what the logs say.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Auth;
use Canary::Test;
use Digest::SHA ();

my $past = '2020-01-01';
my $pattern = 'upstreams=ap[p],shop-*';
my ($file, %token) = tokens_file(
    eve => "viewer", olaf => 'operator', ann => 'admin',
    shop => "operator upstreams=shop-*", some => "operator $pattern",
    late => "admin expires=$past", later => 'admin expires=2999-12-31',
    soon => 'viewer expires=2999-12-31T23:59:59Z');

my $port = free_port();
my $s = stack(args => ['--listen', "127.0.0.1:$port"],
    config => "auth: {tokens: $file}\n");
my $canaryd = $s->{canaryd};


sub ask {
    my ($who, $method, $path, %opt) = @_;

    my $token = defined $who ? $token{$who} // $who : undef;
    $opt{headers} = { %{ $opt{headers} // {} },
        Authorization => "Bearer $token" } if defined $token;

    return http($port, $method, $path, timeout => 5, %opt);
}


# Routes as api.c has them: what is added there is tested here.

sub routes {
    my $source = slurp(Canary::Test::root() . '/sidecar/api.c');
    my ($table) = $source =~ /api_table\[\] = \{(.*?)\n\};/s;
    my @routes;

    while ($table =~ /\{ "(\w+)", "([^"]+)", \w+,\s*AUTH_(\w+),\s*API_(\w+)/g) {
        push @routes, { method => $1, path => $2, role => lc $3 };
    }

    my $rows = () = $table =~ /"\/\S*"/g;
    is @routes, $rows, 'every route is understood';

    return @routes;
}


subtest 'each role against each route' => sub {
    my %rank = (open => 0, watch => 1, viewer => 1, operator => 2,
        admin => 3);
    my %have = (eve => 1, olaf => 2, ann => 3);
    my @routes = routes();

    for my $route (@routes) {
        (my $path = $route->{path}) =~ s/\{\}/app-0123456789/g;
        my $what = "$route->{method} $route->{path}";
        my $needs = $rank{$route->{role}};

        cmp_ok $needs, '>=', 2, "$what: not for viewers"
            if $route->{method} ne 'GET';

        my $r = ask(undef, $route->{method}, $path,
            $route->{method} eq 'GET' ? () : (body => {}));

        if ($needs == 0) {
            isnt $r->{status}, 401, "$what: for everybody";
            like $path, qr{^/(live|ready|ui|$)}, 'which is harmless';

        } else {
            is $r->{status}, 401, "$what: not without a token";
            is $r->{headers}{'www-authenticate'}, 'Bearer realm="canaryd"',
                'says what is wanted';
        }

        for my $who (qw(eve olaf ann)) {
            $r = ask($who, $route->{method}, $path,
                $route->{method} eq 'GET' ? () : (body => {}));

            if ($have{$who} >= $needs) {
                ok $r->{status} && $r->{status} != 401 && $r->{status} != 403,
                    "$what: $who may" or diag "$r->{status} $r->{body}";

            } else {
                is $r->{status}, 403, "$what: $who may not";
                like $r->{json}{detail}, qr/$route->{role}.*$who/,
                    'and is told why';
            }
        }
    }

    cmp_ok scalar @routes, '>=', 12, 'all routes';
};


subtest 'tokens that are none' => sub {
    for my $case (
        ['nobody.' . 'x' x 43, 'an unknown name'],
        ["ann." . 'x' x 64, 'another secret'],
        ['ann.', 'no secret'], ['anna', 'no dot'], ['.', 'a dot'],
        [substr($token{ann}, 0, -1), 'a shorter one'],
        ["$token{ann}x", 'a longer one'],
        [ucfirst $token{ann}, 'another case'],
        ['a.b.c', 'no JWT'], ['x' x 9000, 'a huge one'],
        ["$token{ann} $token{ann}", 'two of them'],
        [$token{late}, 'an expired one'],
    ) {
        my ($token, $what) = @$case;
        my $r = ask($token, 'GET', '/v1/upstreams');
        like $r->{status}, qr/^(401|429)$/, $what or diag $r->{body};
        like $r->{headers}{'www-authenticate'} // '', qr/invalid_token/,
            'says so' if $r->{status} == 401;
    }

    for my $header ('Basic YTpi', 'Bearer', 'bearer', $token{ann}, '') {
        is http($port, 'GET', '/v1/upstreams',
            headers => { Authorization => $header })->{status}, 401,
            "Authorization: " . substr $header, 0, 6;
    }

    is ask($_, 'GET', '/v1/upstreams')->{status}, 200, "$_ is right"
        for qw(ann later soon);
    is http($port, 'GET', '/v1/upstreams', headers =>
        { Authorization => "bearer  $token{ann}" })->{status}, 200,
        'the scheme in small letters, two spaces';
};


subtest 'only some upstreams' => sub {
    my $r = ask('some', 'GET', '/v1/upstreams');
    is_deeply [map { $_->{upstream} } @{ $r->{json}{upstreams} }], ['app'],
        'some sees app';
    $r = ask('shop', 'GET', '/v1/upstreams');
    is_deeply $r->{json}{upstreams}, [], 'shop does not';

    $r = ask('shop', 'POST', '/v1/rollouts',
        body => { upstream => 'app', canary => 'green' });
    is $r->{status}, 403, 'nor starts a rollout there';
    like $r->{json}{detail}, qr/shop.*app/, 'and is told why';

    $r = ask('shop', 'POST', '/v1/rollouts',
        body => { upstream => 'shop-eu', canary => 'green' });
    is $r->{status}, 422, 'its own would do';
    unlike $r->{body}, qr/\bapp\b/, 'others are not named';

    for my $twice ('{"upstream":"shop-eu","upstream":"app","canary":"green"}',
        '{"upstream":"app","upstream":"shop-eu","canary":"green"}',
        '{"Upstream":"shop-eu","upstream":"app","canary":"green"}',
        '{"upstream":["app"],"canary":"green"}',
        '{"upstream":"app\u0000","canary":"green"}')
    {
        $r = ask('shop', 'POST', '/v1/rollouts', body => $twice,
            headers => { 'Content-Type' => 'application/json' });
        like $r->{status}, qr/^(400|403|422)$/, "not by $twice";
    }

    is ask('shop', 'POST', '/v1/rollouts/app%2D0123456789/abort',
        body => {})->{status}, 403, 'nor by another spelling of an id';

    my %long = (upstream => 'app', canary => 'green',
        steps => [{ weight => 1, hold => '1h' }]);
    $r = ask('some', 'POST', '/v1/rollouts', body => \%long);
    is $r->{status}, 201, 'some starts one' or diag $r->{body};
    my $id = $r->{json}{id};
    is $r->{json}{actor}, 'some', 'under its name';

    is_deeply ask('shop', 'GET', '/v1/rollouts')->{json}{rollouts}, [],
        'shop sees none in the list';
    is ask('shop', 'GET', '/v1/rollouts?state=active')->{json}{rollouts}[0],
        undef, 'nor of those that run';
    is ask('shop', 'GET', "/v1/rollouts/$id")->{status}, 403, 'nor it';
    is ask('shop', 'POST', "/v1/rollouts/$id/$_", body => {})->{status}, 403,
        "shop may not $_" for qw(pause resume promote abort);
    is ask('shop', 'GET', '/metrics')->{status}, 403, 'nor see the metrics';
    is ask('eve', 'GET', '/metrics')->{status}, 200, 'which eve may';

    $r = ask('some', 'POST', "/v1/rollouts/$id/abort",
        body => { actor => 'someone else', reason => 'tried' });
    is $r->{status}, 200, 'some aborts';
    is $r->{json}{actor}, 'some', 'whatever the body says';
    $canaryd->wait_state($id, 'aborted');

    my $log = $canaryd->log;
    my ($line) = $log =~ /(.*msg=audit.*abort.*status=200.*)/;
    like $line, qr/actor=some on_behalf_of="someone else" role=operator/,
        'the log says who, and for whom';
    like $line, qr/upstream=app/, 'where';
    like $log, qr/msg=audit outcome=refused actor=shop.*status=403/,
        'and who was refused';
};


subtest 'listeners' => sub {
    is $canaryd->get('/v1/upstreams')->{status}, 200,
        'the owner comes by the socket without a token';
    my $unix = $canaryd->target;
    is http($unix, 'GET', '/v1/upstreams',
        bearer('ann.wrong'))->{status}, 401, 'but not with a wrong one';
    is http($unix, 'POST', '/v1/rollouts', bearer($token{eve}),
        body => {})->{status}, 403, 'and a token counts more than the socket';
    is http($unix, 'GET', '/v1/upstreams',
        headers => { 'X-Forwarded-For' => '192.0.2.1' })->{status}, 401,
        'who comes by a proxy is not the owner';
    is http($port, 'GET', '/v1/upstreams', headers =>
        { Host => 'canary.example.com',
          Authorization => "Bearer $token{eve}" })->{status}, 200,
        'any name will do where tokens are asked for';

    my $open = canaryd(nginx => $s->{nginx}, redis => $s->{redis},
        node => 'open', args => ['--listen', '127.0.0.1:' . (my $p = free_port())]);
    is http($p, 'GET', '/v1/upstreams')->{status}, 200,
        'without auth loopback is open';
    is http($p, 'GET', '/v1/upstreams',
        headers => { Host => 'evil.example.com' })->{status}, 403,
        'but not for pages of another name';
    my $r = http($p, 'POST', '/v1/rollouts', body => {});
    is $r->{status}, 422, 'operators are what come';
    $open->stop;

    my $strict = canaryd(nginx => $s->{nginx}, redis => $s->{redis},
        node => 'strict', wait => 'live',
        config => "auth: {tokens: $file, unix: none, metrics: open}\n");
    is $strict->get('/v1/upstreams')->{status}, 401, 'unix: none';
    is http($strict->target, 'GET', '/v1/upstreams',
        bearer($token{eve}))->{status}, 200, 'takes a token';
    is $strict->get('/metrics')->{status}, 200, 'metrics: open';
    is $strict->get('/health')->{status}, 200, 'and so is the health';
    $strict->stop;
};


subtest 'a file that must not be, SIGHUP' => sub {
    my $binary = Canary::Test::build() . '/canaryd';
    my ($other, %other) = tokens_file(bob => 'viewer');
    my $mine = canaryd(nginx => $s->{nginx}, redis => $s->{redis},
        node => 'hup', wait => 'live',
        config => "auth: {tokens: $other, unix: none}\n");
    my $status = sub {
        return http($mine->target, 'GET', '/v1/upstreams',
            bearer($_[0]))->{status};
    };
    my $lines = sub { return scalar(() = $mine->log =~ /$_[0]/g) };
    my $hup = sub {
        my ($re) = @_;
        my $n = $lines->($re);
        $mine->signal('HUP');
        wait_for { $lines->($re) > $n } 10, $re;
        return;
    };

    is $status->($other{bob}), 200, 'bob may';

    my $good = slurp($other);

    for my $mode (0604, 0620, 0602, 0660) {
        chmod $mode, $other;
        $hup->('old tokens and keys stay');
        like $mine->log, qr/must not be able to read|may be able to write/,
            sprintf 'mode %o is refused', $mode;
        is $status->($other{bob}), 200, 'the old ones stay';
    }

    chmod 0640, $other;
    $hup->('configuration reloaded');

    for my $bad ("bob viewer", "bob viewer sha256:12", "bob root sha256:" . 'a' x 64,
        $good . $good, "b.c viewer sha256:" . 'a' x 64,
        'bob viewer $argon2id$v=19$m=99999999,t=3,p=1$c2FsdHNhbHQ$aGFzaA',
        "bob viewer sha256:" . 'a' x 64 . ' upstreams=a/b',
        "bob viewer sha256:" . 'a' x 64 . ' expires=soon')
    {
        spew($other, "$bad\n");
        $hup->('old tokens and keys stay');
        is $status->($other{bob}), 200, 'the old one stays: '
            . substr $bad, 0, 24;
    }

    my $added = 'carl.' . 'z' x 40;
    spew($other, "carl admin sha256:" . Digest::SHA::sha256_hex($added)
        . "\n");
    $hup->('who may is loaded');
    is $status->($other{bob}), 401, 'bob may no more';
    is $status->($added), 200, 'carl may';
    $mine->stop;

    chmod 0644, $file;
    my ($code, $out, $err) = run($binary, '--config',
        spew(tmpdir() . '/bad.yaml', "auth: {tokens: $file}\n"),
        '--listen', 'unix:' . tmpdir() . '/bad.sock', '--data-dir',
        tmpdir(), '--redis', $s->{redis}->target,
        { env => Canary::Test::sanitizer_env('canaryd') });
    is $code, 1, 'and canaryd does not start by such a file';
    like $err, qr/others must not be able to read it/, 'and says why';
    chmod 0600, $file;
};


subtest 'argon2, by canaryctl token' => sub {
    my $dir = tmpdir();
    my $lines = '';

    for my $case (['slow', 'argon2'], ['fast', 'sha256']) {
        my ($name, $hash) = @$case;
        my ($code, $out, $err) = canaryctl('token', $name, '--role',
            'operator', '--token-file', "$dir/$name.token", '--hash', $hash);
        is $code, 0, "canaryctl token --hash $hash" or diag $err;
        is((stat "$dir/$name.token")[2] & 07777, 0600, 'for its owner only');
        (my $token = slurp("$dir/$name.token")) =~ s/\n//;
        unlike "$out$err", qr/\Q$token\E/, 'the token is not printed';
        $token{$name} = $token;
        $lines .= $out;
    }

    my ($code) = canaryctl('token', 'fast', '--role', 'operator',
        '--token-file', "$dir/fast.token");
    is $code, 1, 'an old file is not overwritten';
    is((canaryctl('token', 'a.b', '--role', 'viewer', '--token-file',
        "$dir/new"))[0], 2, 'no dots in names');

    spew("$dir/lines", $lines);
    chmod 0600, "$dir/lines";
    my $mine = canaryd(nginx => $s->{nginx}, redis => $s->{redis},
        node => 'argon', wait => 'live',
        config => "auth: {tokens: $dir/lines, unix: none, failures: 3}\n");
    my $get = sub {
        return http($mine->target, 'GET', '/v1/upstreams', bearer($_[0]));
    };

    is $get->($token{fast})->{status}, 200, 'sha256';
    is $get->($token{slow})->{status}, 200, 'argon2';
    is $get->($token{slow})->{status}, 200, 'and again';
    is $get->($token{slow} . 'x')->{status}, 401, 'another is none';

    # a client that goes away while its token is verified
    for (1 .. 3) {
        my $c = http_connect($mine->target);
        $c->send('GET', '/v1/upstreams', bearer("slow.gone$_"));
        $c->close;
    }

    my $live = http($mine->target, 'GET', '/live');
    is $live->{status}, 200, 'others are served meanwhile';
    wait_for { $get->("slow.guess")->{status} == 429 } 20, 'the limit';
    is $get->($token{slow})->{status}, 200,
        'what was right before is right beyond the limit';

    ($code, my $out, my $err) = canaryctl($mine, 'status');
    is $code, 1, 'canaryctl without a token';
    like $err, qr/401/, 'is told';

    for my $env ({ CANARY_TOKEN => $token{fast} },
        { CANARY_TOKEN_FILE => "$dir/fast.token" })
    {
        ($code, $out, $err) = canaryctl($mine, 'status', { env => $env });
        is $code, 0, join ' ', 'by', keys %$env or diag $err;
    }

    ($code) = canaryctl($mine, '--token-file', "$dir/fast.token", 'status');
    is $code, 0, 'by --token-file';
    ($code) = canaryctl($mine, 'status', '--token', $token{fast});
    is $code, 0, 'by --token';

    ($code, $out, $err) = canaryctl('status', '--server',
        'http://192.0.2.1:1', '--token', $token{fast}, '--timeout', '100ms');
    is $code, 1, 'not in clear to another machine';
    like $err, qr/unencrypted.*--insecure/, 'says so';
    unlike $err, qr/\Q$token{fast}\E/, 'but not the token';
    ($code, $out, $err) = canaryctl('status', '--insecure', '--server',
        'http://192.0.2.1:1', '--token', $token{fast}, '--timeout', '100ms');
    unlike $err, qr/unencrypted/, 'unless it is meant';

    # one under way when it stops
    my $c = http_connect($mine->target);
    $c->send('GET', '/v1/upstreams', bearer("slow.last"));
    is $mine->stop, 0, 'a clean stop meanwhile';

    unlike $mine->log, qr/\Q$token{slow}\E|\Q$token{fast}\E|slow\.guess/,
        'no token in the log';
};


subtest '10 000 bad logins' => sub {
    my $memory = sub {
        my ($kb) = slurp('/proc/' . $canaryd->pid . '/status')
            =~ /VmRSS:\s+(\d+)/;
        return $kb;
    };

    ask("ann.try$_", 'GET', '/v1/upstreams') for 1 .. 20;

    my $before = $memory->();
    my $lines = () = $canaryd->log =~ /\n/g;
    my %status;
    my $done = 0;

    while ($done < 10_000) {
        my $c = http_connect($port);

        for (1 .. 100) {
            my $n = $done++;
            $status{ $c->request('GET', '/v1/upstreams',
                bearer(sprintf 'ann.%032d', $n))->{status} }++;
        }

        $c->close;
    }

    is join(' ', sort keys %status), '429', 'refused'
        if !$status{401};
    cmp_ok $status{401} // 0, '<', 100, 'nearly all of them unseen';
    is $status{200} // 0, 0, 'none got in';
    # what is freed is kept for a while by the sanitizers
    cmp_ok $memory->() - $before, '<', 2048, 'in the same memory'
        unless sanitized();
    cmp_ok(scalar(() = $canaryd->log =~ /\n/g) - $lines, '<', 200,
        'and few lines');

    my $r = ask('nobody.x', 'GET', '/v1/upstreams');
    is $r->{headers}{'retry-after'} // '', '60', 'is told to wait'
        if $r->{status} == 429;
    is ask('olaf', 'GET', '/v1/upstreams')->{status}, 200,
        'who has a token is served from the same address';
};


subtest 'no secret anywhere' => sub {
    my $all = $canaryd->log . $canaryd->get('/metrics')->{body}
        . $canaryd->get('/v1/rollouts')->{body};

    for my $list ($canaryd->get('/v1/rollouts')->{json}{rollouts}) {
        $all .= $canaryd->get("/v1/rollouts/$_->{id}")->{body} for @$list;
    }

    my $socket = $s->{redis}->target;
    $socket =~ s/^unix://;
    my ($code, $keys) = run('redis-cli', '-s', $socket, 'KEYS', '*');
    $all .= $keys;
    $all .= (run('redis-cli', '-s', $socket, 'XRANGE', 'canary:{app}:events',
        '-', '+'))[1];

    unlike $all, qr/\Q$token{$_}\E/, "$_" for sort keys %token;
    unlike $all, qr/ann\.try|ann\.0000|sha256:/, 'nor what was tried';
    like $all, qr/actor.*some/s, 'but who it was';
};


done_testing;
