# JSON Web Tokens: what is right is let in with its role, whatever else is
# forged, expired, for somebody else or of another algorithm is not.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Auth;
use Canary::Test;

my ($rsa, $rsa_pub) = key_pair('rsa');
my ($rsa2, $rsa2_pub) = key_pair('rsa');
my ($ec, $ec_pub) = key_pair('ec');
my ($ec2, $ec2_pub) = key_pair('ec');
my ($weak, $weak_pub) = key_pair('rsa1024');
my ($p384, $p384_pub) = key_pair('p384');

my $secret = 's3cr3t' x 6;
my $secret_file = spew(tmpdir() . '/hs256', "$secret\n");
chmod 0600, $secret_file;

my $set = jwks({ first => $rsa_pub, second => $ec_pub },
    [{ kty => 'oct', k => encode_base64url('x' x 32) },
     { kty => 'RSA', kid => 'broken', n => '!', e => 'AQAB' },
     { kty => 'EC', crv => 'P-256', x => encode_base64url('1' x 32),
       y => encode_base64url('2' x 32) }, 7]);

my $issuer = 'https://token.example.com';
my $redis = redis();
my $backend = backend(name => 'blue');
my $other = backend(name => 'green');
my $nginx = nginx(groups => [blue => $backend, green => $other])->start;


sub start {
    my ($node, $jwt) = @_;

    return canaryd(nginx => $nginx, redis => $redis, node => $node,
        wait => 'live', config => "auth: {unix: none, failures: 1000}\n"
            . "jwt:\n  issuer: $issuer\n  audience: canary\n"
            . join '', map { "  $_\n" } @$jwt);
}


sub claims {
    return { iss => $issuer, aud => 'canary', exp => time + 600,
        sub => 'repo:acme/shop:ref:refs/heads/main',
        canary_role => 'operator', @_ };
}


sub get {
    my ($canaryd, $token, $path) = @_;

    return http($canaryd->target, 'GET', $path // '/v1/upstreams',
        bearer($token));
}


my $canaryd = start('jwt', ["keys: [$set, $ec2_pub]",
    "secret: $secret_file"]);
my %good = (
    RS256 => [alg => 'RS256', key => $rsa],
    ES256 => [alg => 'ES256', key => $ec],
    HS256 => [alg => 'HS256', key => $secret],
);


subtest 'right ones' => sub {
    for my $alg (sort keys %good) {
        my $r = get($canaryd, jwt(@{ $good{$alg} }, claims => claims()));
        is $r->{status}, 200, $alg or diag $r->{body};
    }

    my %more = (
        'with its kid' => [@{ $good{RS256} }, header => { kid => 'first' }],
        'of the second file' => [alg => 'ES256', key => $ec2],
        'the key of a PEM has no kid' => [alg => 'ES256', key => $ec2,
            header => { kid => 'anything' }],
    );

    for my $what (sort keys %more) {
        is get($canaryd, jwt(@{ $more{$what} }, claims => claims()))
            ->{status}, 200, $what;
    }

    for my $case (
        ['aud is a list', aud => ['else', 'canary']],
        ['nbf is past', nbf => time - 5],
        ['expired a moment ago', exp => time - 5],
        ['roles are a list', canary_role => ['none', 'viewer', 7]],
    ) {
        my ($what, @claims) = @$case;
        is get($canaryd, jwt(@{ $good{ES256} },
            claims => claims(@claims)))->{status}, 200, $what;
    }
};


subtest 'claims that are none' => sub {
    for my $case (
        ['expired', exp => time - 3600],
        ['expired since the leeway', exp => time - 31],
        ['no exp', exp => undef],
        ['exp is a text', exp => '9999999999'],
        ['not yet', nbf => time + 3600],
        ['nbf is a text', nbf => 'now'],
        ['another audience', aud => 'somebody'],
        ['other audiences', aud => ['somebody', 'canaryd']],
        ['no audience', aud => undef],
        ['another issuer', iss => "$issuer/"],
        ['no issuer', iss => undef],
        ['no role', canary_role => undef],
        ['an unknown role', canary_role => 'root'],
        ['a role of another kind', canary_role => { admin => 1 }],
        ['nobody', sub => undef],
    ) {
        my ($what, $name, $value) = @$case;
        my $claims = claims();
        defined $value ? $claims->{$name} = $value : delete $claims->{$name};

        for my $alg (sort keys %good) {
            my $r = get($canaryd, jwt(@{ $good{$alg} }, claims => $claims));
            is $r->{status}, 401, "$what ($alg)" or diag $r->{body};
        }
    }

    like get($canaryd, jwt(@{ $good{ES256} },
        claims => claims(exp => 1)))->{json}{detail}, qr/expired/,
        'who holds the key is told what is wrong';
};


subtest 'forged ones' => sub {
    my $claims = claims();
    my $pem = slurp($rsa_pub);
    my $right = jwt(@{ $good{RS256} }, claims => $claims);
    my @part = split /\./, $right;
    my $admin = encode_base64url(encode(claims(canary_role => 'admin')));
    my @h = split /\./, jwt(@{ $good{HS256} }, claims => $claims);
    my @e = split /\./, jwt(@{ $good{ES256} }, claims => $claims);

    my %forged = (
        'alg none' => jwt(alg => 'none', claims => $claims),
        'alg None' => jwt(alg => 'None', claims => $claims),
        'alg none with a signature' => jwt(alg => 'HS256', key => $secret,
            claims => $claims, header => { alg => 'none' }),
        'no alg' => jwt(alg => 'HS256', key => $secret, claims => $claims,
            raw_header => '{"typ":"JWT"}'),
        'alg twice' => jwt(alg => 'HS256', key => $pem, claims => $claims,
            raw_header => '{"alg":"RS256","alg":"HS256"}'),
        'alg twice, the other way' => jwt(alg => 'HS256', key => $pem,
            claims => $claims,
            raw_header => '{"alg":"HS256","alg":"RS256"}'),
        'the public key as a secret' => jwt(alg => 'HS256', key => $pem,
            claims => $claims),
        'the public key as a secret, with its kid' => jwt(alg => 'HS256',
            key => $pem, claims => $claims, header => { kid => 'first' }),
        'RS256 says ES256' => jwt(alg => 'RS256', key => $rsa,
            claims => $claims, header => { alg => 'ES256' }),
        'ES256 says RS256' => jwt(alg => 'ES256', key => $ec,
            claims => $claims, header => { alg => 'RS256' }),
        'RS384' => jwt(alg => 'RS256', key => $rsa, claims => $claims,
            header => { alg => 'RS384' }),
        'HS512' => jwt(alg => 'HS256', key => $secret, claims => $claims,
            header => { alg => 'HS512' }),
        'another RSA key' => jwt(alg => 'RS256', key => $rsa2,
            claims => $claims),
        'another EC key' => jwt(alg => 'ES256',
            key => (key_pair('ec'))[0], claims => $claims),
        'a key of another curve' => jwt(alg => 'ES256', key => $p384,
            claims => $claims),
        'another secret' => jwt(alg => 'HS256', key => "${secret}x",
            claims => $claims),
        'an empty secret' => jwt(alg => 'HS256', key => '',
            claims => $claims),
        "another key's kid" => jwt(alg => 'RS256', key => $rsa,
            claims => $claims, header => { kid => 'second' }),
        'crit' => jwt(alg => 'RS256', key => $rsa, claims => $claims,
            header => { crit => ['x'], x => 1 }),
        'other claims' => "$part[0].$admin.$part[2]",
        'other claims (HS256)' => "$h[0].$admin.$h[2]",
        'other claims (ES256)' => "$e[0].$admin.$e[2]",
        'no signature' => "$part[0].$part[1].",
        'half a signature' => "$part[0].$part[1]."
            . substr($part[2], 0, 100),
        'zeros for a signature' => "$e[0].$e[1]." . 'A' x 86,
        'no claims' => "$part[0]..$part[2]",
        'dots' => '..', 'four parts' => "$right.x",
        'claims that are no JSON' => jwt(alg => 'RS256', key => $rsa,
            claims => 'yes'),
        'a header that is no JSON' => jwt(alg => 'RS256', key => $rsa,
            claims => $claims, raw_header => 'RS256'),
        'a deep header' => jwt(alg => 'RS256', key => $rsa,
            claims => $claims, raw_header => '[' x 1400),
        'a huge one' => jwt(alg => 'RS256', key => $rsa,
            claims => claims(pad => 'x' x 9000)),
        'standard base64' => join('.', map { (my $p = $_) =~ tr{-_}{+/}; $p }
            "$part[0]==", @part[1, 2]),
    );

    for my $what (sort keys %forged) {
        my $r = get($canaryd, $forged{$what});
        is $r->{status}, 401, $what or diag $r->{body};
    }

    is get($canaryd, $right)->{status}, 200, 'while the right one is let in';
    unlike $canaryd->log, qr/\Q$part[2]\E|eyJ/, 'no token in the log';
};


subtest 'roles by rules, as for the tokens of a CI' => sub {
    my $mine = start('rules', ["keys: $rsa_pub", 'role_claim: sub', 'roles:',
        "- 'repo:acme/shop:ref:refs/heads/main=operator app'",
        "- 'repo:acme/ops:*=admin'", "- 'repo:acme/*=viewer'"]);
    my $ask = sub {
        my ($sub, $method, $path, @body) = @_;
        return http($mine->target, $method, $path, @body, bearer(
            jwt(alg => 'RS256', key => $rsa, claims => claims(sub => $sub)))
        )->{status};
    };
    my @start = ('POST', '/v1/rollouts', body => { upstream => 'app' });
    my @foreign = ('POST', '/v1/rollouts', body => { upstream => 'shop' });

    is $ask->('repo:acme/shop:ref:refs/heads/main', @start), 422,
        'main may start';
    is $ask->('repo:acme/shop:ref:refs/heads/main', @foreign), 403,
        'but not elsewhere';
    is $ask->('repo:acme/shop:ref:refs/heads/x', @start), 403,
        'branches may not';
    is $ask->('repo:acme/shop:ref:refs/heads/x', 'GET', '/v1/upstreams'),
        200, 'but look';
    is $ask->('repo:acme/ops:x', @foreign), 422, 'ops may everywhere';
    is $ask->('repo:evil/shop:ref:refs/heads/main', @start), 401,
        'others are nobody';
    like $mine->log,
        qr{msg=audit .*actor=jwt:repo:acme/shop:ref:refs/heads/main .*},
        'the log says who';
    $mine->stop;
};


subtest 'upstreams by a claim' => sub {
    my $mine = start('claim', ["keys: $rsa_pub", 'upstreams_claim: ups']);
    my $seen = sub {
        my $r = get($mine, jwt(alg => 'RS256', key => $rsa,
            claims => claims(@_)));
        return $r->{status} == 200
            ? scalar @{ $r->{json}{upstreams} } : $r->{status};
    };

    wait_for { $seen->(ups => 'app') eq 1 } 10, 'app by its name';
    is $seen->(ups => ['x', 'a*']), 1, 'by a pattern in a list';
    is $seen->(ups => 'shop'), 0, 'others see none';
    is $seen->(), 401, 'no claim, no entry';
    is $seen->(ups => []), 401, 'nor with an empty one';
    is $seen->(ups => 'a/b'), 401, 'nor with no pattern';
    $mine->stop;
};


subtest 'many keys' => sub {
    my %many = map { ("k$_" => $_ == 6 ? $ec_pub : (key_pair('ec'))[1]) }
        1 .. 6;
    my $mine = start('many', ['keys: ' . jwks(\%many)]);

    is get($mine, jwt(alg => 'ES256', key => $ec, claims => claims(),
        header => { kid => 'k6' }))->{status}, 200, 'by its name';
    is get($mine, jwt(alg => 'ES256', key => $ec, claims => claims()))
        ->{status}, 401, 'without one only the first are tried';
    $mine->stop;
};


subtest 'keys that must not be' => sub {
    my $try = sub {
        my ($jwt) = @_;
        my $config = spew(tmpdir() . '/keys.yaml', "jwt: {issuer: i, "
            . "audience: a, $jwt}\n");
        my ($code, undef, $err) = run(Canary::Test::build() . '/canaryd',
            '--config', $config, '--listen', 'unix:' . tmpdir() . '/k.sock',
            '--data-dir', tmpdir(), '--redis', $redis->target,
            { env => Canary::Test::sanitizer_env('canaryd') });
        return "$code $err";
    };
    my $short = spew(tmpdir() . '/short', 'too short');
    chmod 0600, $short;
    my $open = spew(tmpdir() . '/open', $secret);
    chmod 0644, $open;
    my $writable = spew(tmpdir() . '/writable', slurp($rsa_pub));
    chmod 0666, $writable;

    like $try->("keys: $weak_pub"), qr/^1 .*2048/s, 'RSA of 1024 bits';
    like $try->("keys: $p384_pub"), qr/^1 .*P-256/s, 'another curve';
    like $try->("keys: $rsa"), qr/^1 .*private key/s, 'a private key';
    like $try->("keys: $secret_file"), qr/^1 .*PEM/s, 'something else';
    like $try->("keys: $writable"), qr/^1 .*chmod/s, 'writable by all';
    like $try->("secret: $short"), qr/^1 .*32 bytes/s, 'a short secret';
    like $try->("secret: $open"), qr/^1 .*read it/s, 'readable by all';
    like $try->('keys: ' . jwks({})), qr/^1 .*no RSA or P-256/s,
        'an empty JWKS';
    like $try->('keys: /nonexistent'), qr/^1 .*nonexistent/s, 'no file';
    is_deeply [grep { -e } tmpdir() . '/k.sock'], [], 'nothing listened';
};


$canaryd->stop;
done_testing;
