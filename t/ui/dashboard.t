# The dashboard in headless Chromium: a rollout is started, watched, paused and
# aborted by clicks, and another reverted by canaryd, in the looks of a desk
# and of a phone, light and dark.  The checks are in dashboard.mjs; pictures
# are left in build/ui.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Browser;
use Canary::Test;

my $port = free_port();
my $s = stack(args => ['--listen', "127.0.0.1:$port"], tick => '250ms');
my $load = load_start($s->{nginx}, rate => 200, connections => 16,
    seconds => 300, header => 'X-User: %d', keys => 20000);

browse('dashboard.mjs', UI_URL => "http://127.0.0.1:$port/ui/",
    UI_BACKEND => "http://$s->{green}{target}/_backend");

$load->stop;

is $s->{nginx}->upstream->{effective}{weights}{green}, 0,
    'nginx gives the aborted canary nothing';

done_testing;
