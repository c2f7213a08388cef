# Each target of t/fuzz for a bounded number of inputs, on its corpus.  `make
# fuzz` goes on for longer.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

plan skip_all => 'the targets have sanitizers of their own' if sanitized();

my $root = Canary::Test::root();
my %runs = (api => 3000, auth => 3000, judge => 15_000, record => 50_000,
    spec => 15_000, state => 3000, tally => 200_000, yaml => 15_000);

my %there = map { m{([^/]+)\.c$}; $1 => 1 } glob "$root/t/fuzz/*.c";
delete $there{nginx};
is_deeply [sort keys %there, qw(record state)], [sort keys %runs],
    'all targets are run';

for my $name (sort keys %runs) {
    my ($code, $out, $err) = run("$root/scripts/fuzz", $name, 0,
        "-runs=$runs{$name}", '-seed=1', { timeout => 300 });
    my ($inputs) = "$out$err" =~ /Done (\d+) runs/;
    my ($coverage) = "$out$err" =~ /.* cov: (\d+)/s;

    is $code, 0, "$name: nothing found" or diag $out, $err;
    cmp_ok $inputs // 0, '>=', $runs{$name} - 1, "$name: all runs";
    cmp_ok $coverage // 0, '>', 40, "$name: it sees where it goes";
}

done_testing;
