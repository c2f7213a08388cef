# canaryctl simulate: what is promised of false and of late reverts, with
# fixed seeds.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $ctl = Canary::Test::build() . '/canaryctl';


sub simulate {
    my (@args) = @_;

    open my $pipe, '-|', $ctl, 'simulate', '--json', @args or die $!;
    my $out = do { local $/; <$pipe> };
    close $pipe;
    is $?, 0, "simulate @args";

    return ({ map { $_->{case} => $_ } @{ Canary::Test::decode($out)->{cases} } }, $out);
}


my ($cases, $text) = simulate('--runs', 150, '--seed', 7);

my @kinds = qw(bursts-10 bursts-50 drift incidents independent latency rare);

subtest 'harmless canaries are let through' => sub {
    my @harmless = grep { !$_->{harmful} } values %$cases;

    is_deeply [sort map { $_->{case} } @harmless], \@kinds,
        'the kinds of traffic';

    for my $case (sort { $a->{case} cmp $b->{case} } @harmless) {
        cmp_ok $case->{reverted}, '<=', 0.01,
            "$case->{case}: not more than alpha are reverted";
        cmp_ok $case->{succeeded}, '>=', 0.99, 'the others succeed';
    }

    cmp_ok $cases->{independent}{threshold_reverted}, '>', 0.5,
        'the rule beside it reverts most of them';
};


# All kinds together, each with a seed of its own: 3500 runs.  Of a method that
# reverts alpha = 1 % of them, more than 49 would be seen in 1.0 % of such
# tests (binomial); of one that reverts 2 %, in 99.5 %: that is the power.  Of
# one kind alone, 500 runs, more than 5 would show a rate of 2 % in 93 %.

my $edge = spew(tmpdir() . '/edge.yaml', <<'YAML');
analysis:
  error_tolerance: 0
  latency: [{quantile: 0.99, tolerance: 0}]
steps: [{weight: 1, hold: 60s}, {weight: 10, hold: 5m}, {weight: 50, hold: 20m}]
bake: 0
YAML

for (['as it comes', 100], ['at the edge: nothing is tolerated', 200,
    '-f', $edge])
{
    my ($what, $seed, @args) = @$_;

    subtest "share of harmless canaries reverted, $what" => sub {
        my ($runs, $reverted) = (0, 0);

        for my $kind (@kinds) {
            my ($of) = simulate('--runs', 500, '--seed', $seed++, '--case',
                $kind, @args);
            my $count = sprintf '%.0f', $of->{$kind}{reverted} * 500;

            is $of->{$kind}{runs}, 500, 'all of them';
            cmp_ok $count, '<=', 5, "$kind: $count of 500";
            $runs += 500;
            $reverted += $count;
        }

        is $runs, 3500, 'the bound is for so many';
        cmp_ok $reverted, '<=', 49, "$reverted of $runs: at most alpha";
    };
}


# The table at the end of the analysis, which is of errors alone; p95 there is
# of few runs.

my %table = (
    dead => [4, 4], 20 => [6, 9], 5 => [28, 57], 2 => [432, 986],
    'rare-5' => [11, 20], busy => [13, 22], quiet => [7, 10],
    late => [50, 121],
);

my $alone = spew(tmpdir() . '/alone.yaml', <<'YAML');
steps: [{weight: 1, hold: 60s}, {weight: 50, hold: 1m}]
bake: 0
analysis: {latency: [], max_error_rate: 0}
YAML

subtest 'harmful canaries are found, errors alone' => sub {
    my ($alone) = simulate('--runs', 150, '-f', $alone);

    for my $name (sort keys %table) {
        my ($median, $p95) = @{ $table{$name} };
        my $case = $alone->{$name};

        is $case->{reverted}, 1, "$name: all are reverted";
        cmp_ok $case->{median_s}, '<=', 1.25 * $median + 1,
            "median $case->{median_s} s beside $median s";
        cmp_ok $case->{p95_s}, '<=', 1.3 * $p95 + 2,
            "95 % in $case->{p95_s} s beside $p95 s";
    }
};


subtest 'harmful canaries are found, with all that is judged' => sub {
    for my $name (sort keys %table) {
        my ($median, $p95) = @{ $table{$name} };
        my $case = $cases->{$name};

        is $case->{reverted}, 1, "$name: all are reverted";
        cmp_ok $case->{median_s}, '<=', 1.5 * $median + 2,
            "median $case->{median_s} s beside $median s";
        cmp_ok $case->{p95_s}, '<=', 1.6 * $p95 + 3,
            "95 % in $case->{p95_s} s beside $p95 s";

        next if $name eq '2';
        cmp_ok $case->{median_s}, '<', $case->{threshold_median_s},
            "before the threshold, $case->{threshold_median_s} s";
    }

    is $cases->{slow}{reverted}, 1, 'slow: all are reverted';
    cmp_ok $cases->{slow}{p95_s}, '<=', 60, 'within a minute';
};


subtest 'the seed decides' => sub {
    my (undef, $again) = simulate('--runs', 20, '--case', 5, '--seed', 3);
    my (undef, $same) = simulate('--runs', 20, '--case', 5, '--seed', 3);
    my (undef, $other) = simulate('--runs', 20, '--case', 5, '--seed', 4);

    is $same, $again, 'the same';
    isnt $other, $again, 'or another';
};


subtest 'a spec of one\'s own' => sub {
    my ($strict) = simulate('--runs', 30, '--case', 5, '--alpha', '0.0001');

    cmp_ok $strict->{5}{median_s}, '>', $cases->{5}{median_s},
        'a smaller alpha takes longer';

    open my $pipe, '-|', "$ctl simulate --case nothing 2>&1" or die $!;
    like join('', <$pipe>), qr/--case: there is no "nothing"/, 'no such case';
    close $pipe;
    is $? >> 8, 2, 'is wrong usage';

    open $pipe, '-|', "$ctl simulate --strategy rolling 2>&1" or die $!;
    like join('', <$pipe>), qr/rolling/, 'only what can be simulated';
    close $pipe;
    is $? >> 8, 1, 'is refused';
};


subtest 'a table for people' => sub {
    open my $pipe, '-|', $ctl, 'simulate', '--runs', 5 or die $!;
    my $out = do { local $/; <$pipe> };
    close $pipe;

    like $out, qr/^harmless canary .*reverted by threshold$/m, 'harmless';
    like $out, qr/^harmful canary.*median.*95 %/m, 'harmful';
    like $out, qr/^dead .* 100\.0 % .* s .* s /m, 'a row';
};

done_testing;
