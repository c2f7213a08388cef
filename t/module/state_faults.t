#!/usr/bin/perl

# State files that cannot be read or written: a clear line in the log, a
# metric, and traffic on the last good or the configured weights.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $dir = tmpdir() . '/state';
my $state = "$dir/edge.state";

mkdir $dir or die $!;
chmod 0777, $dir;

# workers are not root, if the test is

my $nginx = nginx(groups => [blue => $blue, green => $green],
    user => 'nobody nogroup', zone => "edge 1m state=$state")->start;


sub green_share {
    my $seen = 0;
    my $c = http_connect($nginx->target);

    for (1 .. 100) {
        my $r = $c->request('GET', '/', headers => { 'X-User' => "u$_" });
        $seen++ if $r->{headers}{'x-backend'} eq 'green';
    }

    return $seen;
}


sub metric {
    my ($name) = @_;

    return ($nginx->metrics =~ /^nginx_canary_$name (\d+)$/m)[0];
}


sub load_result {
    return ($nginx->metrics
        =~ /^nginx_canary_state_load_info\{zone="edge",result="(\w+)"\} 1$/m)[0];
}


sub restart_with {
    my ($what, $result, $pattern, $text) = @_;

    $nginx->stop;
    spew("$nginx->{dir}/error.log", '');

    if (ref $text) {
        $text->();
    } else {
        spew($state, $text);
    }

    $nginx->start;
    is load_result(), $result, "$what: the metric says $result";
    like $nginx->error_log, $pattern, "$what: the log says why";
    my $u = $nginx->upstream;
    is $u->{record}{revision}, 0, "$what: no record";
    is green_share(), 0, "$what: configured weights";
}


is load_result(), 'missing', 'no file yet';
is $nginx->put(weights => { green => 100 })->{status}, 200, 'put';
$nginx->restart;
is load_result(), 'loaded', 'loaded';
is green_share(), 100, 'with its weights';

my $good = slurp($state);

restart_with('missing', 'missing', qr/\[notice\] .*state" is not there yet, weights are the configuration's/,
    sub { unlink $state });
restart_with('empty', 'damaged', qr/\[error\] .* is not a canary state file, ignored/, '');
restart_with('truncated', 'damaged', qr/\[error\] .* is cut short or damaged, ignored/,
    substr $good, 0, -1);
restart_with('newer', 'newer', qr/\[error\] .* has version 9, this module reads 1, ignored/,
    $good =~ s/state 1/state 9/r);
restart_with('a directory', 'unreadable', qr/\[error\] .* is no file or too large, ignored/,
    sub { unlink $state; mkdir $state });
rmdir $state;
restart_with('a loop', 'unreadable', qr/\[error\] .* canary state file .* failed, ignored \(40:/,
    sub { symlink $state, $state or die $! });
unlink $state;

# the old state goes on to be read by an older module

restart_with('not ours', 'damaged', qr/is not a canary state file/, 'x' x 100);
$nginx->put(weights => { blue => 50, green => 50 });
$nginx->saved;
is $nginx->upstream->{persisted}, 1, 'a put makes a good file of it';

# a record that cannot be read any more costs that record only

(my $text = slurp($state)) =~ s/^[^\n]*\n//;
$text =~ s/"blue": 50/"blue": 51/;
my $head = sprintf "nginx-canary-state 1 %08x %d\n", crc32($text),
    length $text;
$nginx->stop;
spew("$nginx->{dir}/error.log", '');
spew($state, $head . $text);
$nginx->start;
is load_result(), 'loaded', 'a wrong record in a good file';
like $nginx->error_log, qr/record of canary upstream "app" in state file .* is ignored: "weights" must add up to 100, not 101/,
    'is said';
is green_share(), 0, 'configured weights';

# the disk is full: the temporary files of the next change are /dev/full

is $nginx->put(weights => { blue => 0, green => 100 })->{status}, 200, 'put';
$nginx->saved;
my $before = slurp($state);
my $errors = metric('state_write_errors_total\{zone="edge"\}');
is $errors, 0, 'no error so far';

my $generation = $nginx->upstream->{generation} + 1;
symlink '/dev/full', "$state.$_.$generation" or die $! for $nginx->workers;

my $r = $nginx->put(weights => { blue => 100, green => 0 });
is $r->{status}, 200, 'a put on a full disk';
cmp_ok $r->{json}{persisted}, '<', $r->{json}{generation},
    'says that it is not on disk';
is green_share(), 0, 'and is served';
is slurp($state), $before, 'the file is as it was';
like $nginx->error_log, qr/\[error\] .*write\(\) "\Q$state\E\.\d+\.\d+" failed \(28:/,
    'the log says why';
like $nginx->error_log, qr/\[error\] .* is not up to date, will be tried each second/,
    'and what becomes of it';
cmp_ok metric('state_write_errors_total\{zone="edge"\}'), '>', $errors,
    'and the metric';

unlink glob "$state.*.*";
$nginx->saved;
is metric('persisted_generation\{zone="edge"\}'),
    metric('generation\{zone="edge"\}'), 'the metric says so, too';
isnt slurp($state), $before, 'the file is new';
is_deeply [glob "$state.*.*"], [], 'no temporary file is left';

# a state file that a reload gives another name to, or takes away for a while

for my $zone ("edge 1m state=$dir/moved.state", 'edge 1m',
        "edge 1m state=$dir/again.state")
{
    my ($file) = $zone =~ /state=(.*)/;

    ok $nginx->reload(zone => $zone), $file ? 'another file' : 'no file';
    next unless $file;
    wait_for { -s $file } 10, 'the new file';
    $nginx->saved;
    $nginx->settled;
    $nginx->restart;
    is $nginx->upstream->{record}{revision}, 2, 'it has the record'
        or diag slurp($file);
}

$nginx->restart(zone => "edge 1m state=$state");

# a directory that the workers must not write

SKIP: {
    skip 'root alone can take a directory from its workers', 8 if $>;

    $nginx->stop;
    chmod 0755, $dir;
    spew("$nginx->{dir}/error.log", '');
    $nginx->start;
    is load_result(), 'loaded', 'it can be read';
    is green_share(), 0, 'and is served';
    like $nginx->error_log, qr/\[error\] .* state directory "\Q$dir\E\/" cannot be written by the worker, records will not survive/,
        'a warning at the start';
    $r = $nginx->put(weights => { blue => 0, green => 100 });
    is $r->{status}, 200, 'a put is applied';
    is green_share(), 100, 'traffic';
    like $nginx->error_log, qr/\[error\] .*open\(\) "\Q$state\E\.\d+\.\d+" failed \(13:/,
        'it is said';
    cmp_ok metric('state_write_errors_total\{zone="edge"\}'), '>', 0,
        'and counted';
    my @lines = $nginx->error_log =~ /\[error\].*open\(\)/g;
    my $now = metric('state_write_errors_total\{zone="edge"\}');
    wait_for {
        metric('state_write_errors_total\{zone="edge"\}') > $now + 1
    } 10, 'more tries';
    cmp_ok scalar(() = $nginx->error_log =~ /\[error\].*open\(\)/g), '<=',
        2, 'but not each time';
    chmod 0777, $dir;
    $nginx->saved;
    $nginx->restart;
    is green_share(), 100, 'and read';
}

done_testing;


sub crc32 {
    my ($text) = @_;

    my $crc = 0xffffffff;

    for my $byte (unpack 'C*', $text) {
        $crc ^= $byte;
        $crc = $crc & 1 ? ($crc >> 1) ^ 0xedb88320 : $crc >> 1 for 1 .. 8;
    }

    return $crc ^ 0xffffffff;
}
