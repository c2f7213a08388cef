#!/usr/bin/perl

# From a PUT to the last worker that follows it, under load, with 4 workers.
# Each answer says which worker gave it and under which revision it was placed.
# Of each worker the first answer under the new revision says that it has
# switched by then at the latest; the last of these is the PUT's time, measured
# from before it is sent.  An answer under the old revision to a request that
# was sent after the PUT was answered would be a bug: there must be none.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Bench;
use Canary::Test;
use IO::Poll qw(POLLIN);
use IO::Socket::INET;
use IO::Socket::UNIX;
use List::Util qw(max min);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my %opt = options();
my $workers = 4;
my $each = 1;                   # connection to a worker

my $backend = backend();
my $nginx = nginx(groups => [blue => $backend, green => $backend],
    workers => $workers, log_level => 'error', keepalive => 64, force => '',
    location => "add_header X-Seen \$pid:\$canary_revision;")->start;

my $request = "GET / HTTP/1.1\r\nHost: x\r\nX-User: u\r\n\r\n";
my $poll = IO::Poll->new;


# One answer, which must be whole; what it says of itself.

sub answer {
    my ($socket) = @_;

    my $text = '';

    until ($text =~ /\r\n\r\n/) {
        sysread($socket, $text, 65536, length $text) or die "closed: $text\n";
    }

    my ($length) = $text =~ /^Content-Length: (\d+)/mi or die $text;
    my $end = index($text, "\r\n\r\n") + 4 + $length;

    while (length $text < $end) {
        sysread($socket, $text, 65536, length $text) or die "closed: $text\n";
    }

    return $text;
}


sub seen {
    return answer($_[0]) =~ /^X-Seen: (\d+):(\d+)/m ? ($1, $2)
        : die "no X-Seen\n";
}


# Connections to every worker: which one accepts is for the kernel to say.

my %on;

for (1 .. 1000) {
    last if keys %on == $workers && !grep { @$_ < $each } values %on;

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $nginx->port) or die "connect: $!";

    syswrite $socket, $request;
    my ($pid) = seen($socket);

    if (@{ $on{$pid} //= [] } < $each) {
        push @{ $on{$pid} }, { socket => $socket };
    }
}

die 'only ' . keys(%on) . " workers accepted\n" if keys %on < $workers;

my %client = map { fileno $_->{socket} => $_ } map { @$_ } values %on;
my $api = IO::Socket::UNIX->new(Peer => $nginx->api_target =~ s/^unix://r)
    or die "api: $!";

$poll->mask($_->{socket} => POLLIN) for values %client;
$poll->mask($api => POLLIN);

sub ask {
    my ($client) = @_;

    $client->{sent} = clock_gettime(CLOCK_MONOTONIC);
    syswrite $client->{socket}, $request;
}

ask($_) for values %client;

my (@switched, @spread, @put, $answers, $late);

for my $revision (1 .. $opt{puts}) {
    my $green = $revision % 2 ? 50 : 0;
    my $body = qq({"revision":$revision,"stable":"blue","canary":"green",)
        . qq("weights":{"blue":@{[100 - $green]},"green":$green}});
    my $put = "PUT /canary/upstreams/app HTTP/1.1\r\nHost: x\r\n"
        . "Content-Type: application/json\r\nContent-Length: "
        . length($body) . "\r\n\r\n$body";
    my ($answered, %first);
    my $start = clock_gettime(CLOCK_MONOTONIC);

    syswrite $api, $put;

    # until all have switched, and once more each, to see who falls back

    my $more = values %client;

    while (!$answered || keys %first < $workers || $more > 0) {
        $poll->poll(5) or die "no answer in 5 s\n";

        for my $socket ($poll->handles(POLLIN)) {

            if ($socket == $api) {
                my $text = answer($api);
                $answered = clock_gettime(CLOCK_MONOTONIC);
                die $text if $text !~ m{^HTTP/1.1 200 };
                next;
            }

            my $client = $client{fileno $socket};
            my ($pid, $now) = seen($socket);
            my $at = clock_gettime(CLOCK_MONOTONIC);

            $answers++;

            if ($now == $revision) {
                $first{$pid} //= $at;
                $more--;
            } elsif ($answered && $client->{sent} > $answered) {
                $late++;
            }

            ask($client);
        }
    }

    push @switched, 1e6 * (max(values %first) - $start);
    push @spread, 1e6 * (max(values %first) - min(values %first));
    push @put, 1e6 * ($answered - $start);
}

printf "%d PUTs, %d workers, %d connections busy, %d answers\n", $opt{puts},
    $workers, scalar(keys %client), $answers;
printf "  %-34s median %5.0f us   99th percentile %5.0f us\n", @$_
    for ['PUT sent to all workers switched', median(@switched),
        percentile(0.99, @switched)],
    ['first worker to last worker', median(@spread),
        percentile(0.99, @spread)],
    ['PUT sent to answered, and on disk', median(@put), percentile(0.99, @put)];
printf "  requests sent after that and placed by the old record: %d\n",
    $late // 0;

$_->stop for $nginx, $backend;

exit 1 if $late;
