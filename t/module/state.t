#!/usr/bin/perl

# Records and counters over reload, failed reload, restart and crash; what
# becomes of a state file that cannot be used.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $nginx = nginx(
    groups => [blue => $blue, green => $green],
    allow => [qr/\[emerg\] .* bind\(\)/, qr/\[emerg\] .* still could not/],
    location => "add_header X-Reason \$canary_reason;\n",
)->start;

my $state = "$nginx->{dir}/edge.state";


sub served {
    my ($what, $revision, $green) = @_;

    my $u = $nginx->upstream;

    is $u->{record}{revision}, $revision, "$what: revision";
    is $u->{effective}{weights}{green}, $green, "$what: weight";

    my $total = 0;
    my $c = http_connect($nginx->target);

    for (1 .. 200) {
        my $r = $c->request('GET', '/', headers => { 'X-User' => "u$_" });
        $total++ if $r->{headers}{'x-backend'} eq 'green';
    }

    if ($green == 0 || $green == 100) {
        is $total, 2 * $green, "$what: traffic";
    } else {
        cmp_ok chi_square([200 - $total, $total],
            [200 - 2 * $green, 2 * $green]), '<', chi_square_limit(1),
            "$what: traffic";
    }
}


sub log_has {
    my ($pattern, $what) = @_;

    like $nginx->error_log, $pattern, $what;
}


served('a fresh start', 0, 0);
log_has qr/edge\.state" is not there yet/, 'no state file is said';

my $r = $nginx->put(weights => { blue => 60, green => 40 },
    salt => 's "quoted"');

is $r->{status}, 200, 'put';
$nginx->saved;
served('after the put', 1, 40);
like slurp($state), qr/^nginx-canary-state 1 [0-9a-f]{8} \d+\n\{/,
    'the state file';

# reloads keep it all; three in a row, with traffic

my $load = load_start($nginx, requests => 30000, rate => 5000,
    header => 'X-User: %d');
my $boot = $nginx->upstream->{boot};

for my $i (1 .. 3) {
    ok $nginx->reload(workers => 1 + $i), "reload $i";
    served("reload $i", 1, 40);
}

my $total = $load->wait->{total};

is $total->{status}{200}, 30000, 'no request was lost'
    or diag encode($total);

$nginx->settled;

my $sum = 0;
my $u = $nginx->counted;

$sum += $u->{groups}{$_}{strata}[0]{attempts} for qw(blue green);

is $sum, 30000 + 5 * 200, 'all were counted, over all workers';
is $u->{boot}, $boot, 'the same boot';

# a reload that fails changes nothing

my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1');
my $port = $taken->sockport;

ok !$nginx->reload(server => "listen 127.0.0.1:$port;\n",
    canary => 'zone=edge green blue'), 'a reload that fails';
served('after it', 1, 40);
close $taken;

# group order and new groups; the API's weights win over the configuration

ok $nginx->reload(server => '', canary => 'zone=edge green blue'),
    'groups the other way round';
served('then', 1, 40);
is $nginx->upstream->{record}{stable}, 'blue', 'blue is still stable';

ok $nginx->reload(canary => 'zone=edge blue other', upstreams =>
    'upstream other { server ' . $green->target . '; }'),
    'a group with weight is gone';
$u = $nginx->upstream;
is_deeply $u->{effective}{weights}, { blue => 100, other => 0 },
    'stable has its share';
ok $nginx->reload(canary => 'zone=edge blue green', upstreams => ''),
    'it comes back';
served('then', 1, 40);

# restart and crash

$nginx->restart;
served('a restart', 1, 40);
isnt $nginx->upstream->{boot}, $boot, 'another boot';
is $nginx->upstream->{record}{salt}, 's "quoted"', 'the salt, too';
is $nginx->put(weights => { green => 100 })->{status}, 200, 'put';
$nginx->saved;
$nginx->crash;
$nginx->start;
served('kill -9', 2, 100);

# a lease starts anew with nginx, and then lapses

is $nginx->put(weights => { blue => 50, green => 50 }, lease_ms => 1500)
    ->{status}, 200, 'a record with a lease';
$nginx->restart;
is $nginx->upstream->{record}{lease_ms}, 1500, 'the lease is kept';
wait_for { $nginx->upstream->{effective}{lapsed} } 10, 'the lapse';
served('lapsed', 3, 0);
is $nginx->get('/', 'X-User' => 'x')->{headers}{'x-reason'}, 'lapse',
    'the reason';
is $nginx->put(weights => { blue => 50, green => 50 }, lease_ms => 1000,
    on_lapse => 'keep')->{status}, 200, 'on_lapse keep';
wait_for { $nginx->upstream->{effective}{lease_left_ms} == 0 } 10, 'its end';
served('kept', 4, 50);

# files that cannot be used

my $good = slurp($state);


sub start_with {
    my ($what, $text, $pattern) = @_;

    $nginx->stop;
    spew("$nginx->{dir}/error.log", '');
    spew($state, $text);
    $nginx->start;
    served($what, 0, 0);
    log_has $pattern, "$what: is said";
}


start_with('an empty file', '', qr/is not a canary state file, ignored/);
start_with('garbage', "\0\xff" x 1000, qr/is not a canary state file/);
start_with('cut short', substr($good, 0, length($good) - 10),
    qr/is cut short or damaged, ignored/);
start_with('cut in the head', substr($good, 0, 25), qr/is cut short/);
(my $damaged = $good) =~ s/"blue": 50/"blue": 60/;
start_with('damaged', $damaged, qr/is cut short or damaged/);
(my $newer = $good) =~ s/state 1/state 2/;
start_with('a newer version', $newer,
    qr/has version 2, this module reads 1, ignored/);

$nginx->stop;
spew("$nginx->{dir}/error.log", '');
unlink $state;
mkdir $state;
$nginx->start;
served('a directory', 0, 0);
$r = $nginx->put(weights => { blue => 90, green => 10 });
is $r->{status}, 200, 'a put that cannot be written is applied';
cmp_ok $r->{json}{persisted}, '<', $r->{json}{generation}, 'and says so';
served('then', 1, 10);
log_has qr/rename\(\) .* failed/, 'is said';
rmdir $state;
$nginx->saved;
$nginx->restart;
served('made good', 1, 10);

# without a state file, and with one process

$nginx->restart(zone => 'edge 1m', single => 1);
served('no state file', 0, 0);
is $nginx->put(weights => { blue => 80, green => 20 })->{json}{persisted}, 0,
    'nothing is persisted';
served('one process', 1, 20);

# the directory is made for the workers

my $dir = "$nginx->{dir}/made";

$nginx->restart(zone => "edge 1m state=$dir/edge.state", single => 0);
ok -d $dir, 'the directory of the state file is made';
$nginx->put(weights => { blue => 80, green => 20 });
$nginx->saved;
is $nginx->upstream->{persisted}, 1, 'and can be written';
my @left = grep { !/edge\.state(?:\.lock)?$/ } glob "$dir/*";
is_deeply \@left, [], 'no temporary file is left';

done_testing;
