#!/usr/bin/perl

# The guard: a group that fails is not chosen any more, at once and with
# nothing else running.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;
use Time::HiRes ();

my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $nginx = nginx(
    groups => [blue => $blue, green => $green],
    location => "add_header X-Reason \$canary_reason always;\n"
        . "proxy_next_upstream off;\n",
)->start;

my %guard = (group => 'green', failures => 20, ratio => 0.5,
    window_ms => 10000);


sub guarded {
    my ($green_weight, %more) = @_;

    my $r = $nginx->put(
        weights => { blue => 100 - $green_weight, green => $green_weight },
        guard => { %guard, %more });

    is $r->{status}, 200, "green has $green_weight %" or diag $r->{body};
    $_->set(zero => 1) for $blue, $green;

    return $r->{json};
}


# it is part of the record

my $json = guarded(50);
is_deeply $json->{record}{guard}, \%guard, 'the record has it';
is $json->{effective}{tripped}, undef, 'not tripped';

# a canary that answers only 500, 8 connections

$green->set(error => 1);
my $load = load($nginx, requests => 4000, connections => 8,
    header => 'X-User: %d');
my $bad = $green->counts->{requests};

cmp_ok $bad, '>=', 20, 'so many failures trip it';
cmp_ok $bad, '<=', 28, "and at most those in flight come after: $bad";
is $load->{total}{status}{500}, $bad, 'clients saw these';

my $u = $nginx->upstream;

is $u->{effective}{tripped}, 'green', 'the API says so';
is_deeply $u->{effective}{weights}, { blue => 100, green => 0 },
    'and what is served';
is_deeply $u->{record}{weights}, { blue => 50, green => 50 },
    'the record stays';
cmp_ok $u->{groups}{blue}{pinned}{selections}{guard}, '>', 1000,
    'the reason is counted';
like $nginx->metrics, qr/^nginx_canary_tripped\{upstream="app"\} 1$/m,
    'and the metric';
like $nginx->error_log,
    qr/"app" stops choosing group "green": at least 20 failed/, 'and the log';

my ($user) = grep {
    $nginx->get('/', 'X-User' => $_)->{headers}{'x-reason'} eq 'guard'
} 1 .. 50;
ok $user, '$canary_reason';
is $nginx->get('/', 'X-Canary' => 'green')->{headers}{'x-backend'}, 'green',
    'force still reaches it';

# a new record begins anew; a reload does not

ok $nginx->reload, 'reload';
is $nginx->upstream->{effective}{tripped}, 'green', 'still tripped';
$green->set(error => 0);
guarded(50);
is $nginx->upstream->{effective}{tripped}, undef, 'a new record is not';
load($nginx, requests => 400, header => 'X-User: %d');
cmp_ok $green->counts->{requests}, '>', 100, 'green serves again';

# not by too small a share

guarded(50);
$green->set(error => 0.3);
load($nginx, requests => 2000, connections => 8, header => 'X-User: %d');
is $nginx->upstream->{effective}{tripped}, undef, '30 % are not 50 %';

# not if stable fails as well

guarded(50);
$_->set(error => 1) for $blue, $green;
load($nginx, requests => 2000, connections => 8, header => 'X-User: %d');
is $nginx->upstream->{effective}{tripped}, undef, 'both fail: no reason';
$blue->set(error => 0);

# not by what was forced onto it

guarded(50);
$nginx->get('/', 'X-Canary' => 'green') for 1 .. 60;
is $nginx->upstream->{effective}{tripped}, undef, 'forced ones do not count';

# at 100 % there is nobody to compare with, and it trips

guarded(100);
load($nginx, requests => 200, connections => 4);
is $nginx->upstream->{effective}{tripped}, 'green', 'alone';
cmp_ok $green->counts->{requests}, '<=', 24, 'quickly';

# failures that are far apart do not add up

guarded(100, failures => 3, window_ms => 200);
my $c = http_connect($nginx->target);

for (1 .. 6) {
    $green->set(error => 1);
    $c->request('GET', '/');
    $green->set(error => 0);
    my $until = Time::HiRes::time() + 0.25;
    wait_for { Time::HiRes::time() > $until } 5, 'the window to pass';
    $c->request('GET', '/') for 1 .. 3;
}

is $nginx->upstream->{effective}{tripped}, undef, 'one at a time';

# wrong guards

for (
    ['no object', 1], ['empty', {}], ['no group', { %guard, group => undef }],
    ['unknown group', { %guard, group => 'red' }],
    ['the stable group', { %guard, group => 'blue' }],
    ['no failures', { %guard, failures => 0 }],
    ['half a failure', { %guard, failures => 1.5 }],
    ['ratio 0', { %guard, ratio => 0 }], ['ratio 2', { %guard, ratio => 2 }],
    ['a short window', { %guard, window_ms => 99 }],
    ['one field more', { %guard, x => 1 }],
) {
    my ($what, $guard) = @$_;
    my $r = $nginx->put(weights => { blue => 100 }, guard => $guard);

    is $r->{status}, 422, "$what is refused";
    is $r->{json}{field}, 'guard', "$what: the field";
}

done_testing;
