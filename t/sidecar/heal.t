# Health checks: an unhealthy server, its runbook, and what is not healed.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Fake;
use Canary::Test;

my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $nginx = nginx(groups => [blue => $blue, green => $green])->start;
my $redis = redis();
my ($server, $ops) = map { Canary::Fake->new } 1, 2;
my $config = <<"END";
incidents:
  runbooks: {server: "https://runbooks.example/server"}
health:
  - upstreams: app
    groups: green
    probe: {path: /health, status: 200, timeout: 200ms,
            servers: ["@{[$server->target]}"]}
    interval: 100ms
    fall: 3
    rise: 2
    runbook:
      - {hook: "@{[$ops->url('/restart')]}", timeout: 200ms}
      - {wait: 100ms}
    tries: 2
    backoff: 200ms
END

my @canaryd = map { canaryd(nginx => $nginx, redis => $redis,
    node => "edge-$_", config => $config) } 1, 2;


sub events {
    my ($type) = @_;

    my @all = map { my %f = @{ $_->[1] }; \%f }
        @{ $redis->cmd('XRANGE', 'canary:{app}:events', '-', '+') };

    return grep { $_->{type} eq $type } @all;
}


subtest 'a healthy server' => sub {
    wait_for { $server->requests('/health') >= 5 } 20, 'its checks';
    is scalar(events('unhealthy')), 0, 'no event';
    is scalar($ops->requests('/restart')), 0, 'no runbook';
};


subtest 'healed by its runbook' => sub {
    $server->set('/health' => { status => 500 });
    wait_for { $ops->requests('/restart') } 15, 'the runbook';
    my ($r) = $ops->requests('/restart');
    my $body = decode($r->{body});
    is $body->{server}, $server->target, 'its server';
    is $body->{group}, 'green', 'group';
    is $body->{upstream}, 'app', 'and upstream';
    is $r->{headers}{'idempotency-key'}, $body->{key}, 'the key';
    my ($event) = events('unhealthy');
    like $event->{detail}, qr/status 500, not 200/, 'the event says why';
    $server->set('/health' => {});
    wait_for { events('healed') } 15, 'it to be healed';
    is scalar(events('unhealthy')), 1, 'one canaryd did it';
    is scalar(events('unhealed')), 0, 'nobody was asked';
    is scalar @{ $canaryd[0]->get('/v1/incidents')->{json}{incidents} }, 0,
        'no incident';
};


for (['fails', { status => 500 }], ['hangs', { mode => 'hang' }],
    ['answers garbage', { mode => 'garbage' }],
    ['closes early', { mode => 'early' }])
{
    my ($name, $how) = @$_;

    subtest "not healed, and its server $name" => sub {
        my $before = events('unhealed');
        my $restarts = $ops->requests('/restart');
        $ops->set('/restart' => $how);
        $server->set('/health' => $how);
        wait_for { events('unhealed') > $before } 30, 'it to be given up';
        cmp_ok $ops->requests('/restart') - $restarts, '>=', 2,
            'after its tries';
        my @open = @{ $canaryd[1]->get('/v1/incidents?state=open')
            ->{json}{incidents} };
        is scalar @open, 1, 'one incident, however often';
        is $open[0]{kind}, 'server', 'of a server';
        is $open[0]{runbook}, 'https://runbooks.example/server', 'runbook';
        $server->set('/health' => {});
        my $healed = events('healed');
        wait_for { events('healed') > $healed } 15, 'it to come back';
        pass 'it may come back by itself';
    };
}


subtest 'another canaryd takes over' => sub {
    my ($leader) = map { /:(.*)/ } $redis->cmd('GET', 'canary:{app}:healer');
    my ($first) = grep { $_->{node} eq $leader } @canaryd;
    ok $first, 'one has the role';
    $first->stop;
    wait_for {
        ($redis->cmd('GET', 'canary:{app}:healer') // '') =~ /:(.*)/
            && $1 ne $leader;
    } 20, 'the other one';
    my $count = $server->requests('/health');
    wait_for { $server->requests('/health') > $count + 3 } 15, 'checks';
    pass 'it goes on';
};

done_testing;
