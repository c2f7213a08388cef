# canaryctl against a real stack: all that ctl.t has not, piped and on a
# terminal.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $s = stack();
my ($canaryd, $nginx, $blue, $green) = @$s{qw(canaryd nginx blue green)};
my $load = load_start($nginx, rate => 300, connections => 16,
    seconds => 600, header => 'X-User: %d');
my @start = ('start', '--json', '--upstream', 'app', '--canary', 'green');
my @slow = ('--step', '20:1h', '--step', '100:1h');


sub ctl {
    my ($code, $out, $err) = canaryctl($canaryd, @_);

    return { code => $code, out => $out, err => $err,
        json => scalar eval { decode($out) } };
}


sub start {
    my $r = ctl(@start, @_);

    is $r->{code}, 0, 'started' or diag $r->{err};
    return $r->{json}{id};
}


# The same on a terminal of 100 columns.

sub terminal {
    my ($env, @args) = @_;

    my $command = join ' ', 'stty cols 100 rows 30;', map { "'$_'" }
        build() . '/canaryctl', @args;

    return run('script', '-qec', $command, '/dev/null', { env => {
        CANARYD => $canaryd->target, SHELL => '/bin/sh', TERM => 'xterm',
        %{ Canary::Test::sanitizer_env('canaryctl') }, %$env } });
}


sub back {
    my ($id) = @_;

    is ctl('abort', $id, '--wait')->{code}, 0, 'abort --wait';
    is $canaryd->rollout($id)->{state}, 'aborted', 'is at its end';
}


subtest 'health' => sub {
    my $r = ctl('health');
    is $r->{code}, 0, 'ok' or diag $r->{out};
    like $r->{out}, qr/^ok +canaryd on/m, 'says so';
    like $r->{out}, qr/^ok +redis$/m, 'of each';
    is ctl('health', '--json', '--timeout', '5s')->{json}{status}, 'ok',
        'as JSON';
};


subtest 'weights, nodes' => sub {
    my $r = ctl('weights', 'app');
    is $r->{code}, 0, 'weights';
    like $r->{out}, qr/^app +blue +stable +100 % +-$/m, 'without a rollout';

    my $id = start(@slow);
    wait_for { ctl('weights', '--upstream', 'app')->{out}
        =~ /^app +green +- +20 % +(1\d|2\d)\.\d %$/m } 20,
        'about 20 % measured of 20 %';

    my ($line) = split /\n/, ctl('weights', '--json')->{out};
    my $json = decode($line);
    is $json->{intended}{green}, 20, 'as JSON: intended';
    cmp_ok $json->{measured}{green}, '>', 5, 'measured';

    $r = ctl('nodes', 'app');
    is $r->{code}, 0, 'nodes' or diag $r->{out};
    like $r->{out}, qr/^app +\Q$canaryd->{node}\E +ok +\d+/m, 'one is ok';
    is decode(ctl('nodes', '--json')->{out})->{upstream}, 'app', 'as JSON';

    $r = ctl('nodes', 'nosuch');
    is $r->{code}, 1, 'no such upstream';
    like $r->{err}, qr/nosuch.*canaryctl weights/, 'says what there is';
    is ctl('weights', 'nosuch')->{code}, 1, 'weights neither';
    back($id);
};


subtest 'approve, promote --full' => sub {
    my $id = start('--step', '10:100ms:approval', @slow, '--bake', '1h');
    $canaryd->wait_state($id, 'waiting');

    my $r = ctl('approve', $id, '--reason', 'seen');
    is $r->{code}, 0, 'approved' or diag $r->{err};
    like $r->{out}, qr/^\Q$id\E progressing: .*seen/, 'goes on';

    $r = ctl('approve', $id);
    is $r->{code}, 1, 'not twice';
    like $r->{err}, qr/does not wait for an approval/, 'says why';

    is ctl('promote', '--full', '--revision', '99999', $id)->{code}, 1,
        'a stale revision';
    is $canaryd->rollout($id)->{state}, 'progressing', 'changes nothing';

    $r = ctl('promote', '--full', '--wait', '--upstream', 'app',
        '--reason', 'enough');
    is $r->{code}, 0, 'to the end' or diag $r->{err};
    my $end = $canaryd->rollout($id);
    is $end->{state}, 'succeeded', 'succeeded at once';
    like $end->{reason}, qr/green is stable now: promoted to the end by .*enough/,
        'says how';
    wait_for { ($nginx->upstream->{record}{stable} // '') eq 'green' } 10,
        'green to be stable';
    is $nginx->upstream->{effective}{weights}{green}, 100, 'with all traffic';

    is ctl('promote', '--full', $id)->{code}, 1, 'not twice';
    is $canaryd->command_rollout($id, 'promote', { full => 'yes' })
        ->{status}, 422, 'full is a boolean';
    is $canaryd->command_rollout($id, 'approve', { full => \1 })
        ->{status}, 422, 'and of promote only';
    back($id);
    is $nginx->upstream->{record}{stable}, 'blue', 'taken back';
};


subtest 'retry, history, rollback' => sub {
    my $id = start('--version', 'v1', @slow);
    my $r = ctl('retry', $id);
    is $r->{code}, 1, 'only of what was aborted';
    back($id);

    $r = ctl('retry', $id, '--json');
    is $r->{code}, 0, 'retry' or diag $r->{err};
    isnt $r->{json}{id}, $id, 'is a new one';
    is $r->{json}{version}, 'v1', 'of the same version';
    $id = $r->{json}{id};
    is ctl('promote', '--full', $id)->{code}, 0, 'v1 is out';

    my $second = ctl('start', '--json', '--upstream', 'app', '--canary',
        'blue', '--version', 'v2', @slow);
    is $second->{code}, 0, 'v2' or diag $second->{err};
    is ctl('promote', '--full', $second->{json}{id})->{code}, 0, 'is out';

    $r = ctl('history', 'app');
    is $r->{code}, 0, 'history';
    like $r->{out}, qr/^CREATED.*\n.*\Q$second->{json}{id}\E +blue +succeeded +v2.*\n.*\Q$id\E +green +succeeded +v1/,
        'the newest first';
    is scalar(split /\n/, ctl('history', 'app', '--limit', '1')->{out}), 2,
        '--limit';

    is ctl('rollback', 'app', '--version', 'v0')->{code}, 1, 'an unknown one';
    $r = ctl('rollback', '--upstream', 'app', '--wait=60s');
    is $r->{code}, 0, 'rollback' or diag $r->{err} . $r->{out};
    like $r->{out}, qr/started: canary green.*succeeded/s, 'to v1';
    is $nginx->upstream->{record}{stable}, 'green', 'is stable';

    # as it was for what follows
    $r = ctl('rollback', 'app', '--version', 'v2', '--wait=60s');
    is $r->{code}, 0, 'and to v2' or diag $r->{err};
    is $nginx->upstream->{record}{stable}, 'blue', 'blue again';
};


subtest 'smoke' => sub {
    my $good = spew(tmpdir() . '/smoke.yaml', <<"YAML");
upstream: app
canary: green
steps: [ {weight: 10, hold: 1h} ]
smoke: [ {name: home, path: /, servers: ["@{[$green->target]}"]} ]
YAML
    my $r = ctl('start', '--json', '-f', $good);
    is $r->{code}, 0, 'started' or diag $r->{err};
    my $id = $r->{json}{id};

    $r = ctl('smoke', $id);
    is $r->{code}, 0, 'passes' or diag $r->{err} . $r->{out};
    like $r->{out}, qr/^passed +home on \S+.*^passed/ms, 'each, and all';
    is ctl('smoke', '--json', $id)->{json}{result}, 'passed', 'as JSON';
    $canaryd->wait_state($id, 'progressing');

    $green->set(error => 1);
    $r = ctl('smoke', $id);
    is $r->{code}, 1, 'fails';
    like $r->{out}, qr/^failed +home/m, 'says which';
    $green->set(error => 0, zero => 1);
    ctl('abort', $id, '--wait');

    $id = start(@slow);
    $r = ctl('smoke', $id);
    is $r->{code}, 1, 'without any';
    like $r->{err}, qr/no smoke tests/, 'says so';
    back($id);
};


subtest 'freeze' => sub {
    is ctl('freeze')->{out}, "nothing is frozen\n", 'nothing';

    my $r = ctl('freeze', 'stop', '--reason', 'storm');
    SKIP: {
        is $r->{code}, 0, 'stop' or do { diag $r->{err}; skip 'refused', 3 };
        like $r->{out}, qr/stopped by .* since .*: storm/, 'who and why';
        like ctl('freeze', 'show', '--json')->{json}{stop}{reason}, qr/storm/,
            'show';
        is ctl('freeze', 'go')->{out}, "nothing is frozen\n", 'go';
    }
};


subtest 'incidents' => sub {
    my $id = start('--step', '50:1h');
    $canaryd->wait_state($id, 'progressing');
    $green->set(error => 0.3);     # for the judge, not for the guard
    is ctl('watch', $id)->{code}, 3, 'reverted';
    $green->set(error => 0, zero => 1);

    wait_for { ctl('incidents', '--upstream', 'app', '--state', 'open')
        ->{out} =~ /app .*open/ } 20, 'an incident';
    my ($incident) = map { $_->{id} }
        @{ ctl('incidents', 'list', '--json')->{json}{incidents} };
    my $r = ctl('incidents', 'ack', $incident, '--reason', 'on it');
    is $r->{out}, "$incident acknowledged\n", 'ack' or diag $r->{err};
    is ctl('incidents', 'ack', $incident)->{code}, 1, 'not twice';
    is ctl('incidents', 'resolve', $incident)->{out}, "$incident resolved\n",
        'resolve';
    unlike ctl('incidents', '--state', 'open')->{out}, qr/\Q$incident\E/,
        'not open any more';
    is ctl('incidents', 'ack', 'nosuch')->{code}, 1, 'no such incident';

    $r = ctl('explain', $id);
    is $r->{code}, 0, 'explain';
    like $r->{out}, qr/what was decided/, 'tells it';
    is ctl('replay', $id)->{code}, 3, 'replay comes to the same';
    like ctl('events', $id)->{out}, qr/reverting/, 'events';
};


subtest 'watch, piped and --wait=TIME' => sub {
    my $id = start(@slow);
    $canaryd->wait_state($id, 'progressing');

    my $r = ctl('watch', $id, '--wait=2s');
    is $r->{code}, 4, 'the time is up';
    like $r->{err}, qr/goes on/, 'says that it goes on';
    unlike $r->{out}, qr/\033/, 'no escape sequence';
    like $r->{out}, qr/\A(\d\d:\d\d:\d\d  progressing.*\n)+\z/, 'plain lines';
    back($id);
    is ctl('watch', $id)->{code}, 3, 'what was taken back';
};


subtest 'on a terminal' => sub {
    my ($code) = run('script', '-qec', 'true', '/dev/null');
    plan skip_all => 'no script(1), or no terminals to be had here' if $code;

    my $id = start(@slow);
    $canaryd->wait_state($id, 'progressing');

    ($code, my $out) = terminal({}, 'watch', $id, '--wait=3s');
    is $code, 4, 'watch';
    like $out, qr/\033\[\d+A\r\033\[J/, 'is drawn over itself';
    like $out, qr/\033\[36mprogressing\033\[0m/, 'in colour';
    my ($up) = $out =~ /\033\[(\d+)A/;
    my @parts = split /\033\[\d+A\r\033\[J/, $out;
    cmp_ok scalar @parts, '>=', 2, 'more than once';
    is scalar(() = $parts[0] =~ /\n/g), $up, 'as many lines as there were';
    ok !(grep { length(s/\033\[[0-9;]*m//gr =~ s/\r//gr) > 100 }
        split /\n/, $parts[0]), 'that fit';

    (undef, $out) = terminal({ NO_COLOR => 1 }, 'status', $id);
    unlike $out, qr/\033/, 'NO_COLOR';
    (undef, $out) = terminal({ NO_COLOR => '' }, 'status', $id);
    like $out, qr/\033\[36mprogressing/, 'an empty one is none';
    unlike ctl('status', $id)->{out}, qr/\033/, 'no colour in a pipe';
    back($id);
};

$load->stop;

done_testing;
