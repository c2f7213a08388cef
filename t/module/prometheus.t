#!/usr/bin/perl

# canary_metrics before promtool and a real Prometheus: bounds, labels, lint
# and a scrape.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;
use Canary::Prometheus;

my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $nginx = nginx(
    groups => [blue => $blue, green => $green],
    upstreams => <<'CONF',
upstream "od\"d\\name" { canary zone=edge blue green; }
CONF
    api_locations => <<'CONF',
location /canary/ { canary_api write=on; }
location /metrics { canary_metrics; }
location /few { canary_metrics buckets=0.01,0.1,1; }
location /edges { canary_metrics buckets=0.000016,0.004864,0.00512,130; }
CONF
    servers => 'server { listen 127.0.0.1:' . free_port()
        . '; location /metrics { canary_metrics; } }',
)->start;
my ($port) = $nginx->{servers} =~ /127\.0\.0\.1:(\d+)/;


sub page {
    my ($path) = @_;

    my $text = http($nginx->{api}, 'GET', $path // '/metrics')->{body};
    my ($families, @errors) = Canary::Prometheus::parse($text);

    is_deeply \@errors, [], ($path // '/metrics') . ' is valid';

    return ($families, $text);
}


# the buckets of app's group blue, by le

sub buckets {
    my ($families) = @_;

    return map { [$_->{labels}{le}, $_->{value}] }
        grep { $_->{labels}{upstream} eq 'app'
            && $_->{labels}{group} eq 'blue'
            && $_->{labels}{placement} eq 'weight' }
        @{ $families->{nginx_canary_latency_seconds_bucket}{samples} };
}


sub edge {
    my ($i) = @_;

    return $i < 16 ? $i : ($i % 16 + 16) << (int($i / 16) - 1);
}


$nginx->get("/?delay_ms=$_") for 0, 2, 5, 11, 30, 100, 100, 260;
load($nginx, requests => 500, header => 'X-User: %d');

# bounds are edges of the fine histogram, and counts what lies below them

my $cell = $nginx->counted->{groups}{blue}{strata}[0];

for my $path (qw(/metrics /few /edges)) {
    my ($families) = page($path);
    my @buckets = buckets($families);
    my $wrong = 0;

    for (@buckets) {
        my ($le, $value) = @$_;
        my $below = 0;

        for my $i (keys %{ $cell->{latency_us} }) {
            my $end = edge($i + 1) / 1e6;
            $below += $cell->{latency_us}{$i}
                if $le eq '+Inf' || $end <= $le + 1e-9;
        }

        $wrong++ if $below != $value;
        next if $le eq '+Inf';
        $wrong++ unless grep { sprintf('%.6f', edge($_) / 1e6)
            eq sprintf('%.6f', $le) } 1 .. 384;
        $wrong++ if $le =~ /\d0$/;
    }

    is $wrong, 0, "$path: each bound is exact";
    is $buckets[-1][1], $cell->{requests}, "$path: +Inf has all";
}

my ($families, $text) = page('/few');
is join(' ', map { $_->[0] } buckets($families)),
    '0.01024 0.098304 1.015808 +Inf', 'rounded to the nearest';
($families) = page('/edges');
is join(' ', map { $_->[0] } buckets($families)),
    '0.000016 0.004864 0.00512 130.023424 +Inf', 'edges are kept';

# bounds that cannot be

for (
    ['0', qr/invalid bucket "0"/], ['x', qr/invalid bucket "x"/],
    ['', qr/invalid bucket ""/], ['-1', qr/invalid bucket/],
    ['1,', qr/invalid bucket ""/], ['1,0.5', qr/must be above the one/],
    ['1,1.01', qr/must be above the one/], ['200', qr/from 0\.000001 to 130/],
    ['0.0000001', qr/invalid bucket/],
    [join(',', 1 .. 9, map { $_ * 10 } 1 .. 60), qr/bucket/],
) {
    my ($list, $pattern) = @$_;
    my ($ok, $said) = $nginx->test(api_locations =>
        "location /m { canary_metrics buckets=$list; }\n");

    ok !$ok, "buckets=$list is refused";
    like $said, $pattern, 'and why';
}

my ($ok, $said) = $nginx->test(api_locations =>
    "location /m { canary_metrics bucket=1; }\n");
like $said, qr/invalid parameter "bucket=1"/, 'another parameter';

# labels

($families, $text) = page();
my @names = map { $_->{labels}{upstream} }
    @{ $families->{nginx_canary_revision}{samples} };
is_deeply [sort @names], ['app', 'od\"d\\\\name'], 'labels are escaped';

# promtool and Prometheus

SKIP: {
    my ($code) = run('sh', '-c', 'command -v promtool prometheus');
    skip 'there is no promtool; scripts/deps test installs it', 1 if $code;

    my ($status, $out, $err) = run('promtool', 'check', 'metrics',
        { stdin => $text });
    is $status, 0, 'promtool check metrics' or diag "$out$err";
    is "$out$err", '', 'has nothing to say';

    my $web = free_port();
    my $dir = tmpdir() . '/prometheus';
    mkdir $dir;
    spew("$dir/prometheus.yml", <<"CONF");
global: {scrape_interval: 200ms, scrape_timeout: 200ms}
scrape_configs:
  - job_name: nginx
    static_configs: [{targets: ['127.0.0.1:$port']}]
CONF
    my $pid = spawn(name => 'prometheus', out => "$dir/log", cmd => [
        'prometheus', "--config.file=$dir/prometheus.yml",
        "--storage.tsdb.path=$dir/data",
        "--web.listen-address=127.0.0.1:$web"]);

    my $query = sub {
        my $r = http($web, 'GET', '/api/v1/query?query=' . $_[0]);
        return $r->{json}{data}{result}[0]{value}[1];
    };

    ok wait_for { ($query->('up') // 0) == 1 } 60, 'Prometheus scrapes it'
        or diag slurp("$dir/log");
    my $want = $nginx->upstream->{groups}{blue}{strata}[0]{attempts};
    is $query->('nginx_canary_attempts_total%7Bupstream%3D%22app%22,'
        . 'group%3D%22blue%22%7D'), $want, 'a counter';
    cmp_ok $query->('histogram_quantile(0.5,'
        . 'nginx_canary_latency_seconds_bucket%7Bupstream%3D%22app%22,'
        . 'group%3D%22blue%22%7D)'), '>', 0, 'a quantile';
    is $query->('count(nginx_canary_revision%7Bupstream%3D~'
        . '%22od.*%22%7D)'), 1, 'an odd name';
    stop_process($pid, 'TERM');
}

done_testing;
