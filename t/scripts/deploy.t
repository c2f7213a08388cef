# scripts/deploy and scripts/rollback with a real stack: what they do, and the
# exit codes that a pipeline goes by.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $s = stack();
my ($canaryd, $nginx, $blue, $green) = @$s{qw(canaryd nginx blue green)};
my $load = load_start($nginx, rate => 300, connections => 16,
    seconds => 600, header => 'X-User: %d');
my %env = (CANARYD => $canaryd->target, CANARYCTL => build() . '/canaryctl',
    CANARY_NGINX => $nginx->api_target . ':/canary/',
    %{ Canary::Test::sanitizer_env('canaryctl') });
my $ran = tmpdir() . '/ran';
my @quick = ('--', '--step', '50:200ms', '--step', '100:200ms', '--bake',
    '200ms');
my @slow = ('--', '--step', '40:1h');


sub script {
    my ($name, @args) = @_;

    unlink $ran;
    my ($code, $out, $err) = run(root() . "/scripts/$name", @args,
        { env => \%env, timeout => 120 });

    return { code => $code, out => $out, err => $err };
}


sub deploy {
    return script('deploy', '--upstream', 'app', '--version', 'v2', '--run',
        "echo \$CANARY_UPSTREAM \$CANARY_GROUP \$CANARY_STABLE "
        . "\$CANARY_VERSION >> $ran", @_);
}

sub stable { $nginx->upstream->{record}{stable} // 'blue' }
sub ran { -e $ran ? slurp($ran) : '' }

sub latest {
    return $canaryd->get('/v1/rollouts?limit=1')->{json}{rollouts}[0] // {};
}


# blue has all traffic and nothing is under way.

sub blue_again {
    my $id = latest()->{id} or return;

    $canaryd->command_rollout($id, 'abort');
    $canaryd->wait_state($id, 'aborted');
    wait_for { $nginx->upstream->{effective}{weights}{blue} == 100 } 10,
        'blue';
}


subtest 'usage' => sub {
    for my $case ([], ['--upstream', 'app'], ['--frob'],
        ['--upstream', 'app', '--version', 'v', '--run', 'true', '--strategy',
            'x'], ['--upstream'])
    {
        my $r = script('deploy', @$case);
        is $r->{code}, 2, "deploy @$case";
        like $r->{err}, qr/deploy: .*--help/, 'says what is wrong';
    }

    is script('rollback')->{code}, 2, 'rollback';
    is script($_, '--help')->{code}, 0, "$_ --help"
        for qw(deploy rollback health-check);
};


subtest 'what is checked before anything is changed: 1' => sub {
    my $r = script('deploy', '--upstream', 'nosuch', '--version', 'v2',
        '--run', "touch $ran");
    is $r->{code}, 1, 'no such upstream';
    like $r->{err}, qr/no node reports an upstream nosuch.*app/, 'says so';

    $r = deploy('--group', 'blue');
    is $r->{code}, 1, 'the stable group';
    $r = deploy('--group', 'red');
    is $r->{code}, 1, 'no such group';
    like $r->{err}, qr/no group red; it has blue, green/, 'what there is';

    $r = deploy('-f', spew(tmpdir() . '/bad.yaml', "steps: [{weight: 0}]\n"));
    is $r->{code}, 1, 'a spec that is wrong';
    like $r->{err}, qr/steps\[0\]\.weight/, 'names the field';
    is ran(), '', 'and nothing was run';
    is latest()->{id}, undef, 'nor started';

    $r = deploy('--dry-run', @quick);
    is $r->{code}, 0, '--dry-run' or diag $r->{err};
    is ran(), '', 'runs nothing';
    like $r->{err}, qr/would run: canaryctl start .*--step 50:200ms/, 'says';
};


subtest 'a good version: 0' => sub {
    my $r = deploy('--smoke', 'test "$CANARY_VERSION" = v2', @quick);
    is $r->{code}, 0, 'released' or diag $r->{err} . $r->{out};
    is ran(), "app green blue v2\n", 'the command knew what to do';
    unlike $r->{err} . $r->{out}, qr/\033/, 'no colour in a pipe';
    is stable(), 'green', 'is stable';
    is latest()->{version}, 'v2', 'the version';

    $r = script('rollback', '--upstream', 'app', '--dry-run');
    is $r->{code}, 0, 'rollback --dry-run';
    is stable(), 'green', 'changes nothing';
    $r = script('rollback', '--upstream', 'app', '--reason', 'a test');
    is $r->{code}, 0, 'rollback' or diag $r->{err};
    like $r->{err}, qr/1 of 1 nodes serve blue/, 'says what it did';
    is stable(), 'blue', 'blue again';
    $canaryd->wait_state(latest()->{id}, 'aborted');
    like latest()->{reason}, qr/a test/, 'and why';
};


subtest 'blue-green, rolling: 0' => sub {
    my $r = deploy('--strategy', 'blue-green', '--', '--bake', '300ms');
    is $r->{code}, 0, 'blue-green' or diag $r->{err};
    is latest()->{strategy}, 'blue-green', 'it was';
    blue_again();

    $r = deploy('-f', spew(tmpdir() . '/bg.yaml',
        "strategy: blue-green\nbake: 300ms\n"));
    is $r->{code}, 0, 'as the file says' or diag $r->{err};
    is latest()->{strategy}, 'blue-green', 'without --strategy';
    blue_again();

    $r = deploy('--strategy', 'rolling', '-f', spew(tmpdir() . '/r.yaml',
        "rolling: {by: nodes, bake: 300ms}\n"));
    is $r->{code}, 0, 'rolling' or diag $r->{err};
    is latest()->{strategy}, 'rolling', 'it was';
    blue_again();
};


subtest 'a deploy command or smoke test that fails: 3' => sub {
    my $before = latest()->{id};
    my $r = script('deploy', '--upstream', 'app', '--version', 'v3', '--run',
        'exit 7');
    is $r->{code}, 3, 'the command';
    like $r->{err}, qr/deploy command failed; users saw nothing/, 'says so';

    $r = deploy('--smoke', 'exit 1', @quick);
    is $r->{code}, 3, 'a smoke test';
    like $r->{err}, qr/smoke test failed; users saw nothing/, 'says so';
    is latest()->{id}, $before, 'nothing was started';
};


subtest 'a bad version: 3' => sub {
    $green->set(error => 0.5);
    my $r = deploy(@slow);
    is $r->{code}, 3, 'reverted' or diag $r->{err};
    like $r->{err}, qr/v2 was reverted; canaryctl explain/, 'says what next';
    is latest()->{state}, 'aborted', 'it is';
    is $nginx->upstream->{effective}{weights}{green}, 0, 'back on stable';
    $green->set(error => 0, zero => 1);
};


subtest 'not in time: 3' => sub {
    my $r = deploy('--timeout', '2s', @slow);
    is $r->{code}, 3, 'aborted' or diag $r->{err};
    like $r->{err}, qr/not done within 2s: back to blue/, 'says so';
    $canaryd->wait_state(latest()->{id}, 'aborted');
    like latest()->{reason}, qr/not done within 2s/, 'for that reason';
};


subtest 'interrupted: aborts, 3' => sub {
    for my $signal (qw(TERM INT)) {
        my $before = latest()->{id};
        my $pid = spawn(name => 'deploy', cmd => [root() . '/scripts/deploy',
            '--upstream', 'app', '--version', 'v2', '--run', 'true', @slow],
            out => tmpdir() . '/d.out', err => tmpdir() . '/d.err',
            env => \%env);

        wait_for { (latest()->{id} // '') ne $before
            && latest()->{state} eq 'progressing' } 30, 'the rollout';
        wait_for { slurp(tmpdir() . '/d.err') =~ /rollout app-/ } 10, 'it';

        my $r = deploy(@quick);
        is $r->{code}, 1, 'meanwhile it is busy';
        like $r->{err}, qr/active rollout, app-\w+; nothing was changed/,
            'says with what';
        is ran(), '', 'and runs nothing';

        kill $signal, $pid;
        my $status = reap($pid, 30);
        is $status >> 8, 3, "SIG$signal: exit code";
        like slurp(tmpdir() . '/d.err'), qr/interrupted: back to blue/,
            'says so';
        $canaryd->wait_state(latest()->{id}, 'aborted');
        like latest()->{reason}, qr/deploy was interrupted/, 'aborted';
        is $nginx->upstream->{effective}{weights}{green}, 0, 'all on blue';
    }
};


subtest 'a sick edge is left alone' => sub {
    $s->{redis}->stop;
    wait_for { $canaryd->get('/health')->{json}{status} ne 'ok' } 20, 'health';
    my $r = deploy(@quick);
    is $r->{code}, 1, 'refused';
    like $r->{err}, qr/not healthy; nothing was changed/, 'says so';
    is ran(), '', 'runs nothing';
    is script('rollback', '--upstream', 'app')->{code}, 1, 'rollback';
    $s->{redis}->start;
};

$load->stop;

done_testing;
