# The dashboard in headless Chromium: a rollout is started, watched, paused and
# aborted by clicks, and another reverted by canaryd, in the looks of a desk
# and of a phone, light and dark.  The checks are in dashboard.mjs; pictures
# are left in build/ui.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;
use File::Path qw(make_path);

my $npm = root() . '/build/npm';
my ($chromium) = grep { -x } qw(/usr/bin/chromium /usr/bin/chromium-browser);

plan skip_all => 'the dashboard is the same in this build' if sanitized();
plan skip_all => 'there is no chromium: scripts/deps --tests installs it'
    unless $chromium;
plan skip_all => 'npm could not be reached: there is no playwright-core in '
    . "build/npm (see $npm/npm.log)" unless -d "$npm/node_modules/playwright-core";

my $port = free_port();
my $s = stack(args => ['--listen', "127.0.0.1:$port"], tick => '250ms');
my $load = load_start($s->{nginx}, rate => 200, connections => 16,
    seconds => 300, header => 'X-User: %d', keys => 20000);

make_path(my $shots = root() . '/build/ui');

my ($code, $out, $err) = run('node', "$FindBin::Bin/dashboard.mjs", {
    timeout => 240,
    env => {
        UI_URL => "http://127.0.0.1:$port/ui/",
        UI_BACKEND => "http://$s->{green}{target}/_backend",
        UI_CHROMIUM => $chromium,
        UI_NPM => "$npm/node_modules/",
        UI_SHOTS => $shots,
        HOME => tmpdir(),
    },
});

# {"ok": true, "name": "...", "detail": "..."} a line

for my $line (split /\n/, $out) {
    my $check = eval { decode($line) };

    if (ref $check eq 'HASH') {
        ok $check->{ok}, $check->{name} or diag $check->{detail} // '';
    } else {
        diag $line;
    }
}

is $code, 0, 'all was looked at' or diag $err;

$load->stop;

is $s->{nginx}->upstream->{effective}{weights}{green}, 0,
    'nginx gives the aborted canary nothing';

done_testing;
