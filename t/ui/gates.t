# What surrounds rollouts, in headless Chromium: an approval, smoke tests and
# checks, an experiment, incidents, retry, rollback, the stop of the line, a
# node that refuses a record.
# The checks are in gates.mjs; pictures are left in build/ui.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Auth;
use Canary::Browser;
use Canary::Fake;
use Canary::Test;

my ($tokens, %token) = tokens_file(anna => 'admin');
my $fake = Canary::Fake->new;
my $port = free_port();
my $s = stack(args => ['--listen', "127.0.0.1:$port"], tick => '250ms',
    config => "auth:\n  tokens: $tokens\n");
my $load = load_start($s->{nginx}, rate => 200, connections => 16,
    seconds => 300, header => 'X-User: %d', keys => 20000);

$fake->set('/value' => { body => '{"n": 1}' });
browse('gates.mjs', UI_URL => "http://127.0.0.1:$port/ui/",
    UI_FAKE => $fake->target, UI_TOKEN => $token{anna});
$load->stop;

my $incidents = $s->{canaryd}->get('/v1/incidents')->{json}{incidents};
is scalar(grep { $_->{state} eq 'resolved' } @$incidents), 1,
    'one incident is resolved';

done_testing;
