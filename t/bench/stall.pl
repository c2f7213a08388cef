#!/usr/bin/perl

# How long others wait while one worker answers about a thousand upstreams.
# The time is the worker's own, of /proc/PID/schedstat: on a busy machine a
# clock says more of the neighbours than of nginx.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Bench;
use Canary::Test;
use IO::Select;

my $upstreams = 1000;
my $rounds = 20;


sub small {
    my ($connection, $pid) = @_;

    my $start = spent($pid);
    $connection->request('GET', '/');

    return spent($pid) - $start;
}


sub spent {
    my ($pid) = @_;

    return (split ' ', slurp("/proc/$pid/schedstat"))[0] / 1e6;
}


print "Stall of the only worker while it answers about $upstreams "
    . "upstreams of two groups, $rounds times each: milliseconds of the "
    . "worker's time until a small request is answered\n";

my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $nginx = nginx(groups => [blue => $blue, green => $green],
    workers => 1, zone => 'edge 64m', canary => '',
    proxy_pass => 'http://u1', log_level => 'error',
    upstreams => join '', map {
        "upstream u$_ { canary zone=edge blue green; }\n"
    } 1 .. $upstreams)->start;

# counters that are not zero make answers longer

load($nginx, requests => 5000);
$nginx->api('PUT', 'upstreams/u1', { revision => 1, stable => 'blue',
    weights => { blue => 50, green => 50 } });

my $small = http_connect($nginx->target);
my ($pid) = $nginx->workers;
my %time = (nothing => []);

for (1 .. 2000) {
    push @{ $time{nothing} }, small($small, $pid);
}

my %size;

for my $path ('/canary/upstreams', '/metrics') {
    my $large = http_connect($nginx->api_target);

    for (1 .. $rounds) {
        $large->send('GET', $path);

        # what is there is read meanwhile, in small pieces

        until (IO::Select->new($large->{socket})->can_read(0)) {
            push @{ $time{$path} }, small($small, $pid);
        }

        $size{$path} = length $large->read->{body};
    }
}

for my $name ('nothing', '/canary/upstreams', '/metrics') {
    my @ms = @{ $time{$name} };

    printf "  while %-18s median %6.2f   99th percentile %6.2f   "
        . "longest %6.2f%s\n", $name, percentile(0.5, @ms),
        percentile(0.99, @ms), percentile(1, @ms),
        $size{$name} ? sprintf '   (%.1f MB)', $size{$name} / 1e6 : '';
}

$_->stop for $nginx, $blue, $green;
