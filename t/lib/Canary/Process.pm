package Canary::Process;

# Children that never outlive their test: each is started in a process group
# of its own and ended by its id, at END, on a signal, and by a watchdog if
# the test is killed.  The directory of the test goes with them.

use strict;
use warnings;

use Exporter 'import';
use File::Path qw(remove_tree);
use File::Temp ();
use POSIX qw(:sys_wait_h setpgid dup2 _exit);
use Time::HiRes qw(time);

our @EXPORT_OK = qw(wait_for tmpdir spawn reap alive stop_process
    keep_running slurp spew children);

my $owner = $$;
my ($dir, $watchdog, $watchdog_pid, $keep);
my %running;                           # pid => name


# The only place that sleeps: asks until it is true.

sub wait_for (&@) {
    my ($condition, $timeout, $what) = @_;

    my $end = time + ($timeout // 10);
    my $pause = 0.002;

    while (1) {
        my $value = $condition->();
        return $value if $value;
        last if time > $end;

        select undef, undef, undef, $pause;
        $pause *= 1.5 if $pause < 0.05;
    }

    return unless defined $what;

    require Carp;
    Carp::croak("timed out waiting for $what");
}


sub slurp {
    my ($path) = @_;

    open my $fh, '<:raw', $path or return '';
    local $/;

    return scalar(<$fh>) // '';
}


sub spew {
    my ($path, $text) = @_;

    open my $fh, '>:raw', $path or die "$path: $!";
    print $fh $text;
    close $fh or die "$path: $!";

    return $path;
}


sub tmpdir {
    return $dir if $dir;

    $dir = File::Temp::tempdir('canary-XXXXXX', TMPDIR => 1);
    chmod 0755, $dir or die "chmod $dir: $!";
    start_watchdog();

    return $dir;
}


# Learns of every child through a pipe and ends them when the pipe does.

sub start_watchdog {
    pipe my $reader, $watchdog or die "pipe: $!";

    $watchdog_pid = fork // die "fork: $!";

    if ($watchdog_pid) {
        close $reader;
        $watchdog->autoflush(1);
        return;
    }

    close $watchdog;
    setpgid(0, 0);
    $SIG{$_} = 'IGNORE' for qw(INT TERM HUP PIPE);
    open STDIN, '<', '/dev/null';
    open STDOUT, '>', '/dev/null';
    open STDERR, '>', '/dev/null';

    # Test::More has copies of these: who reads them waits for their end
    for my $fd (3 .. 255) {
        POSIX::close($fd) if $fd != fileno $reader;
    }

    my (%pids, $done, $kept);

    while (my $line = <$reader>) {
        $pids{$1} = 1 if $line =~ /^\+(\d+)/;
        delete $pids{$1} if $line =~ /^-(\d+)/;
        $done = 1 if $line =~ /^done/;
        $kept = 1 if $line =~ /^keep/;
    }

    if ($kept) {
        my $end;
        local @SIG{qw(TERM INT)} = (sub { $end = 1 }) x 2;
        select undef, undef, undef, 1 until $end;
    }

    unless ($done) {
        kill 'KILL', -$_ for keys %pids;
        kill 'KILL', keys %pids;
        select undef, undef, undef, 0.2;
        remove_tree($dir);
    }

    _exit(0);
}


sub tell_watchdog {
    my ($line) = @_;

    local $SIG{PIPE} = 'IGNORE';
    print $watchdog "$line\n" if $watchdog;
}


# spawn(name => .., cmd => [..], out => path, err => path, in => path,
#       env => {..}) returns the pid.

sub spawn {
    my %opt = @_;

    tmpdir();

    my $pid = fork // die "fork: $!";

    if ($pid == 0) {
        setpgid(0, 0);
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE CHLD);

        my %env = %{ $opt{env} // {} };
        @ENV{keys %env} = values %env;

        redirect(0, '<', $opt{in} // '/dev/null');
        redirect(1, '>>', $opt{out} // '/dev/null');
        redirect(2, '>>', $opt{err} // $opt{out} // '/dev/null');

        { no warnings 'exec'; exec { $opt{cmd}[0] } @{ $opt{cmd} } }
        print STDERR "$opt{cmd}[0]: $!\n";
        _exit(127);
    }

    setpgid($pid, $pid);
    $running{$pid} = $opt{name} // $opt{cmd}[0];
    tell_watchdog("+$pid");

    return $pid;
}


sub redirect {
    my ($fd, $mode, $to) = @_;

    if (ref $to) {
        dup2(fileno $to, $fd);
        return;
    }

    open my $fh, $mode, $to or _exit(126);
    dup2(fileno $fh, $fd);
}


# Waits for the end of a child; its status as in $?, or nothing if it lives.

sub reap {
    my ($pid, $timeout) = @_;

    my ($status, $gone);

    wait_for {
        my $rc = waitpid $pid, WNOHANG;
        $status = $? if $rc == $pid;
        $gone = $rc != 0;
    } $timeout // 10;

    return unless $gone;

    delete $running{$pid};
    tell_watchdog("-$pid");

    return $status // -1;
}


sub alive {
    my ($pid) = @_;

    return unless defined $pid && kill 0, $pid;

    return slurp("/proc/$pid/stat") !~ /\) [ZX] /;
}


# Ends a child and its group; its status, as in $?.

sub stop_process {
    my ($pid, $signal, $timeout) = @_;

    kill $signal // 'TERM', $pid;

    my $status = reap($pid, $timeout // 10);

    unless (defined $status) {
        warn "# $running{$pid} ($pid) did not stop, killed\n";
        kill 'KILL', -$pid;
        $status = reap($pid, 5);
    }

    return $status;
}


# Pids of the living children of a process.

sub children {
    my ($parent) = @_;

    my @found;

    opendir my $proc, '/proc' or return;

    for my $pid (grep { /^\d+$/ } readdir $proc) {
        my ($state, $ppid) = slurp("/proc/$pid/stat") =~ /\) (\S) (\d+) /
            or next;
        push @found, $pid if $ppid == $parent && $state !~ /[ZX]/;
    }

    return sort { $a <=> $b } @found;
}


# What was started goes on after this process, until the process whose id is
# returned is told to end.

sub keep_running {
    $keep = 1;

    return $watchdog_pid;
}


sub cleanup {
    return if $$ != $owner;

    if ($keep) {
        tell_watchdog('keep');
        return;
    }

    for my $pid (keys %running) {
        kill 'CONT', -$pid;
        kill 'TERM', $pid;
    }

    for my $pid (keys %running) {
        next if defined reap($pid, 5);
        kill 'KILL', -$pid;
        reap($pid, 5);
    }

    remove_tree($dir) if $dir && !$ENV{T_KEEP};

    if ($watchdog) {
        tell_watchdog('done');
        close $watchdog;
        waitpid $watchdog_pid, 0;
        undef $watchdog;
    }
}


for my $signal (qw(INT TERM HUP)) {
    $SIG{$signal} = sub { exit 1 };
}

$SIG{PIPE} = 'IGNORE';

END {
    my $status = $?;
    cleanup();
    $? = $status;
}


1;
