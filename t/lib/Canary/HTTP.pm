package Canary::HTTP;

# A small HTTP/1.1 client: one kept-alive connection, over loopback or a unix
# socket, with pipelining (send twice, then read twice).

use strict;
use warnings;

use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP;
use Time::HiRes qw(time);

our @EXPORT_OK = qw(http http_connect);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;


# target: a port, "127.0.0.1:port", "unix:/path" or "/path".  Nothing if
# there is nobody.

sub new {
    my ($class, $target, %opt) = @_;

    my $socket;

    if ($target =~ m{^(?:unix:)?(/.*)}) {
        $socket = IO::Socket::UNIX->new(Peer => $1);

    } else {
        $target = "127.0.0.1:$target" if $target =~ /^\d+$/;
        $socket = IO::Socket::INET->new(PeerAddr => $target, Timeout => 5);
    }

    return unless $socket;

    $socket->autoflush(1);

    return bless {
        socket => $socket,
        timeout => $opt{timeout} // 20,
        buffer => '',
    }, $class;
}


sub http_connect { return Canary::HTTP->new(@_) }


# send(METHOD, PATH, headers => {..} | [..], body => text | reference, which
# is sent as JSON)

sub send {
    my ($self, $method, $path, %opt) = @_;

    my $body = $opt{body};
    my @headers = ref $opt{headers} eq 'HASH'
        ? map { $_ => $opt{headers}{$_} } sort keys %{ $opt{headers} }
        : @{ $opt{headers} // [] };
    my %given = map { lc } @headers;

    if (ref $body) {
        $body = $json->encode($body);
        push @headers, 'Content-Type' => 'application/json'
            unless exists $given{'content-type'};
    }

    my $text = "$method $path HTTP/1.1\r\n";
    $text .= "Host: localhost\r\n" unless exists $given{host};

    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }

    if (defined $body && !exists $given{'content-length'}
        && !exists $given{'transfer-encoding'})
    {
        $text .= 'Content-Length: ' . length($body) . "\r\n";
    }

    $self->write($text . "\r\n" . ($body // ''));
    push @{ $self->{methods} }, $method;

    return $self;
}


# Bytes as they are.

sub write {
    my ($self, $bytes) = @_;

    local $SIG{PIPE} = 'IGNORE';
    my $socket = $self->{socket};

    while (length $bytes) {
        my $n = syswrite $socket, $bytes;
        last unless defined $n;
        substr $bytes, 0, $n, '';
    }

    return $self;
}


sub fill {
    my ($self, $end) = @_;

    my $left = $end - time;

    return unless $left > 0
        && IO::Select->new($self->{socket})->can_read($left);

    return sysread $self->{socket}, $self->{buffer}, 65536,
        length $self->{buffer};
}


# Reads until the buffer matches, or nothing.

sub until_match {
    my ($self, $re, $end) = @_;

    until ($self->{buffer} =~ $re) {
        return unless $self->fill($end);
    }

    return 1;
}


sub take {
    my ($self, $n, $end) = @_;

    while (length $self->{buffer} < $n) {
        last unless $self->fill($end);
    }

    return substr $self->{buffer}, 0, $n, '';
}


# The next answer: {status, reason, headers, header_list, body, json, error,
# seconds}; status 0 where there was none or it was cut short (error says).

sub read {
    my ($self) = @_;

    my $end = time + $self->{timeout};
    my $method = shift @{ $self->{methods} // [] } // 'GET';
    my %r = (status => 0, headers => {}, header_list => [], body => '');

    unless ($self->until_match(qr/\r\n\r\n/, $end)) {
        $r{error} = length $self->{buffer} ? 'cut short' : 'no answer';
        return \%r;
    }

    $self->{buffer} =~ s/\A(.*?)\r\n\r\n//s;
    my ($line, @lines) = split /\r\n/, $1;
    (my $status, $r{reason}) = $line =~ m{^HTTP/1\.[01] (\d+) ?(.*)}
        or return { %r, error => "not HTTP: $line" };

    for (@lines) {
        my ($name, $value) = /^([^:]+):\s*(.*?)\s*$/ or next;
        push @{ $r{header_list} }, [$name, $value];
        $name = lc $name;
        $r{headers}{$name} = exists $r{headers}{$name}
            ? "$r{headers}{$name}, $value" : $value;
    }

    my $h = $r{headers};

    if ($status < 200) {
        return $self->read;

    } elsif ($method eq 'HEAD' || $status == 204 || $status == 304) {
        # no body

    } elsif (($h->{'transfer-encoding'} // '') =~ /chunked/i) {
        while ($self->until_match(qr/\A[0-9a-f]+[^\r\n]*\r\n/i, $end)) {
            $self->{buffer} =~ s/\A([0-9a-f]+)[^\r\n]*\r\n//i;
            my $size = hex $1;
            my $chunk = $self->take($size + 2, $end);
            $r{error} = 'cut short' if length $chunk != $size + 2;
            $r{body} .= substr $chunk, 0, $size;
            last if $size == 0 || $r{error};
        }

    } elsif (defined $h->{'content-length'}) {
        $r{body} = $self->take($h->{'content-length'}, $end);
        $r{error} = 'cut short'
            if length $r{body} != $h->{'content-length'};

    } else {
        1 while $self->fill($end);
        $r{body} = $self->{buffer};
        $self->{buffer} = '';
    }

    $r{status} = $r{error} ? 0 : 0 + $status;

    if (($h->{'content-type'} // '') =~ m{[/+]json}) {
        $r{json} = eval { $json->decode($r{body}) };
    }

    return \%r;
}


sub request {
    my ($self, @request) = @_;

    my $start = time;
    my $r = $self->send(@request)->read;
    $r->{seconds} = time - $start;

    return $r;
}


sub close {
    my ($self) = @_;

    CORE::close $self->{socket} if $self->{socket};
    delete $self->{socket};
}


# True once the other side has closed.

sub closed {
    my ($self) = @_;

    return !$self->fill(time + 0.001)
        && IO::Select->new($self->{socket})->can_read(0);
}


# One request on a connection of its own.

sub http {
    my ($target, $method, $path, %opt) = @_;

    my $connection = Canary::HTTP->new($target, timeout => $opt{timeout})
        or return { status => 0, headers => {}, header_list => [],
                    body => '', error => "connect: $!" };

    return $connection->request($method, $path, %opt);
}


1;
