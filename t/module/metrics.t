#!/usr/bin/perl

# canary_metrics is valid Prometheus text and says what the API says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;
use Canary::Prometheus;

my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $nginx = nginx(groups => [blue => $blue, green => $green])->start;

is $nginx->put(weights => { blue => 87.5, green => 12.5 })->{status}, 200,
    'put';
load($nginx, requests => 2000, header => 'X-User: %d');
$nginx->get('/', 'X-Canary' => 'green');

my $r = http($nginx->{api}, 'GET', '/metrics');

is $r->{headers}{'content-type'}, 'text/plain; version=0.0.4', 'type';

my ($families, @errors) = Canary::Prometheus::parse($r->{body});

is_deeply \@errors, [], 'valid text';


sub value {
    my ($name, %labels) = @_;

    my @found = grep {
        my $l = $_->{labels};
        !grep { ($l->{$_} // '') ne $labels{$_} } keys %labels;
    } @{ $families->{$name}{samples} };

    is scalar(@found), 1, "$name is there once";

    return $found[0]{value};
}


my $api = $nginx->counted;
my $cell = $api->{groups}{green}{strata}[0];
my %green = (upstream => 'app', group => 'green', placement => 'weight');

is value('nginx_canary_revision', upstream => 'app'), 1, 'revision';
is value('nginx_canary_weight_ratio', group => 'green'), '0.1250', 'weight';
is value('nginx_canary_attempts_total', %green), $cell->{attempts},
    'attempts';
is value('nginx_canary_judged_requests_total', %green), $cell->{requests},
    'judged requests';
is value('nginx_canary_latency_seconds_count', %green), $cell->{requests},
    'latencies';
is value('nginx_canary_selections_total', group => 'green',
    reason => 'force', placement => 'pinned'), 1, 'forced';
is value('nginx_canary_attempts_in_flight', %green), 0, 'in flight';
$nginx->saved;
is value('nginx_canary_persisted_generation'),
    value('nginx_canary_generation'), 'persisted';
is value('nginx_canary_lapsed', upstream => 'app'), 0, 'not lapsed';

is http($nginx->{api}, 'POST', '/metrics')->{status}, 405, 'read only';
is http($nginx->{api}, 'HEAD', '/metrics')->{status}, 200, 'HEAD';

# while counters move, nothing ever goes back

my $load = load_start($nginx, seconds => 3, header => 'X-User: %d');
my %last;
my ($reads, $back) = (0, 0);

while (alive($load->{pid})) {
    my ($f, @bad) = Canary::Prometheus::parse($nginx->metrics);

    push @errors, @bad;
    $reads++;

    for my $family (values %$f) {
        next if $family->{type} eq 'gauge';

        for my $s (@{ $family->{samples} }) {
            my $key = "$s->{name} " . encode($s->{labels});
            $back++ if ($last{$key} // 0) > $s->{value};
            $last{$key} = $s->{value};
        }
    }
}

$load->wait;

is_deeply \@errors, [], 'valid under load';
is $back, 0, "monotone over $reads reads";

done_testing;
