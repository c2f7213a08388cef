package Canary::Demo;

# scripts/demo: two versions of a backend, nginx, canaryd with its own Redis,
# traffic, and three releases.

use strict;
use warnings;
use utf8;

use Canary::Process ();
use Canary::Test;
use List::Util qw(max);
use POSIX ();
use Time::HiRes ();

my $rate = 400;

# long beside what a busy machine adds

my %quick = (delay_ms => 40, jitter_ms => 20);
my %slow = (delay_ms => 80, jitter_ms => 40);
my $slow_ms = 70;

my %steps = (
    steps => [map { { weight => $_, hold => '3s' } } 5, 25, 50, 100],
    bake => '3s',
    warmup => '1s',
    lease => '5s',
    analysis => { latency => [{ quantile => 0.5, tolerance => 0.25 },
                              { quantile => 0.9, tolerance => 0.25 }] },
);

my @releases = (
    { version => 'v2', what => 'a good version', set => {},
      end => 'succeeded' },
    { version => 'v3', what => 'answers 20 % of its requests with 500',
      set => { error => 0.2 }, end => 'aborted' },
    { version => 'v4', what => 'takes twice as long', set => { %slow },
      end => 'aborted' },
);

my $colors = -t STDOUT && !defined $ENV{NO_COLOR}
    && ($ENV{TERM} // 'dumb') ne 'dumb';
my ($nginx, $canaryd, $listen, %backend, $stable);


sub paint {
    my ($style, $text) = @_;

    my %codes = (bold => 1, dim => 2, red => '1;31', green => '1;32',
        yellow => 33, cyan => 36);

    return $colors ? "\e[$codes{$style}m$text\e[0m" : $text;
}


sub say_line { print @_, "\n" }


# 12345 as "12 345".

sub thousands {
    my ($n) = @_;

    1 while $n =~ s/(\d)(\d{3})(?!\d)/$1 $2/;

    return $n;
}


sub bring_up {
    %backend = map { $_ => backend(name => 'v1', %quick) } qw(blue green);
    $stable = 'blue';

    $nginx = nginx(groups => [map { $_ => $backend{$_} } qw(blue green)],
        keepalive => 64)->start;
    $listen = '127.0.0.1:' . free_port();
    $canaryd = canaryd(nginx => $nginx, tick => '250ms',
        args => ['--listen', $listen]);
}


# Live: one line a second of what canaryd says about a rollout.

sub header {
    say_line paint(dim => sprintf '   %6s  %-16s %7s  %-23s %-23s %s',
        '', '', 'canary', '        stable', '        canary', 'odds');
    say_line paint(dim => sprintf '   %6s  %-16s %7s  %-23s %-23s %s',
        'time', 'state', 'weight', ' req/s  errors      p99',
        ' req/s  errors      p99', 'against it');
}


sub group_column {
    my ($traffic) = @_;

    return sprintf '%6s', '-' unless $traffic;

    return sprintf '%6.0f %7s %5.0f ms', $traffic->{requests_per_second},
        sprintf('%.1f %%', 100 * $traffic->{error_rate}),
        $traffic->{p99_ms} // 0;
}


sub live_line {
    my ($seconds, $rollout) = @_;

    my ($canary, $stable) = @$rollout{qw(canary stable)};
    my $state = $rollout->{waiting_for}
        ? "waiting: $rollout->{waiting_for}" : $rollout->{state};
    my $weight = $rollout->{weights}{$canary} // 0;
    my $judgement = $rollout->{judgement};
    my $style = $state =~ /revert|abort/ ? 'red'
        : $state =~ /succeed/ ? 'green' : 'cyan';

    say_line sprintf('   %4.1f s  ', $seconds),
        paint($style => sprintf '%-16s', $state),
        sprintf(' %7s  ', "$weight %"),
        sprintf('%-23s ', group_column($rollout->{traffic}{$stable})),
        sprintf('%-23s ', group_column($rollout->{traffic}{$canary})),
        $judgement ? $judgement->{odds} // '' : '';
}


# One release; true if it ended as it must.

sub play {
    my ($number, $release) = @_;

    my $canary = $stable eq 'blue' ? 'green' : 'blue';
    my $version = $release->{version};

    my $control = "http://$backend{$canary}{target}/_backend";

    $backend{$canary}->set(name => $version, error => 0, %quick,
        %{ $release->{set} }, zero => 1);

    say_line '';
    say_line paint(bold => "$number. $version: $release->{what}");

    my $spec = spew(tmpdir() . "/$version.json", Canary::Test::encode({
        upstream => 'app', canary => $canary, version => $version, %steps,
    }));

    my $load = load_start($nginx, rate => $rate, connections => 128,
        seconds => 120, header => 'X-User: %d', keys => 20000,
        slow_ms => $slow_ms, interval_ms => 250);
    my ($code, $out, $err) = canaryctl($canaryd, 'start', '--json',
        '-f', $spec);

    if ($code != 0) {
        say_line paint(red => "   canaryctl start: exit $code: $err");
        return;
    }

    my @steps = map { "$_->{weight} % $_->{hold}" } @{ $steps{steps} };
    say_line paint(dim => "   canaryctl start -f $version.json   "
        . "stable $stable, canary $canary, steps " . join ', ', @steps);
    header();

    my $rollout = follow(Canary::Test::decode($out)->{id});
    my $ended = Time::HiRes::time();

    # a moment more: nothing may reach a reverted version any more

    my $before = $backend{$canary}->counts;
    wait_for { Time::HiRes::time() > $ended + 1.5 } 5;

    my $client = $load->stop;
    my $after = $backend{$canary}->counts;

    return report($release, $canary, $rollout, $client, $before, $after);
}


sub follow {
    my ($id) = @_;

    my $start = Time::HiRes::time();
    my ($rollout, $next) = ({ state => 'unknown' }, 1);

    wait_for {
        my $now = $canaryd->rollout($id) or return;
        my $passed = Time::HiRes::time() - $start;
        my $ended = $now->{state} =~ /^(?:succeeded|aborted)$/;

        $rollout = $now;

        # the first word after a second, and the last one

        if ($ended || $passed >= $next) {
            live_line($passed, $rollout);
            $next = POSIX::floor($passed) + 1;
        }

        $ended;
    } 90;

    return $rollout;
}


sub report {
    my ($release, $canary, $rollout, $client, $before, $after) = @_;

    my $version = $release->{version};
    my $seen = $client->{backends}{$version} // {};
    my $good = $rollout->{state} eq $release->{end};
    my $weights = $nginx->upstream->{effective}{weights};
    my $first = $seen->{first_bad_ms} || 0;
    my $bad = $release->{end} eq 'aborted';
    my $serves = $bad ? $stable : $canary;
    my @wrong;

    push @wrong, "it is $rollout->{state}, not $release->{end}"
        unless $good;
    push @wrong, "$serves does not serve everybody"
        unless ($weights->{$serves} // 0) == 100;
    push @wrong, "requests still reach $version"
        if $bad && $after->{requests} != $before->{requests};
    push @wrong, "there was no bad response" if $bad && !$first;

    $stable = $canary if $rollout->{state} eq 'succeeded';

    say_line '   ', @wrong
        ? paint(red => '✘ ' . join '; ', @wrong)
        : paint(green => $bad ? "✔ reverted, $stable serves everybody"
            : "✔ promoted, $stable serves everybody");
    say_line "     why: $rollout->{reason}";

    my $reached = $after->{requests};
    my $share = 100 * $reached / max(1, $client->{finished});

    say_line sprintf '     %s s from the first bad response to the last'
        . ' request that reached %s', paint(bold => sprintf '%.2f',
            ($after->{last_ms} - $first) / 1000), $version
        if $bad && $first;
    say_line sprintf '     %s of %s client requests failed%s; %s (%.1f %%)'
        . ' reached %s', paint(bold => thousands($client->{failed})),
        thousands($client->{finished}),
        $seen->{slow} ? ', ' . thousands($seen->{slow})
            . " were slow ones of $version" : '',
        thousands($reached), $share, $version;

    return !@wrong;
}


sub print_toys {
    my ($ender) = @_;

    my $url = 'http://' . $nginx->target;
    my ($socket) = $canaryd->target =~ /^unix:(.*)/;
    my ($api) = $nginx->api_target =~ /^unix:(.*)/;
    my $ctl = Canary::Test::build() . '/canaryctl';
    my $canary = $stable eq 'blue' ? 'green' : 'blue';
    my $spec = spew(tmpdir() . '/next.json', Canary::Test::encode({
        upstream => 'app', canary => $canary, version => 'v5', %steps,
    }));

    my $control = "http://$backend{$canary}{target}/_backend";

    $backend{$canary}->set(name => 'v5', error => 0, %quick);

    print <<"TOYS";

It is left running, with traffic for an hour at most:

  the dashboard   http://$listen/ui/
  the site        curl -i $url/ -H 'X-User: anna'
  force a group   curl -i $url/ -H 'X-Canary: green'
  the module      curl --unix-socket $api http://localhost/canary/upstreams
                  curl --unix-socket $api http://localhost/metrics
  canaryd         curl --unix-socket $socket http://localhost/v1/rollouts
                  curl --unix-socket $socket http://localhost/metrics
  a release       CANARYD=unix:$socket \\
                  $ctl start --wait -f $spec
  make it fail    curl -X POST '$control?error=0.2'
  or slow         curl -X POST '$control?delay_ms=100'

  end it all      kill $ender
TOYS
}


sub main {
    my %flag = map { $_ => 1 } @_;

    binmode STDOUT, ':utf8';
    $| = 1;

    bring_up();

    say_line paint(bold => 'nginx-canary'), ": nginx on ", $nginx->target,
        ", $rate requests/s, two versions, canaryd with a Redis of its own";

    my $good = 0;
    my $number = 0;

    $good += play(++$number, $_) ? 1 : 0 for @releases;

    say_line '';
    say_line $good == @releases
        ? paint(green => 'All three releases ended as they must.')
        : paint(red => "Only $good of three releases ended as they must.");

    if ($flag{'--keep'}) {
        load_start($nginx, rate => $rate, connections => 128,
            seconds => 3600, header => 'X-User: %d', keys => 20000);
        print_toys(Canary::Process::keep_running());

    } else {
        $_->stop for $canaryd, $nginx, values %backend;
    }

    return $good == @releases ? 0 : 1;
}


1;
