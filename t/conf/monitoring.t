# The rules that ship with the project: promtool accepts them, they fire when
# they must; and they, like the dashboard, ask only for metrics that exist.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $root = root();

plan skip_all => 'promtool (package prometheus) is not installed'
    unless -x '/usr/bin/promtool';

my ($code, $out, $err) = run('promtool', 'check', 'rules',
    "$root/conf/prometheus/rules.yml");
is $code, 0, 'rules are valid' or diag $out, $err;

($code, $out, $err) = run('promtool', 'test', 'rules',
    "$root/t/data/rules_test.yml");
is $code, 0, 'rules fire when they must' or diag $out, $err;

my $stack = stack();
my $load = load_start($stack->{nginx}, header => 'X-User: %d');

($code, $out, $err) = canaryctl($stack->{canaryd}, 'start', '--upstream',
    'app', '--canary', 'green', '--version', 'v2', '--step', '50:60s');
is $code, 0, 'a rollout runs' or diag $err;

my %known = (up => 1);

wait_for {
    my $text = $stack->{nginx}->metrics
        . $stack->{canaryd}->get('/metrics')->{body};
    $known{$1} = 1 while $text =~ /^# TYPE (\S+)/mg;
    $text =~ /^canaryd_rollout_state\{/m;
} 10, 'the state of the rollout in the metrics';

$load->stop;

my %told = map { $_ => 1 }
    slurp("$root/docs/canaryd-metrics.md") =~ /`(canaryd_[a-z_]+)`/g;
my %ours = map { $_ => 1 } grep { /^canaryd_/ } keys %known;

is_deeply [grep { !$told{$_} } sort keys %ours], [], 'all are documented';
is_deeply [grep { !$ours{$_} } sort keys %told], [],
    'and no others';

my @texts = ([rules => slurp("$root/conf/prometheus/rules.yml")],
    [dashboard => slurp("$root/conf/grafana/nginx-canary.json")]);

for (@texts) {
    my ($name, $text) = @$_;
    my %asked;

    $asked{$1} = 1 while $text =~ /\b((?:nginx_canary|canaryd)_[a-z_]+)[\{\[) ]/g;
    s/_bucket$// for my @asked = sort keys %asked;

    cmp_ok scalar @asked, '>', 5, "$name asks for metrics";
    is_deeply [grep { !$known{$_} } @asked], [], "$name: all of them exist";
}

my $dashboard = decode($texts[1][1]);
my %ids = map { $_->{id} => 1 } @{$dashboard->{panels}};
is scalar keys %ids, scalar @{$dashboard->{panels}}, 'panels have ids';

done_testing;
