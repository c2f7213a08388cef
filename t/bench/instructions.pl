#!/usr/bin/perl

# Instructions of nginx for a request, by callgrind, whatever else the machine
# does.  What nginx itself needs still varies by some dozens with the state of
# its timers and of malloc, hence the median of three; what the module's own
# functions need does not.  Pools are large enough for all: where a request
# is about to fill its pool, some hundred bytes more can take another malloc.
# Callgrind sees a clock as the system call that it falls back to: the two
# reads of a request count 10 each.  All requests send the cookie.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Bench;
use Canary::Test;

my $table = 10_000;
my $others = join '', map { "upstream u$_ { canary zone=edge blue green; }\n" }
    1 .. $table - 1;

my @rules = ({ if => { header => { name => 'X-Test', value => 'yes' } },
        group => 'green' },
    { if => { cidr => ['10.0.0.0/8'] }, group => 'green' });

# name, where to, record, nginx() parts

my @cases = (
    ['plain upstream', 'plain', undef],
    ['split_clients', '$group', undef,
        http => 'split_clients $remote_addr $group { 10% green; * blue; }'],
    ['canary upstream', 'app', {}],
    ['  where canary is chosen', 'app',
        { weights => { blue => 0, green => 100 } }],
    ['  with cookie and two rules', 'app', { rules => \@rules }, key => '',
        app => 'canary_cookie canary_id;'],
    ["  one of $table", 'app', {}, upstreams => $others,
        zone => 'edge 256m'],
);

my ($cookie) = nginx(groups => [blue => 1, green => 1])
    ->test(app => 'canary_cookie canary_id;', key => '');

print "Instructions of nginx for a request: all of them, as a ratio, and in "
    . "the module\n";

my $plain;

for my $case (@cases) {
    my ($name, @case) = @$case;

    if ($name =~ /cookie/ && !$cookie) {
        printf "  %-28s not built in\n", $name;
        next;
    }

    my ($pass, $record, %more) = @case;

    $more{http} = 'request_pool_size 16k;' . ($more{http} // '');

    my @runs = map { [instructions_a_request($pass, $record, %more)] }
        1 .. ($name =~ /one of/ ? 1 : 3);
    my ($all, $own) = map { my $i = $_; median(map { $_->[$i] } @runs) } 0, 1;

    $plain //= $all;

    printf "  %-28s %8.0f  %.4f x plain  %8.0f\n", $name, $all,
        $all / $plain, $own;
}
