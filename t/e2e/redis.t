# Redis fails in every way: no weight changes without a valid record, leases
# do what they promise, and everything recovers by itself.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;
use Canary::Proxy;

my @groups = map { $_ => backend(name => $_) } qw(blue green);
my ($blue, $green) = @groups[1, 3];


# A canaryd with an nginx of its own, on an address of Redis.

sub node {
    my ($redis, %opt) = @_;

    my $nginx = nginx(groups => \@groups)->start;

    return { nginx => $nginx,
             canaryd => canaryd(nginx => $nginx, redis => $redis, %opt),
             load => load_start($nginx, rate => 100, seconds => 300,
                 connections => 8, header => 'X-User: %d') };
}


sub end {
    for my $node (@_) {
        is $node->{load}->stop->{failed}, 0, 'no request failed';
        $node->{canaryd}->stop;
        $node->{nginx}->stop;
    }
}


sub weight { $_[0]{nginx}->upstream->{effective}{weights}{green} }


# A rollout at 40 %, with evidence.

sub begin {
    my ($node, %spec) = @_;

    my $r = $node->{canaryd}->start_rollout(lease => '1h',
        analysis => { stale_ticks => 100000 },
        steps => [{ weight => 40, hold => '1h' }, { weight => 70,
            hold => '1h' }], %spec);
    wait_for { my $x = $node->{canaryd}->rollout($r);
        $x->{judgement} && $x->{judgement}{requests}[0] > 20 } 30,
        'evidence';

    return $r;
}


# It is driven: judged anew, and can be moved and aborted.

sub goes_on {
    my ($node, $r, $what) = @_;

    my $canaryd = $node->{canaryd};
    my $ticks;
    wait_for { my $x = $canaryd->rollout($r);
        $ticks = $x->{judgement}{ticks} if $x && $x->{judgement} } 30,
        'an answer';
    wait_for { ($canaryd->rollout($r)->{judgement}{ticks} // 0) > $ticks } 30,
        'a tick';
    wait_for { $canaryd->command_rollout($r, 'promote')->{status} == 200 } 30,
        'a command to be taken';
    wait_for { weight($node) == 70 } 30, 'the next weight';
    is weight($node), 70, "$what: the rollout goes on by itself";

    is $canaryd->command_rollout($r, 'abort')->{status}, 200, 'abort';
    $canaryd->wait_state($r, 'aborted');
    is weight($node), 0, "$what: and back";
}


subtest 'restart, with its data' => sub {
    my $redis = redis(args => ['--appendonly', 'yes', '--appendfsync',
        'always']);
    my $node = node($redis);
    my $r = begin($node);

    $redis->kill;
    wait_for { $node->{canaryd}->get('/ready')->{status} == 503 } 20,
        'it to notice';
    is $node->{canaryd}->command_rollout($r, 'promote')->{status}, 503,
        'no command without Redis';
    is weight($node), 40, 'the weight stays';
    is $node->{canaryd}->get('/v1/upstreams')->{status}, 503, 'and says so';

    $redis->start;
    goes_on($node, $r, 'restart');
    end($node);
};


subtest 'FLUSHALL, and an older copy' => sub {
    my $redis = redis();
    my $node = node($redis);
    my $r = begin($node);
    my $revision = $node->{nginx}->upstream->{record}{revision};

    $redis->cmd('FLUSHALL');
    wait_for { weight($node) == 0 } 30, 'the canary to be taken back';
    cmp_ok $node->{nginx}->upstream->{record}{revision}, '>', $revision,
        'under a new revision';
    is $node->{nginx}->upstream->{record}{stable}, 'blue', 'to stable';

    my $again = begin($node);
    my $old = $redis->cmd('DUMP', 'canary:{app}:route');
    my $doc = $redis->cmd('DUMP', "canary:{app}:rollout:$again->{id}");
    $node->{canaryd}->command_rollout($again, 'promote');
    wait_for { weight($node) == 70 } 30, 'the next weight';

    # as after a failover to a replica that lagged
    $redis->cmd('RESTORE', 'canary:{app}:route', 0, $old, 'REPLACE');
    $redis->cmd('RESTORE', "canary:{app}:rollout:$again->{id}", 0, $doc,
        'REPLACE');
    wait_for { weight($node) == 0 } 30, 'the rollout to be aborted';
    my $seen = $node->{canaryd}->wait_state($again, 'aborted');
    like $seen->{reason}, qr/redis lost/, 'it says why';
    end($node);
};


# Redis comes back empty to two nodes, of which one has missed what was decided
# last.  They sleep meanwhile, so that none of them is at it before the other.

sub empty {
    my ($what, %opt) = @_;

    my $redis = redis();
    my ($low, $high) = map { node($redis) } 1, 2;
    my (%seen, @back);
    my $look = sub {
        for my $node ($low, $high) {
            my $now = $node->{nginx}->upstream->{record};
            my $last = $seen{$node}[-1];
            push @back, "$last->{revision} to $now->{revision}"
                if $last && $now->{revision} < $last->{revision};
            push @{ $seen{$node} }, $now
                if !$last || $now->{revision} != $last->{revision};
        }
        return map { $seen{$_}[-1]{revision} } $low, $high;
    };
    my $revisions = sub { [map { $_->{revision} } @{ $seen{$_[0]} }] };

    my $r = begin($high);
    wait_for { weight($low) == 40 } 20, 'both nodes';
    my ($older) = $look->();
    $low->{canaryd}->signal('STOP');

    my $newest = $older;
    for (1 .. $opt{newer}) {
        wait_for { $high->{canaryd}->command_rollout($r, 'promote')->{status}
            == 200 } 20, 'a command to be taken';
        wait_for { $high->{canaryd}->rollout($r)->{state} eq 'baking'
            || ($look->())[1] > $newest } 20, 'it to be done';
        ($older, $newest) = $look->();
    }

    $high->{canaryd}->signal('STOP');
    $redis->cmd('FLUSHALL');
    $low->{canaryd}->signal('CONT');

    wait_for { ($redis->cmd('HGET', 'canary:{app}:route', 'revision') // 0)
        > $older } 20, 'the older one to write' if $opt{alone};

    $high->{canaryd}->signal('CONT');
    my $wins = $newest + ($opt{reverts} ? 1 : 0);
    wait_for { my @now = $look->(); $now[0] >= $newest && $now[0] == $now[1] }
        30, "$what: one revision" or return;
    is_deeply [$look->()], [$wins, $wins], "$what: the highest one wins";

    # some ticks on, it is still so
    my $later = 1000 * ($redis->cmd('TIME')->[0] + 2);
    wait_for { $look->(); 2 == grep { decode($_)->{at} > $later }
        @{ $redis->cmd('HVALS', 'canary:{app}:nodes') } } 20,
        'reports of both';
    is_deeply [$look->()], [$wins, $wins], "$what: for good";
    is_deeply \@back, [], "$what: nobody goes back to an older one";

    my @said = map { my %of = @{ $_->[1] }; $of{type} eq 'created' ? ()
        : "$of{type} $of{revision}" } @{ $redis->cmd('XRANGE',
        'canary:{app}:events', '-', '+') };

    return { low => $low, high => $high, said => \@said, older => $older,
        newest => $newest, of_low => $revisions->($low),
        of_high => $revisions->($high) };
}


sub served {
    my ($node) = @_;

    my $now = $node->{nginx}->upstream;

    return "$now->{record}{stable} "
        . ($now->{effective}{weights}{green} // 0);
}


subtest 'empty, and nodes of different revisions' => sub {
    my $seen = empty('a canary', newer => 1, reverts => 1);
    my ($older, $newest) = @$seen{qw(older newest)};
    is $newest, $older + 1, 'one apart';
    is_deeply $seen->{said}, ['reverted ' . ($newest + 1)],
        'the newest is what stable follows upon, once';
    is_deeply $seen->{of_low}, [$older, $newest + 1],
        'the older one was never written back';
    is served($_), 'blue 0', 'stable' for @$seen{qw(low high)};
    end(@$seen{qw(low high)});

    $seen = empty('a release that is done', newer => 3);
    ($older, $newest) = @$seen{qw(older newest)};
    is $newest, $older + 2, 'two apart';
    is_deeply $seen->{said}, ["adopted $newest"], 'it is written back';
    is_deeply $seen->{of_low}, [$older, $newest], 'and followed at once';
    is $seen->{of_high}[-1], $newest, 'by who had it not at all';
    is served($_), 'green 100', 'the release stays' for @$seen{qw(low high)};
    end(@$seen{qw(low high)});

    $seen = empty('the older one is alone for a while', newer => 3,
        alone => 1);
    ($older, $newest) = @$seen{qw(older newest)};
    is_deeply $seen->{said}, ['reverted ' . ($older + 1), "adopted $newest"],
        'what it wrote gives way';
    is $seen->{of_high}[-1], $newest, 'the newer one serves on';
    is served($_), 'green 100', 'the release stays' for @$seen{qw(low high)};
    end(@$seen{qw(low high)});
};


subtest 'out of memory' => sub {
    my $redis = redis();
    my $node = node($redis);
    my $r = begin($node);

    $redis->cmd('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
    $redis->cmd('CONFIG', 'SET', 'maxmemory', '1');
    wait_for { $node->{canaryd}->log =~ /redis refused a command.*OOM/ } 20,
        'the refusal';
    is $node->{canaryd}->command_rollout($r, 'promote')->{status}, 500,
        'a command is refused';
    is weight($node), 40, 'no weight changes';
    is $node->{canaryd}->get("/v1/rollouts/$r->{id}")->{status}, 200,
        'what is there can be read';

    $redis->cmd('CONFIG', 'SET', 'maxmemory', '0');
    goes_on($node, $r, 'out of memory');
    end($node);
};


subtest 'out of memory for longer than the lease' => sub {
    my $redis = redis();
    my $node = node($redis);
    my $r = begin($node, lease => '2s');

    $redis->cmd('CONFIG', 'SET', 'maxmemory', '1');
    wait_for { $node->{nginx}->upstream->{effective}{lapsed} } 30,
        'the lapse';
    is weight($node), 0, 'nobody judges, so stable has all';

    $redis->cmd('CONFIG', 'SET', 'maxmemory', '0');
    wait_for { !$node->{nginx}->upstream->{effective}{lapsed}
        && weight($node) == 40 } 60, 'it to come back';
    goes_on($node, $r, 'a lapse');
    end($node);
};


subtest 'slow: half a second each way' => sub {
    my $redis = redis();
    my $proxy = Canary::Proxy->new($redis->target)->start;
    my $node = node($proxy, tick => '1s');
    my $r = begin($node, lease => '15s');

    $proxy->mode('delay', 0.25);
    my $fence = $redis->cmd('GET', 'canary:{app}:fence');
    my $ticks = $node->{canaryd}->rollout($r)->{judgement}{ticks};
    wait_for { $node->{canaryd}->rollout($r)->{judgement}{ticks}
        > $ticks + 5 } 60, 'it to judge on';
    is $redis->cmd('GET', 'canary:{app}:fence'), $fence,
        'the lead is not lost';
    ok !$node->{nginx}->upstream->{effective}{lapsed}, 'nor the lease';
    is weight($node), 40, 'the weight stays';
    is $node->{canaryd}->get('/ready')->{status}, 200, 'it is ready';

    goes_on($node, $r, 'slow');
    end($node);
    $proxy->stop;
};


# One node is cut off: in a network namespace if that is allowed here, else
# by a proxy that drops.

sub cut {
    my $ns = "canary-$$";
    my ($a, $b) = ("cn$$" . 'a', "cn$$" . 'b');

    for ($> == 0 ? (
        ['netns', 'add', $ns],
        ['link', 'add', $a, 'type', 'veth', 'peer', 'name', $b],
        ['link', 'set', $b, 'netns', $ns],
        ['addr', 'add', '198.51.100.1/30', 'dev', $a],
        ['link', 'set', $a, 'up'],
        ['-n', $ns, 'addr', 'add', '198.51.100.2/30', 'dev', $b],
        ['-n', $ns, 'link', 'set', $b, 'up'],
    ) : ['no root'])
    {
        next if $_->[0] ne 'no root' && (run('ip', @$_))[0] == 0;
        return { how => 'a proxy that drops' };
    }

    return { how => 'a network namespace', ns => $ns, link => $a,
        address => '198.51.100.1' };
}

sub set_cut {
    my ($cut, $cut_off) = @_;

    return $cut->{proxy}->mode($cut_off ? 'drop' : 'pass') if $cut->{proxy};
    (run('ip', 'link', 'set', $cut->{link}, $cut_off ? 'down' : 'up'))[0]
        and die 'ip link';
}

END {
    my $status = $?;
    system "ip netns del canary-$$ 2>/dev/null" if $> == 0;
    $? = $status;
}


subtest 'one node is cut off' => sub {
    my $cut = cut();
    my $redis = redis(port => free_port(), args => ['--protected-mode', 'no',
        '--bind', join ' ', '127.0.0.1', grep { $_ } $cut->{address}]);
    $cut->{proxy} = Canary::Proxy->new($redis->target)->start
        unless $cut->{ns};
    diag "one node is cut off by $cut->{how}";

    my $here = node($redis);
    my $there = node($cut->{ns} ? "$cut->{address}:$redis->{port}"
        : $cut->{proxy}, $cut->{ns}
        ? (prefix => ['ip', 'netns', 'exec', $cut->{ns}]) : ());
    my $r = begin($here, lease => '3s');
    wait_for { weight($there) == 40 } 20, 'both nodes';

    set_cut($cut, 1);
    $here->{canaryd}->command_rollout($r, 'pause');

    wait_for { $there->{nginx}->upstream->{effective}{lapsed} } 40,
        'its lease to run out';
    is weight($there), 0, 'who is cut off serves stable';
    is $there->{nginx}->upstream->{record}{weights}{green}, 40,
        'its record has not changed';
    is weight($here), 40, 'the others go on';
    wait_for { $here->{canaryd}->rollout($r)->{nodes}{live} == 1 } 20,
        'it to be gone';

    # what is decided meanwhile it learns when it is back
    $here->{canaryd}->command_rollout($r, 'promote');
    wait_for { weight($here) == 70 } 20, 'the next weight';

    set_cut($cut, 0);
    wait_for { weight($there) == 70 } 60, 'it to follow';
    is weight($there), 70, 'who comes back follows';
    goes_on($here, $r, 'cut off');
    wait_for { weight($there) == 0 } 20, 'both to be back';
    end($here, $there);
    $cut->{proxy}->stop if $cut->{proxy};
};


# Who changes his role drops his clients.

sub role { return (eval { $_[0]->cmd('ROLE') } // [''])->[0] }


subtest 'Sentinel: the master dies' => sub {
    my @port = map { free_port() } 1 .. 5;
    my $master = redis(port => $port[0]);
    my $replica = redis(port => $port[1], args => ['--replicaof',
        "127.0.0.1 $port[0]"]);
    wait_for { (eval { $replica->cmd('INFO', 'replication') } // '')
        =~ /master_link_status:up/ } 20, 'the replica';

    my @sentinels = map {
        my $file = spew(tmpdir() . "/sentinel$_.conf",
            "port $port[$_]\nbind 127.0.0.1\n"
            . "sentinel monitor canary 127.0.0.1 $port[0] 2\n"
            . "sentinel down-after-milliseconds canary 500\n"
            . "sentinel failover-timeout canary 3000\n");
        spawn(name => 'sentinel', cmd => ['redis-server', $file,
            '--sentinel'], out => "$file.log");
    } 2 .. 4;
    wait_for { 3 == grep { slurp(tmpdir() . "/sentinel$_.conf")
        =~ /known-replica.*known-sentinel.*known-sentinel/s } 2 .. 4 } 30,
        'the sentinels to know each other';

    my $node = node(undef, config => 'redis: {sentinels: ['
        . join(', ', map { "'127.0.0.1:$port[$_]'" } 2 .. 4)
        . "], master: canary}\n");
    my $r = begin($node);
    my $ticks = $node->{canaryd}->rollout($r)->{judgement}{ticks};
    wait_for { my $d = eval { $replica->cmd('HGET',
        "canary:{app}:rollout:$r->{id}", 'evidence') } // '';
        $d =~ /"ticks":(\d+)/ && $1 >= $ticks } 20, 'it to be copied';

    $master->kill;
    wait_for { role($replica) eq 'master' } 60, 'the failover';
    is weight($node), 40, 'the weight stays';
    wait_for { my $x = $node->{canaryd}->rollout($r);
        $x && $x->{judgement} && $x->{judgement}{ticks} > $ticks } 60,
        'it to go on with the new master';
    goes_on($node, $r, 'failover');

    # the old one comes back as a replica, a sentinel is lost
    stop_process(shift @sentinels);
    $master->start;
    wait_for { role($master) eq 'slave' } 60,
        'the old one to follow';
    my $next = begin($node);
    goes_on($node, $next, 'the old master is back');
    end($node);
    stop_process($_) for @sentinels;
};


subtest 'an ACL user' => sub {
    my $redis = redis();
    $redis->cmd('ACL', 'SETUSER', 'canary', 'on', '>secret', '~canary:*',
        '&canary:*', '+@all', '-@dangerous', '-@admin');
    $redis->cmd('ACL', 'SETUSER', 'default', 'resetpass', '>other');

    my $file = spew(tmpdir() . '/password', "secret\n");
    my $config = 'redis: {address: ' . $redis->target
        . ", user: canary, password_file: $file}\n";
    my $node = node(undef, config => $config);
    my $r = begin($node);
    ok $r->{id}, 'canaryd needs no more than that';
    unlike $node->{canaryd}->log, qr/secret/, 'no secret in the log';
    goes_on($node, $r, 'an ACL user');

    my $seed = spew(tmpdir() . '/acl.yaml', $config);
    my ($code) = canaryctl('seed', '--config', $seed, '--state-file',
        tmpdir() . '/acl.state');
    is $code, 0, 'nor does seed';

    spew($file, "wrong\n");
    ($code, my $out, my $err) = canaryctl('seed', '--config', $seed,
        '--state-file', tmpdir() . '/acl.state');
    is $code, 1, 'a wrong password';
    like $err, qr/WRONGPASS/, 'is said';
    end($node);
};


# Everything, by a server that checks to which slot each key belongs.

sub all_of_it {
    my ($redis, $what) = @_;

    my $node = node($redis);
    my $r = begin($node);
    is $node->{canaryd}->get("/v1/rollouts/$r->{id}/$_")->{status}, 200,
        "$what: $_" for qw(explain events ticks);
    is $node->{canaryd}->get('/v1/upstreams')->{status}, 200,
        "$what: upstreams";
    goes_on($node, $r, $what);

    # what Redis lost is written back
    $redis->cmd('DEL', 'canary:{app}:route');
    wait_for { ($redis->cmd('HGET', 'canary:{app}:route', 'revision') // 0)
        >= 3 } 30, 'the route';
    pass "$what: adopted";
    unlike $node->{canaryd}->log, qr/CROSSSLOT|refused a command/,
        "$what: no command was refused";
    end($node);
}


subtest 'Redis Cluster' => sub {
    my $redis = redis(port => free_port(), args => ['--cluster-enabled',
        'yes', '--cluster-port', free_port(), '--cluster-config-file',
        'nodes.conf']);
    $redis->cmd('CLUSTER', 'ADDSLOTSRANGE', 0, 16383);
    wait_for { $redis->cmd('CLUSTER', 'INFO') =~ /cluster_state:ok/ } 20,
        'the cluster';
    is eval { $redis->cmd('SUNION', 'canary:upstreams',
        'canary:{app}:route') }, undef, 'it minds slots';
    like $@, qr/CROSSSLOT/, 'and says so';
    all_of_it($redis, 'cluster');
};


subtest 'Valkey' => sub {
    my ($binary) = grep { -x } map { "$_/valkey-server" }
        split /:/, $ENV{PATH};
    plan skip_all => 'there is no valkey-server (Debian 12 has none)'
        unless $binary;

    all_of_it(redis(binary => $binary), 'valkey');
};

done_testing;
