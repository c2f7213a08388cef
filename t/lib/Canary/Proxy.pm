package Canary::Proxy;

# Between a client and a server of TCP or unix sockets: passes bytes on, late,
# or not at all.  Canary::Proxy->new($target)->start; then
#
#   mode('pass')          at once
#   mode('delay', 0.5)    half a second later, each way
#   mode('drop')          nothing goes through, connections stay
#   mode('mute', 'text')  once a client has sent this, none hears an answer
#                         any more
#
# The address is ->target.

use strict;
use warnings;

use Canary::Process qw(wait_for tmpdir spawn stop_process spew slurp);
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Time::HiRes qw(time);

my $count = 0;


sub new {
    my ($class, $target) = @_;

    my $path = tmpdir() . '/proxy' . $count++;

    return bless { path => $path, to => $target }, $class;
}


sub start {
    my ($self) = @_;

    $self->mode('pass');
    $self->{pid} = spawn(name => 'proxy', cmd => [$^X,
        (map { "-I$_" } @INC), '-MCanary::Proxy', '-e',
        'Canary::Proxy::run(@ARGV)', $self->{path}, $self->{to}],
        out => "$self->{path}.log");
    wait_for { -S "$self->{path}.sock" } 10, 'the proxy';

    return $self;
}


sub target { "unix:$_[0]{path}.sock" }


sub mode {
    my ($self, @mode) = @_;

    spew("$self->{path}.new", "@mode");
    rename "$self->{path}.new", "$self->{path}.mode" or die "rename: $!";
}


sub stop {
    my ($self) = @_;

    return stop_process(delete $self->{pid}) if $self->{pid};
}


# The process itself.

sub dial {
    my ($to) = @_;

    return $to =~ m{^unix:(.*)} ? IO::Socket::UNIX->new(Peer => $1)
        : IO::Socket::INET->new(PeerAddr => $to);
}


sub run {
    my ($path, $to) = @_;

    $SIG{PIPE} = 'IGNORE';
    my $listen = IO::Socket::UNIX->new(Local => "$path.sock", Listen => 64)
        or die "listen: $!";
    my $select = IO::Select->new($listen);
    my (%peer, %client, %tail, @late);
    my $muted = 0;

    while (1) {
        my ($mode, $what) = split ' ', slurp("$path.mode");
        $muted &&= $mode eq 'mute';

        for my $socket ($select->can_read($mode eq 'pass' && !@late ? 0.05
            : 0.005))
        {
            if ($socket == $listen) {
                my $client = $listen->accept or next;
                my $server = dial($to);
                unless ($server) { close $client; next }
                @peer{$client, $server} = ($server, $client);
                $client{$client} = 1;
                $select->add($client, $server);
                next;
            }

            my $other = $peer{$socket};
            my $n = sysread $socket, my $data, 65536;

            unless ($n) {
                $select->remove($socket, $other);
                delete @$_{$socket, $other} for \%peer, \%client, \%tail;
                close $_ for $socket, $other;
                next;
            }

            if ($mode eq 'mute' && $client{$socket}) {
                # it may come in two parts
                my $text = ($tail{$socket} // '') . $data;
                $muted ||= index($text, $what) >= 0;
                $tail{$socket} = substr $text, -length $what;
            }

            next if $mode eq 'drop' || $muted && !$client{$socket};
            push @late, [time + ($mode eq 'delay' ? $what : 0), $other, $data];
        }

        while (@late && $late[0][0] <= time) {
            my (undef, $socket, $data) = @{ shift @late };
            next unless defined fileno $socket;

            while (length $data) {
                my $n = syswrite $socket, $data;
                last unless defined $n;
                substr $data, 0, $n, '';
            }
        }
    }
}


1;
