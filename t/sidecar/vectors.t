# canaryctl judge gives what the reference gave, on every case.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $cases = Canary::Test::decode(slurp(root() . '/t/data/vectors.json'));

ok @$cases > 10, scalar(@$cases) . ' cases';

for my $case (@$cases) {
    my %input = (config => $case->{config}, ticks => $case->{ticks});
    my ($code, $out, $err) = canaryctl('judge', '-',
        { stdin => Canary::Test::encode(\%input) });
    my $result = eval { Canary::Test::decode($out) };

    is $code, 0, "$case->{name}: exit code" or diag $err;

    my @differences = differences('', $result, $case->{expect});
    ok !@differences, "$case->{name}: the result"
        or diag join "\n", @differences;
}


# Where two values differ by more than 1e-9 of their size.

sub differences {
    my ($path, $got, $expected) = @_;

    if (ref $expected eq 'HASH') {
        return "$path is no object" unless ref $got eq 'HASH';
        my %all = (%$got, %$expected);
        return map { exists $got->{$_} && exists $expected->{$_}
            ? differences("$path.$_", $got->{$_}, $expected->{$_})
            : "$path.$_ is " . (exists $got->{$_} ? 'too much' : 'missing')
        } sort keys %all;
    }

    if (ref $expected eq 'ARRAY') {
        return "$path has another length"
            unless ref $got eq 'ARRAY' && @$got == @$expected;
        return map { differences("$path\[$_]", $got->[$_],
            $expected->[$_]) } 0 .. $#$expected;
    }

    return if !defined $got && !defined $expected;
    return "$path is " . ($got // 'null') . ', not '
        . ($expected // 'null') unless defined $got && defined $expected;

    if ($expected =~ /^-?\d/ && $got =~ /^-?\d/) {
        return if abs($got - $expected) <= 1e-9 * abs $expected;
    }

    return $got eq $expected ? () : "$path is $got, not $expected";
}


subtest 'wrong input' => sub {
    for my $case (
        ['not JSON', '{'],
        ['no ticks', '{"config": {}}'],
        ['an unknown config', '{"config": {"alpa": 1}, "ticks": []}'],
        ['more errors than requests',
            '{"config": {}, "ticks": [[1, 2, 3, 0]]}'],
        ['a negative number', '{"config": {}, "ticks": [[-1, 0, 3, 0]]}'],
    ) {
        my ($what, $text) = @$case;
        my ($code, $out, $err) = canaryctl('judge', '-',
            { stdin => $text });
        is $code, 1, "$what: exit code";
        is $out, '', 'nothing on stdout';
        isnt $err, '', 'the reason on stderr';
    }

    my ($code, undef, $err) = canaryctl('judge', '/nonexistent');
    is $code, 1, 'no such file';
    like $err, qr{/nonexistent}, 'names it';

    ($code) = canaryctl('judge');
    is $code, 2, 'no file is a usage error';
};

done_testing;
