package Canary::Bench;

# What the parts of scripts/bench, t/bench/*.pl, share.

use strict;
use warnings;

use Canary::Process ();
use Canary::Test;
use Exporter ();
use POSIX ();

our @EXPORT = qw(options median percentile proxies put_record
    instructions_a_request);

# 127.0.0.1 is of stable; a lease that holds, and a guard that watches

my %record = (
    weights => { blue => 90, green => 10 }, stable => 'blue',
    canary => 'green', lease_ms => 3_600_000,
    guard => { group => 'green', failures => 20, ratio => 0.5,
        window_ms => 10_000 },
);

my %opt = (rounds => 9, seconds => 2, connections => 16, puts => 300,
    aborts => 30);


sub import {
    $| = 1;

    goto &Exporter::import;
}


sub options {
    my %given = @ARGV;

    s/^--// for my @names = keys %given;
    @opt{@names} = values %given;

    return %opt;
}


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


# One nginx with a server for each of these, alike but for where they pass to:
# proxies($backend, { name => 'where' }, nginx() parts); (nginx, { name => port
# }).  There are upstreams plain, blue, green and the canary upstream app.

sub proxies {
    my ($backend, $pass, %more) = @_;

    my %port = map { $_ => free_port() } sort keys %$pass;
    my $servers = join '', map { <<"SERVER" } sort keys %$pass;
server {
    listen 127.0.0.1:$port{$_};
    @{[ref $pass->{$_} ? $pass->{$_}[1] : '']}
    location / {
        proxy_pass http://@{[ref $pass->{$_} ? $pass->{$_}[0] : $pass->{$_}]};
        proxy_http_version 1.1;
        proxy_set_header Connection "";
    }
}
SERVER

    my $nginx = nginx(
        groups => [map { $_ => $backend } qw(plain blue green)],
        keepalive => 64, workers => 1, log_level => 'error',
        key => '$remote_addr', force => '', servers => $servers, %more,
    )->start;

    return ($nginx, \%port);
}


sub put_record {
    my ($nginx, %more) = @_;

    my $r = $nginx->put(%record, %more);
    die "PUT: $r->{status} $r->{body}\n" if $r->{status} != 200;
}


# Instructions of a whole run of nginx under callgrind with n requests: all,
# and those in the module's own functions.

my $runs = 0;

sub instructions_of_run {
    my ($requests, $pass, $record, %more) = @_;

    my $backend = backend();
    my $out = tmpdir() . '/callgrind.' . $runs++;
    my ($nginx, $port) = proxies($backend, { it => $pass },
        single => 1, start_timeout => 600,
        wrapper => ['valgrind', '--tool=callgrind', '--quiet',
            '--compress-strings=no', "--callgrind-out-file=$out"], %more);

    put_record($nginx, %$record) if $record;

    my $load = load($port->{it}, connections => 1, requests => $requests,
        header => 'Cookie: canary_id=89c71b0e5502f8a0d5cafe2ee7b87943');
    die "only $load->{total}{status}{200} of $requests answered\n"
        if $load->{total}{status}{200} != $requests;

    $_->stop for $nginx, $backend;

    my ($total, $own) = (0, 0);
    my ($ours, $called);

    open my $lines, '<', $out or die "$out: $!";

    while (<$lines>) {
        if (/^ob=(.*)/) {
            $ours = index($1, 'ngx_http_canary_module.so') >= 0;
        } elsif (/^calls=/) {
            $called = 1;    # what comes next is the callee's
        } elsif (/^(?:summary|totals): (\d+)/) {
            $total = $1;
        } elsif (/^[-+*\d]\S* (\d+)$/) {
            $own += $1 if $ours && !$called;
            $called = 0;
        }
    }

    close $lines;
    unlink $out;

    return ($total, $own);
}


# Of one more request: what start and end take is in both runs.  (all, own)

sub instructions_a_request {
    my @case = @_;
    my ($short, $long) = (1000, 3000);

    my @few = instructions_of_run($short, @case);
    my @many = instructions_of_run($long, @case);

    return map { ($many[$_] - $few[$_]) / ($long - $short) } 0, 1;
}


1;
