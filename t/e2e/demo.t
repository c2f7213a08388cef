# scripts/demo is what people see first: the three releases end as they must
# and nothing is left behind.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

plan skip_all => 'the demo runs the plain build' if sanitized();

mkdir(my $tmp = tmpdir() . '/tmp') or die $!;

my ($code, $out, $err) = run(root() . '/scripts/demo',
    { timeout => 150, env => { TMPDIR => $tmp } });

is $code, 0, 'exit code' or diag $out, $err;
is $err, '', 'nothing on stderr';
like $out, qr/✔ promoted/, 'one promoted';
is scalar(() = $out =~ /✔ reverted/g), 2, 'two reverted';
is scalar(() = $out =~ /s from the first bad response/g), 2, 'the seconds';
is scalar(() = $out =~ /client requests failed/g), 3, 'the failures';
unlike $out, qr/\e/, 'no colours in a pipe';
is_deeply [glob "$tmp/*"], [], 'no file is left';
is_deeply [grep { slurp("/proc/$_/cmdline") =~ /\Q$tmp\E/ }
    map { m{/(\d+)$} } glob '/proc/[0-9]*'], [], 'nor a process';

diag $out if $ENV{TEST_VERBOSE};

done_testing;
