#!/usr/bin/perl

# Reloads, kill -9 of workers and binary upgrades under traffic: the revision
# never goes back, nobody sees half a record, nothing hangs.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $nginx = nginx(
    groups => [blue => $blue, green => $green],
    main => sanitized() ? join('', map { "env $_;\n" }
        qw(LD_PRELOAD ASAN_OPTIONS UBSAN_OPTIONS)) : '',
    location => join('', map { "add_header X-\u$_ \$$_ always;\n" }
        qw(canary_group canary_revision pid)),
    allow => [qr/exited on signal 9/, qr/was locked by/,
        qr/\[emerg\] .* bind\(\)/, qr/\[emerg\] .* still could not/],
)->start;


# Revision r gives all to green if it is odd, all to blue if it is even, and
# its salt says its number: whoever sees anything else sees half a record.

sub put {
    my ($connection, $r) = @_;

    my $green = $r % 2 ? 100 : 0;

    return $connection->send('PUT', '/canary/upstreams/app', body => {
        revision => $r, stable => 'blue', canary => 'green', salt => "r$r",
        weights => { blue => 100 - $green, green => $green },
    });
}


sub torn {
    my ($json) = @_;

    my $r = $json->{record}{revision} or return 0;

    return $json->{record}{salt} ne "r$r"
        || $json->{record}{weights}{green} != ($r % 2 ? 100 : 0)
        || $json->{effective}{weights}{green} != ($r % 2 ? 100 : 0);
}


# in-flight requests over three reloads, more and fewer workers

put(http_connect($nginx->{api}), 1)->read;
my @slow = map { http_connect($nginx->target)->send('GET', '/?delay_ms=1500') }
    1 .. 4;
wait_for { $nginx->upstream->{groups}{green}{strata}[0]{attempts} == 4 } 10,
    'requests in flight';

for my $workers (4, 1, 3) {
    ok $nginx->reload(workers => $workers), "reload to $workers workers";
    my $cell = $nginx->upstream->{groups}{green}{strata}[0];
    is $cell->{attempts} - $cell->{finished}, 4, 'all are in flight';
}

my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1');
my @fields = qw(record effective boot generation persisted);
my $u = encode([@{ $nginx->upstream }{@fields}]);
ok !$nginx->reload(zone => "edge 1m state=$nginx->{dir}/other.state",
    server => 'listen 127.0.0.1:' . $taken->sockport . ';'),
    'a reload that fails';
close $taken;
is encode([@{ $nginx->upstream }{@fields}]), $u, 'changes nothing';
is join(' ', map { $_->read->{status} } @slow), '200 200 200 200',
    'they end well';
my $cell = $nginx->counted->{groups}{green}{strata}[0];
is_deeply [@$cell{qw(attempts finished errors aborts)}], [4, 4, 0, 0],
    'and are counted';
ok $nginx->reload(server => '', workers => 3,
    zone => "edge 1m state=$nginx->{dir}/edge.state"), 'and on';
$nginx->settled;

# kill -9 of workers while records change

my $revision = 1;
my ($acknowledged, $seen, $torn, $back, $kills, $puts) = (1, 0, 0, 0, 0, 0);


# one look at the API or at traffic, whoever answers

sub look {
    my ($path) = @_;

    my $before = $acknowledged;
    my $r = http($path ? $nginx->{api} : $nginx->target, 'GET',
        $path // '/') or return;

    return if $r->{status} != 200;

    my $now;

    if ($path) {
        $torn++ if torn($r->{json});
        $now = $r->{json}{record}{revision};
    } else {
        $now = $r->{headers}{'x-canary_revision'};
        $torn++ if $r->{headers}{'x-canary_group'}
            ne ($now % 2 ? 'green' : 'blue');
    }

    $back++ if $now < $before;
    $seen++;
}


my $load = load_start($nginx, connections => 4, seconds => 300);

srand 7;

for my $round (1 .. 120) {

    # the next revisions, by several hands at once

    my @c = grep { $_ } map { http_connect($nginx->{api}) } 1 .. 3;
    my $first = $revision + 1;

    put($_, ++$revision) for @c;

    my @workers = $nginx->workers;

    if (@workers) {
        look() for 1 .. int rand 3;
        $kills += kill 'KILL', $workers[rand @workers];
    }

    for my $r ($first .. $revision) {
        my $answer = shift(@c)->read;

        next unless $answer->{status} == 200;
        $puts++;
        $torn++ if torn($answer->{json});
        $acknowledged = $r if $r > $acknowledged;
    }

    look($_ % 2 ? '/canary/upstreams/app' : undef) for 1 .. 6;
}

is $torn, 0, "nobody saw half a record, of $seen";
is $back, 0, 'the revision never went back';
cmp_ok $puts, '>', 100, "$puts records were put";
cmp_ok $kills, '>', 100, "$kills workers were killed";

my %pids;
wait_for {
    my %now = map { $_ => 1 } $nginx->workers;
    my $pid = $nginx->get('/')->{headers}{'x-pid'};
    $pids{$pid}++ if defined $pid;
    keys(%now) == 3 && !grep { !$pids{$_} } keys %now;
} 30, 'each worker to answer';
pass 'no worker hangs';

$load->stop;
$nginx->crash;
$nginx->start;
cmp_ok $nginx->upstream->{record}{revision}, '>=', $acknowledged,
    'what was acknowledged is there after a crash';
ok !torn($nginx->upstream), 'and whole';

# a binary upgrade: two nginx, each with a table of its own.  nginx wants to
# have left its parent for that.

my ($old, $new);

END { kill 'KILL', grep { $_ && alive($_) } $old, $new }

$nginx->stop;
unlink "$nginx->{dir}/nginx.pid";

my $shell = spawn(name => 'shell', cmd => ['sh', '-c',
    '("$@" & until [ -s ' . "$nginx->{dir}/nginx.pid" . ' ]; do sleep 0.02;'
    . ' done); exec sleep 100000', 'sh', $nginx->command],
    env => Canary::Test::sanitizer_env('nginx', 1));

$old = wait_for { slurp("$nginx->{dir}/nginx.pid") =~ /^(\d+)\n/ && $1 } 30,
    'nginx';
$nginx->{pid} = $old;
wait_for { 3 == grep { 1 } children($old) } 30, 'its workers';
wait_for { slurp("/proc/$shell/comm") eq "sleep\n" } 10, 'its parent to go';
is $nginx->upstream->{record}{revision} >= $acknowledged, 1, 'it runs';

my $boot = $nginx->upstream->{boot};


# by boot: the revision of each nginx that answers

sub revisions {
    my %at;

    for (1 .. 30) {
        my $r = http($nginx->{api}, 'GET', '/canary/upstreams/app');
        next if $r->{status} != 200;
        $at{$r->{json}{boot}} = $r->{json}{record}{revision};
        $torn++ if torn($r->{json});
    }

    return \%at;
}


$load = load_start($nginx, connections => 4, rate => 500, seconds => 300);
$nginx->kill('USR2');
wait_for { -s "$nginx->{dir}/nginx.pid.oldbin"
    && (($new) = slurp("$nginx->{dir}/nginx.pid") =~ /^(\d+)\n/)
    && $new != $old
    && $new && 3 == grep { 1 } children($new) } 30, 'the new nginx';

my $at = {};
wait_for { %$at = (%$at, %{ revisions() }); keys %$at == 2 } 20,
    'both to answer';

for my $i (1 .. 6) {
    my ($top) = sort { $b <=> $a } values %{ revisions() };
    my $r = put(http_connect($nginx->{api}), $top + 1)->read;

    is $r->{status}, 200, "put $i during the upgrade" or diag $r->{body};
    $acknowledged = $top + 1;
    wait_for {
        my %at;
        %at = (%at, %{ revisions() }) for 1 .. 3;
        keys %at == 2 && !grep { $_ != $acknowledged } values %at;
    } 20, 'both to serve it';
}

pass 'each change reaches both';

# what the old one takes in its last second

my $late = wait_for {
    my $c = http_connect($nginx->{api});
    my $r = $c->request('GET', '/canary/upstreams/app');
    $r->{json}{boot} eq $boot && $c;
} 20, 'a connection to the old one';
is put($late, ++$acknowledged)->read->{status}, 200, 'a change of the old one';

kill 'QUIT', $old;
wait_for { !alive($old) } 20, 'the old one to end';
$nginx->{pid} = $new;
wait_for {
    $at = revisions();
    keys %$at == 1 && (values %$at)[0] == $acknowledged;
} 20, 'the new one alone, with the last record';
is $torn, 0, 'nobody saw half a record';
is $nginx->get('/')->{headers}{'x-canary_revision'}, $acknowledged,
    'traffic, too';

my $total = $load->stop->{total};
is $total->{status}{200}, $total->{requests}, 'no request was lost'
    or diag encode($total);

kill 'TERM', $new;
ok wait_for { !alive($new) } 20, 'the new one ends';
stop_process($shell, 'KILL');
$nginx->start;
is $nginx->upstream->{record}{revision}, $acknowledged,
    'and the file has the last record';

done_testing;
