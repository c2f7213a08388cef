#!/usr/bin/perl

# Two to eight groups, weights of 0.01 %: shares, and who moves when weights
# change.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my @names = map { "g$_" } 0 .. 7;
my ($upstreams, $server) = ('', '');

for my $n (2 .. 8) {
    $upstreams .= "upstream u$n { canary zone=edge @names[0 .. $n - 1];"
        . " canary_key \$arg_k; }\n";
    $server .= "location /u$n { return 200 "
        . "\"\$canary_group_u$n\"; }\n";
}

$server .= 'location /passed { proxy_pass http://u2; proxy_http_version 1.1;'
    . ' proxy_set_header Connection ""; add_header X-Is'
    . ' "$canary_group $canary_bucket"; }';

my $backend = backend(name => 'any');
my $nginx = nginx(
    groups => [map { $_ => $backend } @names],
    canary => '',
    no_location => 1,
    upstreams => $upstreams,
    server => $server,
)->start;

my @keys = map { "key-$_" } 1 .. 2000;
my %revision;


sub put {
    my ($n, %weights) = @_;

    my $rest = 0;
    $rest += $_ for values %weights;
    my $r = $nginx->api('PUT', "upstreams/u$n", {
        revision => ++$revision{$n}, stable => 'g0',
        weights => { %weights, g0 => sprintf('%.2f', 100 - $rest) + 0 },
    });
    is $r->{status}, 200, "u$n: " . encode(\%weights) or diag $r->{body};
}


sub groups_of {
    my ($n, @of) = @_;

    my $c = http_connect($nginx->target);

    return map {
        $c->request('GET', "/u$n?k=$_")->{body};
    } @of;
}


sub moved {
    my ($before, $after) = @_;

    return scalar grep {
        $before->[$_] ne 'g0' && $before->[$_] ne $after->[$_];
    } 0 .. $#$before;
}


for my $n (2 .. 8) {
    my $k = $n - 1;

    # uneven shares of half the keys

    my %weight = map { ("g$_" => sprintf '%.2f', 50 * $_ / ($k * $n / 2)) }
        1 .. $k;
    $_ += 0 for values %weight;
    put($n, %weight);

    my @now = groups_of($n, @keys);
    my %seen;
    $seen{$_}++ for @now;
    my $rest = 100;
    $rest -= $_ for values %weight;
    my @want = map { @keys * $_ / 100 } $rest, map { $weight{"g$_"} } 1 .. $k;

    cmp_ok chi_square([map { $seen{$_} // 0 } @names[0 .. $k]], \@want), '<',
        chi_square_limit($k), "u$n: shares";

    # growing weights, all at once or one by one, take from stable alone

    put($n, map { ("g$_" => 0.01) } 1 .. $k);
    my @some = @keys[0 .. 599];
    my @before = groups_of($n, @some);
    my %at = map { ("g$_" => 0.01) } 1 .. $k;
    my $moved = 0;

    for my $share (0.1, 0.5, 1) {
        for my $i (1 .. $k) {
            $at{"g$i"} = int($share * 10000 / $n) / 100;
            put($n, %at);
            my @after = groups_of($n, @some);
            $moved += moved(\@before, \@after);
            @before = @after;
        }
    }

    is $moved, 0, "u$n: up to equal shares nobody but stable gives keys away";
}

# two canaries, however uneven

put(3, g1 => 0.01, g2 => 0.01);
my @before = groups_of(3, @keys);
my $moved = 0;

for ([5, 0.5], [70, 1], [70, 29.99], [70.01, 29.99]) {
    put(3, g1 => $_->[0], g2 => $_->[1]);
    my @after = groups_of(3, @keys);
    $moved += moved(\@before, \@after);
    @before = @after;
}

is $moved, 0, 'two canaries share all without moving a key of theirs';
is scalar(grep { $_ eq 'g0' } @before), 0, 'nothing is left for stable';

# what does not fit its range: the shares are still right

for my $weights ({ g1 => 90, g2 => 5, g3 => 5 }, { g3 => 100 },
    { g1 => 30.01, g2 => 30.03, g4 => 39.96 }, { g6 => 60, g7 => 30.5 })
{
    my $n = exists $weights->{g7} ? 8 : 5;
    put($n, %$weights);

    my %seen;
    $seen{$_}++ for groups_of($n, @keys);
    my $rest = 100;
    $rest -= $_ for values %$weights;
    my @of = grep { $_ eq 'g0' ? $rest > 0.001 : 1 } 'g0', sort keys %$weights;

    is join(' ', sort keys %seen), join(' ', @of), 'the groups with weight';
    cmp_ok chi_square([map { $seen{$_} // 0 } @of],
        [map { @keys * ($_ eq 'g0' ? $rest : $weights->{$_}) / 100 } @of]),
        '<', chi_square_limit($#of || 1), 'have their shares';
}

# 0.01 %: exactly one bucket of 10 000

put(2, g1 => 0.01);
my (%bucket, $wrong);
my $c = http_connect($nginx->target);

for my $i (1 .. 20000) {
    my ($group, $bucket) = split / /,
        $c->request('GET', "/passed?k=$i")->{headers}{'x-is'};

    $bucket{int $bucket / 100}++;
    $wrong++ if ($bucket == 0) != ($group eq 'g1');
}

is $wrong, undef, '0.01 % is bucket 0 and no other';
cmp_ok chi_square([map { $bucket{$_} // 0 } 0 .. 99], [(200) x 100]), '<',
    chi_square_limit(99), 'buckets are even';

done_testing;
