package Canary::Tools;

# Objects of the helpers that a test needs beside nginx and canaryd.

use strict;
use warnings;

use Canary::HTTP ();
use Canary::Process ();


package Canary::Backend;

use Canary::Process qw(wait_for tmpdir spawn alive stop_process slurp);

my $backends = 0;


sub new {
    my ($class, %opt) = @_;

    my $out = tmpdir() . '/backend' . $backends++;
    my $listen = delete $opt{listen} // '127.0.0.1:0';

    $opt{name} //= "backend$backends";

    my $self = bless { name => $opt{name}, out => $out }, $class;

    $self->{pid} = spawn(
        name => "backend $opt{name}",
        cmd => [Canary::Test::build() . '/tools/backend', '--listen',
            $listen, map { "$_=$opt{$_}" } sort keys %opt],
        out => "$out.out", err => "$out.err",
        env => Canary::Test::sanitizer_env('tools'),
    );

    wait_for { slurp("$out.out") =~ /^ready (\S+)\n/ || !alive($self->{pid}) }
        10, 'a backend';
    slurp("$out.out") =~ /^ready (\S+)\n/
        or die 'backend: ' . slurp("$out.err");

    my $where = $1;
    $self->{target} = $where =~ /^unix/ ? $where : "127.0.0.1:$where";

    return $self;
}


sub target { $_[0]{target} }
sub pid { $_[0]{pid} }
sub port { ($_[0]{target} =~ /:(\d+)$/)[0] }


sub set {
    my ($self, %settings) = @_;

    my $query = join '&', map { "$_=$settings{$_}" } sort keys %settings;
    my $r = Canary::HTTP::http($self->{target}, 'POST',
        "/_backend?$query");
    die "backend: $r->{status} $query\n" if $r->{status} != 200;

    return $r->{json};
}


sub counts {
    my ($self) = @_;

    my $counts = Canary::HTTP::http($self->{target}, 'GET',
        '/_backend')->{json};
    $counts->{status}{$_} //= 0 for 200, 500;

    return $counts;
}


sub stop {
    my ($self, $signal) = @_;

    return stop_process(delete $self->{pid}, $signal) if $self->{pid};
}


package Canary::Load;

use Canary::Process qw(wait_for tmpdir spawn reap alive stop_process slurp);
use JSON::PP ();
use POSIX qw(SIGTERM);

my $loads = 0;


# (target or object, options of t/tools/load.c with _ for -, header => text
# or [..])

sub new {
    my ($class, $target, %opt) = @_;

    my $out = tmpdir() . '/load' . $loads++;
    my @args = ('--target', ref $target ? $target->target
        : $target =~ /^\d+$/ ? "127.0.0.1:$target" : $target);

    for my $name (sort keys %opt) {
        (my $flag = "--$name") =~ tr/_/-/;
        push @args, map { $flag => $_ }
            ref $opt{$name} ? @{ $opt{$name} } : $opt{$name};
    }

    my $self = bless { out => $out, at => 0 }, $class;

    $self->{pid} = spawn(
        name => 'load',
        cmd => [Canary::Test::build() . '/tools/load', @args],
        out => "$out.out", err => "$out.err",
        env => Canary::Test::sanitizer_env('tools'),
    );

    return $self;
}


# The lines since the last call.

sub lines {
    my ($self) = @_;

    my $text = substr slurp("$self->{out}.out"), $self->{at};
    $text =~ s/[^\n]*\z//;
    $self->{at} += length $text;

    return map { JSON::PP::decode_json($_) } split /\n/, $text;
}


sub wait {
    my ($self, $timeout) = @_;

    my $status = reap($self->{pid}, $timeout // 120);

    if (!defined $status || $status) {
        stop_process($self->{pid}, 'KILL') unless defined $status;
        die 'load: ' . ($status // 'took too long') . ' '
            . slurp("$self->{out}.err");
    }

    my ($last) = slurp("$self->{out}.out") =~ /([^\n]+)\n\z/;

    my $result = JSON::PP::decode_json($last);
    $_->{status}{200} //= 0, $_->{status}{500} //= 0
        for $result->{total}, values %{ $result->{backends} };

    return $result;
}


# Not before it takes the signal as its order to end.

sub stop {
    my ($self) = @_;

    my $pid = $self->{pid};

    wait_for {
        my ($caught) = slurp("/proc/$pid/status") =~ /^SigCgt:\s*(\S+)/m;
        !alive($pid) || readlink("/proc/$pid/exe") =~ m{/load$}
            && hex(substr $caught // 0, -8) & 1 << SIGTERM - 1;
    } 10;
    kill 'TERM', $pid;

    return $self->wait(20);
}


package Canary::Redis;

use Canary::Process qw(wait_for tmpdir spawn reap alive stop_process slurp);
use IO::Socket::INET;
use IO::Socket::UNIX;

my $redises = 0;


sub new {
    my ($class, %opt) = @_;

    my $dir = tmpdir() . '/redis' . $redises++;
    mkdir $dir or die "$dir: $!";

    return bless { dir => $dir, socket => "$dir/redis.sock", %opt }, $class;
}


sub start {
    my ($self) = @_;

    $self->{pid} = spawn(
        name => 'redis-server',
        cmd => [$self->{binary} // 'redis-server', '--port', $self->{port} // 0,
            '--bind', '127.0.0.1', '--unixsocket', $self->{socket},
            '--dir', $self->{dir}, '--save', '', '--appendonly', 'no',
            '--daemonize', 'no', @{ $self->{args} // [] }],
        out => "$self->{dir}/log",
    );

    wait_for { !alive($self->{pid}) or eval { $self->cmd('PING') } } 10,
        'redis';
    alive($self->{pid}) or die 'redis: ' . slurp("$self->{dir}/log");

    return $self;
}


sub target { 'unix:' . $_[0]{socket} }
sub pid { $_[0]{pid} }


sub stop {
    my ($self, $signal) = @_;

    return stop_process(delete $self->{pid}, $signal) if $self->{pid};
}


sub kill { return $_[0]->stop('KILL') }


# One command; strings, numbers, undef and lists come back, errors die.

sub cmd {
    my ($self, @words) = @_;

    my $socket = IO::Socket::UNIX->new(Peer => $self->{socket})
        or die "redis: $!\n";

    print $socket '*' . @words . "\r\n",
        map { '$' . length($_) . "\r\n$_\r\n" } @words;
    $socket->flush;

    return answer($socket);
}


sub answer {
    my ($socket) = @_;

    my $line = <$socket> // die "redis: no answer\n";
    $line =~ s/\r\n\z//;
    my ($type, $rest) = $line =~ /^(.)(.*)/;

    die "redis: $rest\n" if $type eq '-';
    return $rest if $type eq '+' || $type eq ':';
    return undef if $rest == -1;

    if ($type eq '$') {
        read $socket, my $text, $rest + 2;
        return substr $text, 0, $rest;
    }

    return [map { answer($socket) } 1 .. $rest];
}


1;
