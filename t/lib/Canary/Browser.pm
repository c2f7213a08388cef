package Canary::Browser;

# browse('dashboard.mjs', NAME => value, ...): runs t/ui/dashboard.mjs in node
# with these variables; what it prints are checks of this test.  Skips the
# test where there is no Chromium or playwright-core.

use strict;
use warnings;

use Canary::Test;
use Exporter 'import';
use File::Path qw(make_path);

our @EXPORT = qw(browse);

my $npm = root() . '/build/npm';
my ($chromium) = grep { -x } qw(/usr/bin/chromium /usr/bin/chromium-browser);

plan(skip_all => 'the dashboard is the same in this build') if sanitized();
plan(skip_all => 'there is no chromium: scripts/deps test installs it')
    unless $chromium;
plan(skip_all => 'npm could not be reached: there is no playwright-core in '
    . "build/npm (see $npm/npm.log)")
    unless -f "$npm/installed.json";


sub browse {
    my ($script, %env) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    make_path(my $shots = root() . '/build/ui');

    my ($code, $out, $err) = run('node', root() . "/t/ui/$script", {
        timeout => 240,
        env => {
            UI_CHROMIUM => $chromium,
            UI_NPM => "$npm/node_modules/",
            UI_SHOTS => $shots,
            HOME => tmpdir(),
            %env,
        },
    });

    # {"ok": true, "name": "...", "detail": "..."} a line

    for my $line (split /\n/, $out) {
        my $check = eval { decode($line) };

        if (ref $check eq 'HASH') {
            ok($check->{ok}, $check->{name})
                or diag($check->{detail} // '');
        } else {
            diag($line);
        }
    }

    is($code, 0, "$script came to its end") or diag($err);
}


1;
