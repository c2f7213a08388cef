package Canary::Bench;

# scripts/bench: the price of a canary upstream, as ratios to a plain one.

use strict;
use warnings;

use Canary::BenchStall ();
use Canary::Process ();
use Canary::Test;
use POSIX ();
use Time::HiRes ();

my @variants = qw(plain canary split);
my %names = (
    plain => 'plain upstream',
    canary => 'canary upstream',
    split => 'split_clients',
);

my %opt = (rounds => 9, seconds => 2, connections => 16, aborts => 30);


sub median {
    my @sorted = sort { $a <=> $b } @_;
    my $n = @sorted;

    return ($sorted[int(($n - 1) / 2)] + $sorted[int($n / 2)]) / 2;
}


sub percentile {
    my ($q, @values) = @_;

    my @sorted = sort { $a <=> $b } @values;

    return $sorted[POSIX::ceil($q * @sorted) - 1];
}


# One nginx with three servers, alike but for the upstream.

sub bench_nginx {
    my ($backend, %more) = @_;

    my %port = map { $_ => free_port() } @variants;
    my %pass = (plain => 'plain', canary => 'app', split => '$group');
    my $servers = join '', map { <<"SERVER" } @variants;
server {
    listen 127.0.0.1:$port{$_};
    location / {
        proxy_pass http://$pass{$_};
        proxy_http_version 1.1;
        proxy_set_header Connection "";
    }
}
SERVER

    my $nginx = nginx(
        groups => [map { $_ => $backend } qw(plain blue green)],
        keepalive => 64, workers => 1, log_level => 'error',
        key => '$remote_addr', force => '',
        http => 'split_clients $remote_addr $group { 10% green; * blue; }',
        servers => $servers, %more,
    )->start;

    return ($nginx, \%port);
}


sub set_weights {
    my ($nginx) = @_;

    my $r = $nginx->put(weights => { blue => 90, green => 10 },
        stable => 'blue', canary => 'green');
    die "PUT: $r->{status} $r->{body}\n" if $r->{status} != 200;
}


sub wrk {
    my ($port) = @_;

    my ($code, $out, $err) = run('wrk', '-t1', "-c$opt{connections}",
        "-d$opt{seconds}s", "http://127.0.0.1:$port/");
    my ($rps) = $out =~ m{Requests/sec:\s+([\d.]+)};

    die "wrk: $code $out$err\n" if $code || !$rps || $out =~ /Non-2xx/;

    return $rps;
}


sub throughput {
    print "Throughput, wrk with $opt{connections} connections, one worker, "
        . "$opt{rounds} rounds of $opt{seconds} s each in turn\n";

    my $backend = backend();
    my ($nginx, $port) = bench_nginx($backend);
    my (%rps, %cost);

    set_weights($nginx);
    wrk($port->{$_}) for @variants;    # warm

    for my $round (1 .. $opt{rounds}) {
        my %now;

        # the order turns, so that no one always follows the same one
        my @order = @variants[map { ($_ + $round) % 3 } 0 .. 2];
        $now{$_} = wrk($port->{$_}) for @order;

        for my $variant (@variants) {
            push @{ $rps{$variant} }, $now{$variant};
            push @{ $cost{$variant} }, $now{plain} / $now{$variant};
        }
    }

    for my $variant (@variants) {
        printf "  %-18s %8.0f requests/s    %.3f x plain, a request\n",
            $names{$variant}, median(@{ $rps{$variant} }),
            median(@{ $cost{$variant} });
    }

    $_->stop for $nginx, $backend;
}


# Instructions of a whole run of nginx under callgrind with n requests.

sub instructions_of_run {
    my ($variant, $requests) = @_;

    my $backend = backend();
    my $out = tmpdir() . "/callgrind.$variant.$requests";
    my ($nginx, $port) = bench_nginx($backend,
        single => 1, start_timeout => 120,
        wrapper => ['valgrind', '--tool=callgrind', '--quiet',
            "--callgrind-out-file=$out"]);

    set_weights($nginx);

    my $load = load($port->{$variant}, connections => 1,
        requests => $requests);
    die "only $load->{total}{status}{200} of $requests answered\n"
        if $load->{total}{status}{200} != $requests;

    $_->stop for $nginx, $backend;

    my ($total) = slurp($out) =~ /^(?:summary|totals): (\d+)/m
        or die "callgrind wrote no totals\n";

    return $total;
}


sub instructions {
    my ($short, $long) = (1000, 3000);

    print "Instructions of nginx for a request, callgrind, "
        . "($long - $short requests) / " . ($long - $short) . "\n";

    my %count;

    for my $variant (@variants) {
        my ($few, $many) = map { instructions_of_run($variant, $_) }
            $short, $long;
        $count{$variant} = ($many - $few) / ($long - $short);

        printf "  %-18s %8.0f instructions  %.3f x plain\n",
            $names{$variant}, $count{$variant},
            $count{$variant} / $count{plain};
    }
}


sub aborts {
    print "Abort of a rollout at 50 %, from the call to the answer, "
        . "under traffic, $opt{aborts} times\n";

    my %backend = map { $_ => backend(name => $_) } qw(blue green);
    my $nginx = nginx(groups => [%backend], workers => 2)->start;
    my $canaryd = canaryd(nginx => $nginx, tick => '250ms');
    my $load = load_start($nginx, rate => 500, connections => 16,
        seconds => 300, header => 'X-User: %d');
    my (@call, @own);

    for (1 .. $opt{aborts}) {
        my $id = $canaryd->start_rollout(
            steps => [{ weight => 50, hold => '1h' }])->{id};

        wait_for {
            ($nginx->upstream->{effective}{weights}{green} // 0) == 50
        } 20, 'a rollout at 50 %';

        my $start = Time::HiRes::time();
        my $r = $canaryd->command_rollout($id, 'abort');
        push @call, 1000 * (Time::HiRes::time() - $start);

        die "abort: $r->{status} $r->{body}\n" if $r->{status} != 200;
        push @own, $r->{json}{abort}{milliseconds};

        my $green = $nginx->upstream->{effective}{weights}{green} // 0;
        die "green still has $green % after the answer\n" if $green;

        $canaryd->wait_state($id, 'aborted');
    }

    $load->stop;

    printf "  %-18s %8.1f ms   95th percentile %.1f ms   "
        . "(by its own clock %.1f ms)\n", 'median', median(@call),
        percentile(0.95, @call), median(@own);

    $_->stop for $canaryd, $nginx, values %backend;
}


sub main {
    my @args = @_;

    my %parts = (throughput => \&throughput, instructions => \&instructions,
        abort => \&aborts,
        stall => sub { Canary::BenchStall::stall(\&percentile) });
    my @parts;

    $| = 1;

    while (@args) {
        my $arg = shift @args;

        (my $name = $arg) =~ s/^--//;

        if ($name ne $arg && exists $opt{$name}
            && ($args[0] // '') =~ /^[1-9]\d{0,5}$/)
        {
            $opt{$name} = shift @args;

        } elsif ($parts{$arg}) {
            push @parts, $arg;

        } else {
            print STDERR "usage: scripts/bench [throughput] [instructions] "
                . "[abort] [stall] [--rounds N] [--seconds S] [--connections N] "
                . "[--aborts N]\n";
            return 2;
        }
    }

    @parts = qw(throughput instructions abort stall) unless @parts;

    for my $i (0 .. $#parts) {
        print "\n" if $i;
        $parts{$parts[$i]}->();
    }

    return 0;
}


1;
