#!/usr/bin/perl

# A small server behind nginx for tests:
#
#   gateway.pl fastcgi|scgi|uwsgi NAME    answers "NAME REQUEST_URI X_GROUP"
#   gateway.pl dns ADDRESS                answers each name with the address
#
# It listens on a free port of 127.0.0.1 and prints "ready PORT".  A query
# status=500 is answered by that status.  FastCGI connections are kept if
# nginx wants that; the answer's X-Connection numbers them.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;

my ($kind, $name) = @ARGV;

$| = 1;
$SIG{PIPE} = 'IGNORE';

$kind eq 'dns' ? serve_dns() : serve();


sub serve_dns {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        Proto => 'udp') or die $!;
    print 'ready ', $socket->sockport, "\n";

    while (defined $socket->recv(my $query, 512)) {
        my ($id) = unpack 'n', $query;
        my $question = substr $query, 12;
        my ($qname) = $question =~ /\A((?:[^\0].*?)?\0)/s or next;
        my $type = unpack 'n', substr $question, length $qname;
        $question = substr $question, 0, length($qname) + 4;

        my $answer = $type != 1 ? '' : "\xc0\x0c" . pack('nnNn', 1, 1, 1, 4)
            . pack 'C4', split /\./, $name;
        $socket->send(pack('n6', $id, 0x8180, 1, $answer ne '', 0, 0)
            . $question . $answer);
    }
}


sub serve {
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        Listen => 64, ReuseAddr => 1) or die $!;
    my $select = IO::Select->new($listen);
    my $count = 0;
    my %of;
    my $parse = { fastcgi => \&fastcgi, scgi => \&scgi,
        uwsgi => \&uwsgi }->{$kind} or die "gateway.pl: $kind\n";

    print 'ready ', $listen->sockport, "\n";

    while (1) {
        for my $socket ($select->can_read) {

            if ($socket == $listen) {
                my $new = $listen->accept or next;
                $select->add($new);
                $of{$new} = { number => ++$count, in => '' };
                next;
            }

            my $c = $of{$socket};
            my $n = sysread $socket, $c->{in}, 65536, length $c->{in};
            my $open = $n;

            while ($open) {
                my ($params, $reply, $keep) = $parse->($c) or last;
                syswrite $socket, $reply->(answer($c, $params));
                $open = $keep;
            }

            unless ($open) {
                $select->remove($socket);
                delete $of{$socket};
                close $socket;
            }
        }
    }
}


sub answer {
    my ($c, $params) = @_;

    my ($status) = ($params->{QUERY_STRING} // '') =~ /status=(\d+)/;

    return 'Status: ' . ($status // 200) . " Said\r\nX-Backend: $name\r\n"
        . "X-Connection: $c->{number}\r\nContent-Type: text/plain\r\n\r\n"
        . join(' ', $name, map { $_ // '' } @$params{qw(REQUEST_URI X_GROUP)});
}


# Each takes a whole request from what has come: (its parameters, what wraps
# the answer, whether the connection stays), or nothing yet.

sub scgi {
    my ($c) = @_;

    $c->{in} =~ /\A(\d+):/ or return;
    my $start = length($1) + 1;
    return if length $c->{in} < $start + $1 + 1;

    my $params = { split /\0/, substr($c->{in}, $start, $1), -1 };

    return ($params, sub { $_[0] }, 0);
}


sub uwsgi {
    my ($c) = @_;

    return if length $c->{in} < 4;
    my $size = unpack 'v', substr $c->{in}, 1, 2;
    return if length $c->{in} < 4 + $size;

    my %params = unpack '(v/a)*', substr $c->{in}, 4, $size;

    return (\%params, sub { $_[0] }, 0);
}


sub fastcgi {
    my ($c) = @_;

    while (length $c->{in} >= 8) {
        my ($type, $id, $size, $padding) = unpack 'x C n n C', $c->{in};
        last if length $c->{in} < 8 + $size + $padding;

        my $content = substr $c->{in}, 8, $size;
        substr($c->{in}, 0, 8 + $size + $padding) = '';

        if ($type == 1) {
            $c->{keep} = unpack('x2 C', $content) & 1;
            $c->{params} = '';

        } elsif ($type == 4) {
            $c->{params} .= $content;

        } elsif ($type == 5 && $size == 0) {
            return (pairs($c->{params}), sub { wrap($id, @_) }, $c->{keep});
        }
    }

    return;
}


sub wrap {
    my ($id, $text) = @_;

    return pack('C C n n C C', 1, 6, $id, length $text, 0, 0) . $text
        . pack('C C n n C C', 1, 6, $id, 0, 0, 0)
        . pack('C C n n C C N C x3', 1, 3, $id, 8, 0, 0, 0, 0);
}


sub pairs {
    my ($text) = @_;

    my %pairs;

    while (length $text) {
        my @length;

        for (1, 2) {
            my $n = unpack 'C', $text;
            $n = unpack('N', $text) & 0x7fffffff if $n & 0x80;
            substr($text, 0, $n > 127 ? 4 : 1) = '';
            push @length, $n;
        }

        my $key = substr $text, 0, $length[0], '';
        $pairs{$key} = substr $text, 0, $length[1], '';
    }

    return \%pairs;
}
