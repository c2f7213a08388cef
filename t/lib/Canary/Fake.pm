package Canary::Fake;

# A server of somebody else: answers, fails, hangs, answers garbage, closes
# early, as it is told; and remembers what it was sent.
#
#   my $fake = Canary::Fake->new;
#   $fake->url('/x')
#   $fake->set('/x' => { status => 500, body => '..', mode => 'hang',
#                        times => 2 })
#       mode: answer (default), hang, garbage, early, close
#       times: so often, then 200 {} again
#   $fake->requests('/x')      [{ method, path, query, headers, body, at }]
#   $fake->mail                what came by SMTP, on $fake->smtp
#
# Without being set a path answers 200 with {}.

use strict;
use warnings;

use Canary::HTTP ();
use Canary::Process qw(wait_for spawn stop_process tmpdir alive slurp);
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use Time::HiRes ();

my $count = 0;
my $json = JSON::PP->new->utf8->canonical->allow_nonref;


sub new {
    my ($class) = @_;

    my $out = tmpdir() . '/fake' . $count++;
    my ($lib) = __FILE__ =~ m{^(.*)/Canary/Fake\.pm$};
    my $self = bless { out => $out }, $class;

    $self->{pid} = spawn(
        name => 'fake',
        cmd => [$^X, "-I$lib", '-MCanary::Fake', '-e',
            'Canary::Fake::serve()'],
        out => "$out.out", err => "$out.err",
    );

    wait_for {
        slurp("$out.out") =~ /^(\d+) (\d+)\n/
            and ($self->{port}, $self->{smtp}) = ($1, $2);
    } 10 or die 'fake: ' . slurp("$out.err");

    return $self;
}


sub pid { $_[0]{pid} }
sub smtp { "smtp://127.0.0.1:$_[0]{smtp}" }
sub target { "127.0.0.1:$_[0]{port}" }
sub url { "http://127.0.0.1:$_[0]{port}" . ($_[1] // '/') }


sub set {
    my ($self, %set) = @_;

    Canary::HTTP::http($self->target, 'PUT', '/_set', body => \%set)->{status}
        == 200 or die "fake: not set\n";
}


sub requests {
    my ($self, $path) = @_;

    my $all = $json->decode(Canary::HTTP::http($self->target, 'GET',
        '/_requests')->{body});

    return grep { !defined $path || $_->{path} eq $path } @$all;
}


sub mail {
    my ($self) = @_;

    return @{ $json->decode(Canary::HTTP::http($self->target, 'GET',
        '/_mail')->{body}) };
}


sub stop {
    my ($self) = @_;

    return stop_process(delete $self->{pid}, 'KILL') if $self->{pid};
}


# --- the process ---

my (%set, @requests, @mail);


sub answer {
    my ($status, $body) = @_;

    return "HTTP/1.1 $status X\r\nContent-Type: application/json\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
}


# What is sent, and whether the connection stays: 1, 0, or -1 at once.

sub handle {
    my ($r) = @_;

    if ($r->{path} eq '/_set') {
        my $given = $json->decode($r->{body});
        @set{ keys %$given } = values %$given;
        return (answer(200, '{}'), 1);
    }

    return (answer(200, $json->encode(\@requests)), 1)
        if $r->{path} eq '/_requests';
    return (answer(200, $json->encode(\@mail)), 1) if $r->{path} eq '/_mail';

    push @requests, $r;
    my $how = $set{ $r->{path} } // {};

    if (defined $how->{times} && --$how->{times} < 0) {
        $how = {};
    }

    my $mode = $how->{mode} // 'answer';
    my $text = answer($how->{status} // 200, $how->{body} // '{}');

    return ('', 1) if $mode eq 'hang';
    return ("\001\377 this is not HTTP\r\n\r\n", 0) if $mode eq 'garbage';
    return ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf", 0)
        if $mode eq 'early';
    return ('', 0) if $mode eq 'close';
    return ($text, 1);
}


sub parse {
    my ($buffer) = @_;

    $$buffer =~ /\A(.*?)\r\n\r\n/s or return;
    my ($head, $length) = ($1, length($1) + 4);
    my ($line, @lines) = split /\r\n/, $head;
    my %headers = map { /^([^:]+):\s*(.*)$/ ? (lc $1 => $2) : () } @lines;
    my $body = $headers{'content-length'} // 0;

    return if length $$buffer < $length + $body;

    my ($method, $uri) = split / /, $line;
    my ($path, $query) = split /\?/, $uri // '/', 2;
    my %r = (method => $method, path => $path, query => $query // '',
        headers => \%headers, body => substr($$buffer, $length, $body),
        at => Time::HiRes::time());
    substr $$buffer, 0, $length + $body, '';

    return \%r;
}


sub smtp_line {
    my ($c, $line) = @_;

    if ($c->{data}) {
        if ($line eq '.') {
            push @mail, { from => $c->{from}, to => $c->{to},
                text => delete $c->{data} };
            return "250 taken\r\n";
        }
        $line =~ s/^\.//;
        $c->{data} .= "$line\n";
        return '';
    }

    return "250-fake\r\n250 SIZE 1000000\r\n" if $line =~ /^EHLO/;

    if ($line =~ /^MAIL FROM:<(.*?)>/) {
        @$c{qw(from to)} = ($1, []);
        return "250 ok\r\n";
    }

    if ($line =~ /^RCPT TO:<(.*?)>/) {
        return "550 nobody\r\n" if $1 =~ /^nobody/;
        push @{ $c->{to} }, $1;
        return "250 ok\r\n";
    }

    if ($line eq 'DATA') {
        $c->{data} = "\n";
        return "354 go on\r\n";
    }

    return $line =~ /^QUIT/ ? "221 bye\r\n" : "250 ok\r\n";
}


sub serve {
    my ($http, $smtp) = map {
        IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.1',
            ReuseAddr => 1) or die "listen: $!";
    } 1, 2;
    my $select = IO::Select->new($http, $smtp);
    my %all;

    local $SIG{PIPE} = 'IGNORE';
    $| = 1;
    printf "%d %d\n", $http->sockport, $smtp->sockport;

    while (1) {
        for my $socket ($select->can_read) {
            if ($socket == $http || $socket == $smtp) {
                my $new = $socket->accept or next;
                $select->add($new);
                $all{$new} = { buffer => '', smtp => $socket == $smtp };
                syswrite $new, "220 fake\r\n" if $socket == $smtp;
                next;
            }

            my $c = $all{$socket};
            my $stay = sysread $socket, $c->{buffer}, 65536,
                length $c->{buffer};

            if ($c->{smtp}) {
                while ($stay && $c->{buffer} =~ s/\A(.*?)\r\n//) {
                    my $line = $1;
                    syswrite $socket, smtp_line($c, $line);
                    $stay = 0 if $line =~ /^QUIT/;
                }

            } else {
                while ($stay and my $r = parse(\$c->{buffer})) {
                    (my $text, $stay) = handle($r);
                    while (length $text) {
                        my $n = syswrite $socket, $text;
                        $stay = 0, last unless $n;
                        substr $text, 0, $n, '';
                    }
                }
            }

            if (!$stay) {
                $select->remove($socket);
                delete $all{$socket};
                close $socket;
            }
        }
    }
}


1;
