# The charts of an experiment in headless Chromium: each group has its line,
# its colour and its name.  The checks are in experiment.mjs; pictures are
# left in build/ui.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Browser;
use Canary::Test;

my @groups = qw(blue green red teal plum pink gold grey);
my %backends = map { $_ => backend(name => $_) } @groups;
my $nginx = nginx(groups => [map { $_ => $backends{$_} } @groups],
    canary => "zone=edge @groups")->start;
my $port = free_port();
my $canaryd = canaryd(nginx => $nginx, redis => redis(), tick => '250ms',
    args => ['--listen', "127.0.0.1:$port"]);
my $load = load_start($nginx, rate => 400, connections => 16,
    seconds => 300, header => 'X-User: %d', keys => 20000);

$backends{red}->set(error => 0.4, zero => 1);
browse('experiment.mjs', UI_URL => "http://127.0.0.1:$port/ui/");
$load->stop;

done_testing;
