#!/usr/bin/perl

# What canary upstreams and groups take of a canary_zone, by the zone's own
# account of its pages: between a configuration of few and one of many, with
# one worker, that is one shard of counters.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Bench;
use Canary::Test;


# Bytes of the zone that so many upstreams of so many groups take, before a
# request was placed by anything but weight.

sub used {
    my ($upstreams, $groups, $shards) = @_;

    my @names = map { "g$_" } 1 .. $groups;
    my $nginx = nginx(
        groups => [map { $_ => '127.0.0.1:1' } @names],
        canary => "zone=edge @names", key => '', force => '',
        workers => $shards, zone => 'edge 256m', keepalive => 0,
        upstreams => join('', map {
            "upstream u$_ { canary zone=edge @names; }\n"
        } 2 .. $upstreams),
    )->start;

    my ($bytes) = $nginx->metrics =~ /^nginx_canary_zone_used_bytes\S* (\S+)/m
        or die "no nginx_canary_zone_used_bytes\n";

    $nginx->stop;

    return $bytes;
}

my ($few, $many) = (10, 1010);

print "Shared memory\n";

for my $shards (1, 4) {
    my ($two, $four) = map {
        (used($many, $_, $shards) - used($few, $_, $shards)) / ($many - $few)
    } 2, 4;
    my $group = ($four - $two) / 2;

    # what a rule or force places is counted apart, in as much again

    printf "  %d worker%s  %6.0f bytes an upstream and %6.0f a group; "
        . "1000 upstreams of 2 groups %.1f MB, at most %.1f MB\n",
        $shards, $shards == 1 ? ' ' : 's', $two - 2 * $group, $group,
        1000 * $two / 1048576, 1000 * ($two + 2 * $group) / 1048576;
}
