# Notifications and incidents, against services that answer, fail, hang,
# answer garbage and close early.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Fake;
use Canary::Test;
use Digest::SHA qw(hmac_sha256_hex);

my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $nginx = nginx(groups => [blue => $blue, green => $green])->start;
my $redis = redis();
my $fake = Canary::Fake->new;
my %secrets = (hook => 'webhook-signing-key', page => 'R' x 32,
    slack => $fake->url('/slack/T0/B0/verysecrettoken'));
my $text = "secrets:\n";

for (sort keys %secrets) {
    my $file = spew(tmpdir() . "/$_.secret", "$secrets{$_}\n");
    chmod 0600, $file;
    $text .= "  $_: {file: $file}\n";
}

my $config = $text . <<"END";
notify:
  channels:
    - {name: chat, type: slack, url_secret: slack}
    - {name: teams, type: teams, url: "@{[$fake->url('/teams')]}"}
    - {name: discord, type: discord, url: "@{[$fake->url('/discord')]}"}
    - {name: own, type: webhook, url: "@{[$fake->url('/own')]}", secret: hook,
       template: "{{event}} of {{rollout}} by {{actor}}"}
    - {name: mail, type: email, server: "@{[$fake->smtp]}",
       from: canaryd\@example.org, to: [ops\@example.org, b\@example.org]}
    - {name: page, type: pagerduty, url: "@{[$fake->url('/page')]}",
       secret: page}
    - {name: hang, type: webhook, url: "@{[$fake->url('/hang')]}"}
    - {name: garbage, type: webhook, url: "@{[$fake->url('/garbage')]}"}
    - {name: early, type: webhook, url: "@{[$fake->url('/early')]}"}
    - {name: fail, type: webhook, url: "@{[$fake->url('/fail')]}"}
  routes:
    - {severity: error, channels: [chat, teams, discord, mail]}
    - {events: [created, reverting, "incident-*"], channels: [own]}
    - {severity: error, upstreams: "other*", channels: [page]}
    - {events: [created], channels: [hang, garbage, early, fail]}
incidents:
  runbooks: {revert: "https://runbooks.example/revert"}
  escalate:
    - {after: 2s, channels: [page]}
END

$fake->set('/hang' => { mode => 'hang' }, '/garbage' => { mode => 'garbage' },
    '/early' => { mode => 'early' }, '/fail' => { status => 500 },
    '/slack/T0/B0/verysecrettoken' => { status => 500, times => 1 });

my @canaryd = map { canaryd(nginx => $nginx, redis => $redis,
    node => "edge-$_", config => $config) } 1, 2;
my $canaryd = $canaryd[0];
my ($rollout, $incident);


sub bodies {
    my ($path, $re) = @_;

    return grep { encode($_) =~ $re }
        map { decode($_->{body}) } $fake->requests($path);
}


subtest 'what a revert brings' => sub {
    wait_for {
        my $groups = eval {
            $redis->cmd('XINFO', 'GROUPS', 'canary:{app}:events');
        } // [];
        @$groups;
    } 10, 'somebody to listen';

    $rollout = $canaryd->start_rollout(version => 'v9');
    wait_for { bodies('/own', qr/"created"/) } 10, 'the created event';
    $canaryd->command_rollout($rollout, 'abort',
        { actor => 'anna', reason => 'it <smells> & "burns"' });
    wait_for { bodies('/own', qr/incident-opened/) } 15, 'the incident';

    my @list = @{ $canaryd->get('/v1/incidents?upstream=app')
        ->{json}{incidents} };
    is scalar @list, 1, 'one incident';
    $incident = $list[0];
    is $incident->{kind}, 'revert', 'of a revert';
    is $incident->{state}, 'open', 'open';
    is $incident->{rollout}, $rollout->{id}, 'its rollout';
    is $incident->{runbook}, 'https://runbooks.example/revert', 'its runbook';
    like $incident->{title}, qr/smells/, 'its title';
    is $incident->{timeline}[0]{what}, 'opened', 'its timeline';
};


subtest 'payloads' => sub {
    wait_for { bodies('/slack/T0/B0/verysecrettoken', qr/reverting/) } 15,
        'slack';
    my ($slack) = bodies('/slack/T0/B0/verysecrettoken', qr/reverting/);
    like $slack->{text}, qr/it &lt;smells&gt; &amp; "burns"/,
        'slack: text, escaped';
    like $slack->{attachments}[0]{color}, qr/^#[0-9a-f]{6}$/, 'a color';
    is_deeply [sort keys %{ $slack->{attachments}[0]{fields}[0] }],
        [qw(short title value)], 'fields';

    wait_for { bodies('/teams', qr/reverting/) } 15, 'teams';
    my ($teams) = bodies('/teams', qr/reverting/);
    is $teams->{type}, 'message', 'teams: a message';
    my $card = $teams->{attachments}[0];
    is $card->{contentType}, 'application/vnd.microsoft.card.adaptive',
        'with an adaptive card';
    is $card->{content}{type}, 'AdaptiveCard', 'of that type';
    is $card->{content}{body}[0]{type}, 'TextBlock', 'with a text';
    ok exists $card->{content}{body}[1]{facts}[0]{title}, 'and facts';

    wait_for { bodies('/discord', qr/reverting/) } 15, 'discord';
    my ($discord) = bodies('/discord', qr/reverting/);
    like $discord->{embeds}[0]{description}, qr/smells/, 'discord: an embed';
    like $discord->{embeds}[0]{color}, qr/^\d+$/, 'with a color number';
    is_deeply $discord->{allowed_mentions}{parse}, [], 'mentions nobody';

    my ($own) = grep { $_->{body} =~ /"reverting"/ } $fake->requests('/own');
    my $body = decode($own->{body});
    is $body->{text}, "reverting of $rollout->{id} by anna",
        'webhook: its template';
    is $own->{headers}{'x-canary-signature'}, 'sha256=' . hmac_sha256_hex(
        "$own->{headers}{'x-canary-timestamp'}.$own->{body}", $secrets{hook}),
        'signed';

    wait_for { grep { $_->{text} =~ /reverting/ } $fake->mail } 15, 'mail';
    my ($mail) = grep { $_->{text} =~ /reverting/ } $fake->mail;
    is_deeply $mail->{to}, ['ops@example.org', 'b@example.org'], 'mail: to';
    like $mail->{text}, qr/^Subject: \[error\] app: reverting$/m, 'subject';
    like $mail->{text}, qr/smells/, 'text';
};


# The states in the metrics of both, and what each of them has changed.

sub incident_metrics {
    my ($open, $acknowledged, $what) = @_;

    wait_for {
        my @texts = map { $_->get('/metrics')->{body} } @canaryd;
        2 == grep {
            /^canaryd_incidents\{upstream="app",state="open"\} $open$/m
                && /^canaryd_incidents\{upstream="app",state="acknowledged"\}
                    \ $acknowledged$/mx
        } @texts;
    } 20, $what;
    pass $what;
}


sub changes {
    my ($change, @of) = @_;

    my $sum = 0;
    $_->get('/metrics')->{body}
        =~ /^canaryd_incident_changes_total\{change="$change"\} (\d+)$/m
        and $sum += $1 for @of;

    return $sum;
}


subtest 'escalation, acknowledge, resolve' => sub {
    incident_metrics(1, 0, 'metrics: one is open');
    wait_for { bodies('/page', qr/trigger/) } 20, 'the page';
    my ($page) = bodies('/page', qr/trigger/);
    is $page->{routing_key}, $secrets{page}, 'the routing key';
    is $page->{dedup_key}, $incident->{id}, 'the incident is the key';
    is $page->{payload}{severity}, 'critical', 'critical';
    like $page->{payload}{summary}, qr/app/, 'a summary';
    ok $page->{payload}{source}, 'a source';

    my $r = $canaryd[1]->post("/v1/incidents/$incident->{id}/acknowledge",
        { actor => 'bob', reason => 'on it' });
    is $r->{status}, 200, 'acknowledged at another node';
    is $r->{json}{state}, 'acknowledged', 'it says so';
    is $r->{json}{timeline}[-1]{actor}, 'bob', 'by whom';
    incident_metrics(0, 1, 'metrics: it is acknowledged');
    is changes('acknowledged', $canaryd[1]), 1, 'who did it counts it';
    is changes('acknowledged', $canaryd[0]), 0, 'and nobody else';
    is $canaryd->post("/v1/incidents/$incident->{id}/acknowledge", {})
        ->{status}, 409, 'only once';

    $r = $canaryd->post("/v1/incidents/$incident->{id}/resolve",
        { actor => 'bob' });
    is $r->{json}{state}, 'resolved', 'resolved';
    incident_metrics(0, 0, 'metrics: none is left');
    is changes($_, @canaryd), 1, "metrics: $_ once"
        for qw(opened escalated acknowledged resolved);
    wait_for { bodies('/page', qr/"resolve"/) } 15, 'the end of the page';
    is scalar(bodies('/page', qr/"trigger"/)), 1, 'paged once';
    is $canaryd->post("/v1/incidents/$incident->{id}/resolve", {})->{status},
        409, 'over';
    is scalar @{ $canaryd->get('/v1/incidents?state=open')
        ->{json}{incidents} }, 0, 'none is open';
    is $canaryd->get('/v1/incidents/app-0123456789')->{status}, 404,
        'another one is not there';
    is $canaryd->get('/v1/incidents?state=x')->{status}, 422, 'a bad state';
};


subtest 'each once' => sub {
    my %seen;
    $seen{ decode($_->{body})->{id} }++ for $fake->requests('/own');
    is_deeply [grep { $seen{$_} > 1 } keys %seen], [],
        'though two canaryds listen';
};


subtest 'who does not answer keeps nobody' => sub {
    ok scalar($fake->requests("/$_")), "$_ was tried"
        for qw(hang garbage early fail);
    is $canaryd->get('/ready')->{status}, 200, 'canaryd goes on';
};


subtest 'secrets' => sub {
    for my $secret (values %secrets) {
        unlike join('', map { $_->log } @canaryd), qr/\Q$secret\E/,
            'not in the log';
        unlike $canaryd->get('/v1/incidents')->{body}, qr/\Q$secret\E/,
            'not in incidents';
        unlike encode($redis->cmd('XRANGE', 'canary:{app}:events', '-', '+')),
            qr/\Q$secret\E/, 'not in events';
    }
};


subtest 'configuration' => sub {
    my $binary = Canary::Test::build() . '/canaryd';

    for (["notify: {channels: [{name: a, type: x}]}",
            qr/notify\.channels\[0\]\.type/],
        ["notify: {channels: [{name: a, type: slack, url: 'ftp://x'}]}",
            qr/notify\.channels\[0\]\.url/],
        ["notify: {channels: [{name: a, type: pagerduty}]}",
            qr/notify\.channels\[0\]\.secret/],
        ["notify: {channels: [{name: a, type: webhook, url: 'http://x',"
            . " secret: none}]}", qr/no such secret/],
        ["notify: {channels: [{name: a, type: email, server: 'smtp://x',"
            . " from: 'a\@b', to: ['a b']}]}", qr/\.to: /],
        ["notify: {routes: [{channels: [x]}]}", qr/notify\.routes\[0\]/],
        ["incidents: {escalate: [{channels: [x]}]}",
            qr/incidents\.escalate\[0\]/],
        ["freeze: [{cron: '99 * * * *', for: 1h}]", qr/freeze\[0\]\.cron/],
        ["freeze: [{cron: '0 * * * *'}]", qr/freeze\[0\]\.for/],
        ["freeze: [{from: '2026-01-02T00:00', to: '2026-01-01T00:00'}]",
            qr/freeze\[0\]\.to/],
        ["freeze: [{from: x, to: y, zone: 'Mars/Here'}]",
            qr/freeze\[0\]\.zone/],
        ["alerts: {rules: [{}]}", qr/alerts\.rules\[0\]\.action/],
        ["health: [{probe: {path: x}}]", qr/health\[0\]\.probe\.path/],
        ["secrets: {a: {file: /nonexistent}}", qr/secrets\.a/],
        ["secrets: {a: {}}", qr/secrets\.a/])
    {
        my ($yaml, $re) = @$_;
        my $file = spew(tmpdir() . '/bad.yaml', "$yaml\n");
        my ($code, $out, $err) = run($binary, '--test-config', '-c', $file,
            { env => Canary::Test::sanitizer_env('canaryd') });
        is $code, 2, $yaml;
        like $err, $re, 'names it';
    }
};

done_testing;
