# Idempotency-Key: a request that is repeated is answered as the first time.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Auth;
use Canary::Test;

my ($file, %token) = tokens_file(ci => 'operator', cd => 'operator');
my $s = stack(config => "auth: {tokens: $file}\n");
my $canaryd = $s->{canaryd};
my %long = (upstream => 'app', canary => 'green',
    steps => [{ weight => 1, hold => '1h' }]);


sub ask {
    my ($path, $key, $body, $who) = @_;

    return http($canaryd->target, 'POST', $path, body => $body, headers => {
        Authorization => 'Bearer ' . $token{ $who // 'ci' },
        'Idempotency-Key' => $key });
}


sub count {
    return scalar @{ $canaryd->get('/v1/rollouts')->{json}{rollouts} };
}


subtest 'the same again' => sub {
    my $first = ask('/v1/rollouts', 'k1', \%long);
    is $first->{status}, 201, 'created' or diag $first->{body};

    for (1, 2) {
        my $again = ask('/v1/rollouts', 'k1', \%long);
        is $again->{status}, 201, 'the same status';
        is $again->{body}, $first->{body}, 'the same answer';
        is $again->{headers}{location}, $first->{headers}{location},
            'the same place';
        is $again->{headers}{'idempotency-replayed'}, 'true', 'it says so';
    }

    is count(), 1, 'one rollout';

    my $other = ask('/v1/rollouts', 'k1', { %long, version => 'v2' });
    is $other->{status}, 422, 'another body is refused';
    is $other->{json}{field}, 'Idempotency-Key', 'for the key';

    is ask('/v1/rollouts', 'k2', \%long)->{status}, 409,
        'another key is another request';
    is ask('/v1/rollouts', 'k1', \%long, 'cd')->{status}, 409,
        "somebody else's key, too";
};


subtest 'what failed may be tried again' => sub {
    my $id = $canaryd->get('/v1/rollouts')->{json}{rollouts}[0]{id};

    is ask('/v1/rollouts', 'k3', \%long)->{status}, 409, 'busy';
    my $abort = ask("/v1/rollouts/$id/abort", 'k1', {});
    is $abort->{status}, 200, 'the same key for another path';
    is ask("/v1/rollouts/$id/abort", 'k1', {})->{body}, $abort->{body},
        'aborted once';
    $canaryd->wait_state($id, 'aborted');
    is ask('/v1/rollouts', 'k3', \%long)->{status}, 201,
        'and now it is started under the same key';
    is count(), 2, 'the second one';

    is ask('/v1/rollouts', $_, \%long)->{status}, 400, 'no key: ' . length
        for '', 'x' x 129;
};


subtest 'at the same time' => sub {
    my ($id) = map { $_->{id} } grep { $_->{state} ne 'aborted' }
        @{ $canaryd->get('/v1/rollouts')->{json}{rollouts} };
    ask("/v1/rollouts/$id/abort", 'k9', {});
    $canaryd->wait_state($id, 'aborted');

    my @c = map { http_connect($canaryd->target) } 1 .. 8;
    $_->send('POST', '/v1/rollouts', body => \%long, headers => {
        Authorization => "Bearer $token{ci}", 'Idempotency-Key' => 'k10' })
        for @c;
    my @r = map { $_->read } @c;
    my %status;
    $status{ $_->{status} }++ for @r;

    is scalar(grep { $_->{status} == 201
            && !$_->{headers}{'idempotency-replayed'} } @r), 1,
        'one of eight does it';
    is_deeply [grep { !/^(201|409)$/ } keys %status], [],
        'the others are told that it is being done, or what came of it'
        or diag explain \%status;
    is count(), 3, 'one rollout more';

    my ($line) = $canaryd->log =~ /(.*outcome=repeated.*)/;
    like $line // '', qr/actor=ci/, 'the log tells repetitions apart';
};


subtest 'keys in Redis' => sub {
    (my $socket = $s->{redis}->target) =~ s/^unix://;
    my (undef, $keys) = run('redis-cli', '-s', $socket, 'KEYS',
        'canary:{app}:answer:*');
    my @keys = split /\n/, $keys;
    cmp_ok scalar @keys, '>=', 3, "under the upstream's hash tag";

    for my $key (@keys) {
        my (undef, $ms) = run('redis-cli', '-s', $socket, 'PTTL', $key);
        cmp_ok $ms, '>', 0, 'they go by themselves';
        cmp_ok $ms, '<=', 86_400_000, 'within a day';
    }

    unlike $keys, qr/k10|\bci\b/, 'and do not tell the key';
};


done_testing;
