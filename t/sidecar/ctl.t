# canaryctl: what it prints and the exit codes that a pipeline goes by.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $s = stack();
my ($canaryd, $nginx, $green) = @$s{qw(canaryd nginx green)};

my $load = load_start($nginx, rate => 300, connections => 24,
    seconds => 300, header => 'X-User: %d');

my $good = spew(tmpdir() . '/good.yaml', <<'YAML');
upstream: app
canary: green
version: v2
steps: [ {weight: 20, hold: 200ms}, {weight: 100, hold: 200ms} ]
bake: 200ms
on_success: keep
YAML

my $long = spew(tmpdir() . '/long.yaml', <<'YAML');
upstream: app
canary: green
steps:
  - weight: 40
    hold: 1h
YAML


sub ctl {
    my ($code, $out, $err) = canaryctl($canaryd, @_);
    my $json = eval { Canary::Test::decode($out) };

    return { code => $code, out => $out, err => $err, json => $json };
}


subtest 'usage' => sub {
    for my $case ([], ['frobnicate'], ['start', '--colour'],
        ['start', '-f'], ['abort'], ['judge'], ['watch', '--limit', '1'])
    {
        my $r = ctl(@$case);
        is $r->{code}, 2, "canaryctl @$case: exit code";
        isnt $r->{err}, '', 'and a word on stderr';
    }

    my $r = ctl('help');
    is $r->{code}, 0, 'help';
    like $r->{out}, qr/start.*abort.*judge/s, 'lists the commands';

    $r = ctl('version');
    is $r->{code}, 0, 'version';
    like $r->{out}, qr/\d+\.\d+/, 'says it';
};


subtest 'errors' => sub {
    my $r = ctl('status', 'app-0000000000');
    is $r->{code}, 1, 'no such rollout';
    isnt $r->{err}, '', 'says so';

    $r = ctl('abort', 'app-0000000000');
    is $r->{code}, 1, 'nor one to abort';

    $r = ctl('start', '-f', '/nonexistent.yaml');
    is $r->{code}, 1, 'no such file';
    like $r->{err}, qr{/nonexistent}, 'names it';

    my $wrong = spew(tmpdir() . '/wrong.yaml', "upstream: app\ncanary: [\n");
    $r = ctl('start', '-f', $wrong);
    is $r->{code}, 1, 'a broken file';
    like $r->{err}, qr/line \d|:\d/, 'says the line';

    spew($wrong, "upstream: app\ncanary: green\nsteps: [{weight: 0}]\n");
    $r = ctl('start', '-f', $wrong);
    is $r->{code}, 1, 'a wrong value';
    like $r->{err}, qr/steps\[0\]\.weight/, 'names the field';

    my ($code, undef, $err) = canaryctl('status', '--server',
        'unix:' . tmpdir() . '/nobody.sock');
    is $code, 1, 'nobody there';
    like $err, qr/nobody\.sock/, 'names the address';
};


subtest 'succeeded: 0' => sub {
    my $r = ctl('start', '--wait', '-f', $good);
    is $r->{code}, 0, 'start --wait' or diag $r->{err};
    like $r->{out}, qr/succeeded/, 'tells the end';
    is $nginx->upstream->{effective}{weights}{green}, 100, 'is at 100 %';

    my ($id) = map { $_->{id} }
        @{ $canaryd->get('/v1/rollouts')->{json}{rollouts} };
    is ctl('status', $id)->{code}, 0, 'status';
    is ctl('watch', $id)->{code}, 0, 'watch of what has ended';

    # takes the release back
    is ctl('abort', $id, '--reason', 'no')->{code}, 0, 'abort';
    is $nginx->upstream->{effective}{weights}{green}, 0, 'is at 0 %';
};


subtest 'reverted: 3' => sub {
    $green->set(error => 0.5);
    my $r = ctl('start', '--wait', '-f', $long);
    is $r->{code}, 3, 'start --wait' or diag $r->{err};
    like $r->{out} . $r->{err}, qr/evidence|guard/, 'says why';
    $green->set(error => 0);

    my ($id) = map { $_->{id} }
        @{ $canaryd->get('/v1/rollouts')->{json}{rollouts} };
    is ctl('status', $id)->{code}, 3, 'status';
    is ctl('watch', $id)->{code}, 3, 'watch';
};


subtest 'commands' => sub {
    my $r = ctl('start', '--json', '-f', $long, '--version', 'v9');
    is $r->{code}, 0, 'start' or diag $r->{err};
    is $r->{json}{version}, 'v9', 'a flag goes over the file';
    my $id = $r->{json}{id};

    $r = ctl('start', '-f', $long);
    is $r->{code}, 1, 'a second start is refused';
    like $r->{err}, qr/\Q$id\E/, 'naming the first';

    $canaryd->wait_state($id, 'progressing');

    $r = ctl('status', '--json', $id);
    is $r->{code}, 0, 'status';
    is $r->{json}{id}, $id, 'as JSON';

    $r = ctl('status');
    is $r->{code}, 0, 'status of all';
    like $r->{out}, qr/app/, 'lists the upstream';

    $r = ctl('list', '--state', 'active');
    like $r->{out}, qr/\Q$id\E/, 'list';

    $r = ctl('pause', '--json', '--upstream', 'app', '--reason', 'lunch');
    is $r->{code}, 0, 'pause';
    is $r->{json}{state}, 'paused', 'paused';
    like $r->{json}{reason}, qr/lunch/, 'for a reason';

    is ctl('pause', $id)->{code}, 1, 'not twice';
    is ctl('resume', $id, '--revision', 99999)->{code}, 1,
        'not by a stale revision';
    is ctl('resume', $id)->{code}, 0, 'resume';

    $r = ctl('promote', '--json', $id);
    is $r->{json}{state}, 'baking', 'promote';

    $r = ctl('abort', '--json', $id);
    is $r->{code}, 0, 'abort';
    is $r->{json}{abort}{confirmed}, 1, 'confirmed';

    $canaryd->wait_state($id, 'aborted');
    is ctl('promote', $id)->{code}, 1, 'nothing comes after it';
};


subtest 'start by flags, from stdin' => sub {
    my $r = ctl('start', '--json', '--upstream', 'app', '--canary',
        'green', '--step', '10:1h', '--step', '50:1h:approval');
    is $r->{code}, 0, 'by flags' or diag $r->{err};
    is $r->{json}{steps}, 2, 'two steps';
    ok $r->{json}{spec}{steps}[1]{approval}, 'with approval';
    ctl('abort', $r->{json}{id});
    $canaryd->wait_state($r->{json}{id}, 'aborted');

    $r = ctl('start', '--json', '-f', '-', { stdin => slurp($long) });
    is $r->{code}, 0, 'from stdin' or diag $r->{err};
    ctl('abort', $r->{json}{id});
};

$load->stop;

done_testing;
