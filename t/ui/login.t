# Who may: the dashboard asks for a token, a viewer finds the buttons switched
# off, an operator does not.  The checks are in login.mjs.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Auth;
use Canary::Browser;
use Canary::Test;

my ($tokens, %token) = tokens_file(eve => 'viewer', olga => 'operator');
my $port = free_port();
my $s = stack(args => ['--listen', "127.0.0.1:$port"], tick => '250ms',
    config => "auth:\n  tokens: $tokens\n  unix: operator\n");
my $rollout = $s->{canaryd}->start_rollout(version => 'v1',
    steps => [{ weight => 20, hold => '1h' }]);

browse('login.mjs', UI_URL => "http://127.0.0.1:$port/ui/",
    UI_VIEWER => $token{eve}, UI_OPERATOR => $token{olga});

is $s->{canaryd}->rollout($rollout)->{actor}, 'olga', 'who did it is recorded';

done_testing;
