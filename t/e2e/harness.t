# The harness itself: whatever way a test ends, nothing of it stays; and what
# went wrong behind the scenes is not overlooked.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $script = spew(tmpdir() . '/child.pl', <<'PERL');
use Canary::Test;
my $backend = backend(name => 'v1');
my $nginx = nginx(groups => [blue => $backend, green => $backend])->start;
my $redis = redis();
$| = 1;
print join(' ', tmpdir(), $backend->pid, $nginx->pid, $nginx->workers,
    $redis->pid), "\n";
eval shift @ARGV;
die $@ if $@;
PERL


# Runs the script with this as its end.

sub run_child {
    my ($end) = @_;

    my ($code, $out, $err) = run($^X, '-I' . root() . '/t/lib', $script,
        $end);
    my ($dir, @pids) = split ' ', $out;

    die "the child said: $out$err\n" unless @pids == 5;

    return ($code, $dir, @pids);
}


for my $case (
    ['the end', '1', 0],
    ['die', 'die "so be it\n"', 255],
    ['exit', 'exit 3', 3],
    ['SIGINT', 'kill INT => $$; sleep 10', 1],
    ['SIGTERM', 'kill TERM => $$; sleep 10', 1],
    ['SIGKILL', 'kill KILL => $$; sleep 10', 137],
) {
    my ($what, $end, $expected) = @$case;
    my ($code, $dir, @pids) = run_child($end);

    is $code, $expected, "$what: exit code";
    ok wait_for(sub { !grep { alive($_) } @pids }, 10),
        "$what: no process is left";
    ok wait_for(sub { !-e $dir }, 10), "$what: nor a file";
}


subtest 'a worker that dies is noticed' => sub {
    my $backend = backend(name => 'v1');
    my $nginx = nginx(groups => [blue => $backend, green => $backend])
        ->start;

    is_deeply [$nginx->complaints], [], 'nothing yet';

    my ($worker) = $nginx->workers;
    kill KILL => $worker;
    wait_for { $nginx->complaints } 10, 'a line in the error log';
    like +($nginx->complaints)[0], qr/signal 9/, 'signal 9';

    $nginx->{allow} = [qr/exited on signal 9/];
    is_deeply [$nginx->complaints], [], 'unless it is allowed';
};


subtest 'the sanitizers are in nginx' => sub {
    plan skip_all => 'a plain build' unless sanitized();

    my $backend = backend(name => 'v1');
    my $nginx = nginx(groups => [blue => $backend, green => $backend])
        ->start;

    like slurp("/proc/$_/maps"), qr/libasan/, "process $_"
        for $nginx->pid, $nginx->workers;
};

done_testing;
