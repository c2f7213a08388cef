#!/usr/bin/perl

# An abort of a rollout at 50 %, from the call to the answer, under traffic.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Bench;
use Canary::Test;
use Time::HiRes ();

my %opt = options();
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

print "Abort of a rollout at 50 %, from the call to the answer, under "
    . "traffic, $opt{aborts} times\n";
printf "  median %.1f ms   95th percentile %.1f ms   "
    . "(by its own clock %.1f ms)\n", median(@call),
    percentile(0.95, @call), median(@own);

$_->stop for $canaryd, $nginx, values %backend;
