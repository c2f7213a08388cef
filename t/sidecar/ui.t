# The dashboard's files as canaryd serves them, and what only the dashboard
# asks for: the series of a rollout, whoami, a spec as YAML.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;
use IO::Uncompress::Gunzip qw(gunzip);

my $s = stack(tick => '200ms');
my $canaryd = $s->{canaryd};


sub get {
    my ($path, %headers) = @_;

    return http($canaryd->target, 'GET', $path, headers => \%headers);
}


subtest 'the page' => sub {
    my $r = get('/ui/');

    is $r->{status}, 200, 'is there';
    is $r->{headers}{'content-type'}, 'text/html; charset=utf-8', 'as HTML';
    is $r->{headers}{'x-content-type-options'}, 'nosniff', 'not to be guessed';
    is $r->{headers}{'referrer-policy'}, 'no-referrer', 'no referrer';
    is $r->{headers}{'cache-control'}, 'no-cache', 'asked for anew';

    my %policy = map { /^(\S+) (.*)/ } split /; /,
        $r->{headers}{'content-security-policy'};
    is $policy{'default-src'}, "'none'", 'nothing is allowed';
    is $policy{$_}, "'self'", "but $_ from here"
        for qw(script-src style-src connect-src img-src);
    is $policy{$_}, "'none'", "and no $_"
        for qw(frame-ancestors base-uri form-action);

    my $page = $r->{body};
    unlike $page, qr/<script(?![^>]*\ssrc=)/, 'no script in it';
    unlike $page, qr/<style|\sstyle=|\son\w+=/, 'no style, no handler';
    unlike $page, qr{//}, 'no address of another host';

    for my $file ($page =~ /(?:src|href)="([^"#]+)"/g) {
        is get("/ui/$file")->{status}, 200, "$file is there";
    }
};


subtest 'the files' => sub {
    my @files = map { m{([^/]+)$} } glob(root() . '/sidecar/ui/*.{js,css,svg}'),
        glob(root() . '/sidecar/ui/vendor/*.{js,css}');
    cmp_ok scalar @files, '>', 10, 'there are some';

    for my $file (@files) {
        my $plain = get("/ui/$file");
        my $gzip = get("/ui/$file", 'Accept-Encoding' => 'br, gzip');
        my ($source) = grep { -f } map { root() . "/sidecar/ui/$_$file" }
            '', 'vendor/';
        my $inflated = $gzip->{body};

        gunzip(\$gzip->{body}, \$inflated)
            if $gzip->{headers}{'content-encoding'};
        ok $plain->{body} eq slurp($source), "$file as it is";
        ok $inflated eq $plain->{body}, "$file, the same compressed";
        ok length $gzip->{body} <= length $plain->{body}, 'and not larger';
        is $plain->{headers}{vary}, 'Accept-Encoding', 'caches are told';
        ok !$plain->{headers}{'content-encoding'}, 'only if it is asked for';
    }

    is get('/ui/main.js', 'Accept-Encoding' => 'gzip;q=0')
        ->{headers}{'content-encoding'}, undef, 'not if it is refused';
};


subtest 'not sent again' => sub {
    my $tag = get('/ui/main.js')->{headers}{etag};
    like $tag, qr{^W/"[0-9a-f]{24}"$}, 'a tag';

    for my $match ($tag, $tag =~ s{^W/}{}r, "\"x\", $tag", '*') {
        my $r = get('/ui/main.js', 'If-None-Match' => $match);

        is $r->{status}, 304, "$match: not changed";
        is $r->{body}, '', 'no body';
        is $r->{headers}{etag}, $tag, 'the tag';
    }

    is get('/ui/main.js', 'If-None-Match' => '"x"')->{status}, 200,
        'another tag: sent';
    my $head = http($canaryd->target, 'HEAD', '/ui/main.js');
    is $head->{status}, 200, 'HEAD';
    is $head->{headers}{'content-length'},
        -s root() . '/sidecar/ui/main.js', 'with the length';
    is $head->{body}, '', 'and no body';
};


subtest 'the way there' => sub {
    for my $path ('/', '/ui') {
        my $r = get($path);

        is $r->{status}, 302, "$path leads on";
        is $r->{headers}{location}, 'ui/', 'to the page';
    }

    for my $path ('/ui/none.js', '/ui/..%2fapi.c', '/ui/embed',
        '/ui/vendor/uPlot.esm.js', '/ui/uPlot.LICENSE')
    {
        my $r = get($path);
        is $r->{status}, 404, "$path is not there";
        is $r->{headers}{'content-type'}, 'application/problem+json',
            'as a problem';
    }

    is http($canaryd->target, 'POST', '/ui/', body => {})->{status}, 405,
        'nothing can be sent there';
};


subtest 'whoami' => sub {
    is_deeply $canaryd->get('/v1/whoami')->{json},
        { actor => undef, role => 'admin', upstreams => undef },
        'nobody asks: all may do all';
};


subtest 'a spec as YAML' => sub {
    my $post = sub {
        my ($text) = @_;

        return http($canaryd->target, 'POST', '/v1/rollouts', body => $text,
            headers => { 'Content-Type' => 'application/yaml' });
    };

    is $post->("upstream: app\ncanary: [green\n")->{status}, 400, 'broken';
    like $post->("a: b: c\n")->{json}{detail}, qr/line 1/, 'says where';
    is $post->('just text')->{status}, 400, 'no object';
    my $r = $post->("upstream: app\ncanary: green\nbake: soon\n");
    is $r->{status}, 422, 'a wrong field';
    is $r->{json}{field}, 'bake', 'by its name';

    $r = $post->("upstream: app\ncanary: green\nversion: v7\n"
        . "steps: [{weight: 30, hold: 1h}]\n");
    is $r->{status}, 201, 'a right one';
    is $r->{json}{spec}{steps}[0]{hold}, '1h', 'as it was meant';
    $canaryd->command_rollout($r->{json}, 'abort');
    $canaryd->wait_state($r->{json}, 'aborted');
};


subtest 'the series' => sub {
    my $load = load_start($s->{nginx}, rate => 200, connections => 16,
        seconds => 60, header => 'X-User: %d', keys => 20000);
    my $rollout = $canaryd->start_rollout(steps =>
        [{ weight => 10, hold => '1s' }, { weight => 50, hold => '1h' }]);
    my $path = "/v1/rollouts/$rollout->{id}/series";
    my $series;

    wait_for {
        $series = $canaryd->get($path)->{json};
        my $last = $series->{series}{canary}{p99_ms};
        @$last > 3 && defined $last->[-1]
            && $series->{series}{weight}[-1] == 50;
    } 30, 'points of both steps';

    my $points = $series->{series};
    my $at = $points->{at_ms};
    my $n = @$at;
    is scalar @{ $points->{$_} }, $n, "as many of $_"
        for qw(weight log_evidence log_safe);

    for my $group (qw(stable canary)) {
        is scalar @{ $points->{$group}{$_} }, $n, "as many of $group $_"
            for qw(requests_per_second error_rate p50_ms p99_ms);
    }

    ok !(grep { $at->[$_] <= $at->[$_ - 1] } 1 .. $n - 1), 'in order';
    is_deeply [sort { $a <=> $b } keys %{{ map { $_ => 1 }
        @{ $points->{weight} } }}], [10, 50], 'the weights that were';
    is_deeply [@$series{qw(stable_group canary_group)}], [qw(blue green)],
        'of these groups';
    cmp_ok abs($series->{harm_at} - log(100)), '<', 1e-9, 'the limit';

    my $latency = $series->{latency};
    for my $group (qw(stable canary)) {
        my $sum = 0;
        $sum += $_ for @{ $latency->{$group} };
        cmp_ok abs($sum - 1), '<', 1e-3, "$group: shares of all";
    }
    is $latency->{to_ms}[0], $latency->{from_ms}[1], 'bins without gaps';

    # it is kept
    $canaryd->command_rollout($rollout, 'abort');
    $canaryd->wait_state($rollout, 'aborted');
    my $ended = $canaryd->get($path)->{json}{series};
    my $judged = $canaryd->rollout($rollout)->{judgement};
    cmp_ok abs($judged->{$_} - $ended->{$_}[-1]), '<', 0.002,
        "$_ as the rollout has it" for qw(log_evidence log_safe);
    cmp_ok scalar @{ $ended->{at_ms} }, '>=', $n, 'still there at the end';
    is $ended->{weight}[-1], 0, 'with the abort';
    $canaryd->stop;
    my $other = canaryd(nginx => $s->{nginx}, redis => $s->{redis},
        node => 'other');
    is_deeply $other->get($path)->{json}{series}, $ended,
        'and another canaryd knows it';
    is $other->get('/v1/rollouts/app-0000000000/series')->{status}, 404,
        'of none that there is';
    $load->stop;
};

done_testing;
