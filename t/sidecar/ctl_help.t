# canaryctl without any server: help, completion, the man page, lint, wrong
# usage.  All but lint come from one table.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $tmp = tmpdir();


sub ctl {
    my ($code, $out, $err) = canaryctl(@_);

    return { code => $code, out => $out, err => $err };
}

my $all = ctl('help', '--all')->{out};
my @commands = $all =~ /^canaryctl (\S+)/mg;
my %seen;
@commands = grep { !$seen{$_}++ } @commands;


subtest 'help' => sub {
    my $r = ctl('help');
    is $r->{code}, 0, 'help';
    is ctl('--help')->{out}, $r->{out}, '--help is the same';
    cmp_ok scalar(split /\n/, $r->{out}), '<=', 50, 'one screen';
    ok !(grep { length > 80 } split /\n/, $r->{out}), 'of 80 columns';

    my %asked = map { $_ => 1 } qw(start list status watch abort pause resume
        promote approve rollback retry history explain replay simulate judge
        lint smoke weights nodes freeze incidents events health seed token
        import-ingress completion version help);
    is_deeply [sort @commands], [sort keys %asked], 'the commands';

    for my $command (sort keys %asked) {
        like $r->{out}, qr/^  \Q$command\E /m, "$command: listed";

        my $of = ctl('help', $command);
        is $of->{code}, 0, 'help of it';
        like $of->{out}, qr/\Ausage: canaryctl \Q$command\E/, 'its usage';
        like $of->{out}, qr/^example\n  .*canaryctl/m, 'an example';
        like $of->{out}, qr/--json/, 'flags';
        ok !(grep { length > 80 && !/^  \S+ctl|^  kubectl|^  source/ }
            split /\n/, $of->{out}), 'fits';
        is ctl($command, '--help')->{out}, $of->{out}, '--help is the same';
    }

    like $all, qr/exit codes.*0 done.*3 the rollout was taken back/s,
        'exit codes';
    like $all, qr/NO_COLOR/, 'environment';
};


subtest 'wrong usage: 2, and what to do' => sub {
    for my $case (
        [[], qr/usage: canaryctl COMMAND/],
        [['prmote'], qr/do you mean promote\?/],
        [['frobnicate'], qr/unknown command.*canaryctl help/],
        [['help', 'strat'], qr/do you mean start\?/],
        [['start', '--upstraem', 'x'], qr/do you mean --upstream\?.*help start/],
        [['watch', '--limit', '1'], qr/watch takes no --limit/],
        [['list', '--limit'], qr/needs a value.*help list/],
        [['list', '--limit', '1000'], qr/--limit: must be 1 to 100/],
        [['list', '-x'], qr/unknown flag -x/],
        [['list', '-f', 'x'], qr/unknown flag -f/],
        [['list', 'x'], qr/unexpected argument "x".*help list/],
        [['start'], qr/give -f SPEC.yaml, or/],
        [['abort'], qr/give its ID, or --upstream/],
        [['abort', 'x', '--revision', '1'], qr/it always wins/],
        [['history'], qr/which upstream/],
        [['rollback'], qr/which upstream/],
        [['rollback', 'a', '--upstream', 'b'], qr/once/],
        [['incidents', 'ack'], qr/which\? canaryctl incidents/],
        [['incidents', 'frob', 'x'], qr/must be list, ack ID or resolve ID/],
        [['freeze', 'frob'], qr/must be show, stop or go/],
        [['completion'], qr/bash or zsh/],
        [['completion', 'fish'], qr/bash or zsh/],
        [['lint'], qr/give the FILE/],
        [['start', '--wait=soon'], qr/--wait: must be a duration/],
        [['pause', 'x', '--reason', 'y' x 201], qr/--reason: at most 200/])
    {
        my $r = ctl(@{ $case->[0] });
        my @shown = map { substr $_, 0, 20 } @{ $case->[0] };
        is $r->{code}, 2, "canaryctl @shown";
        like $r->{err}, $case->[1], 'says what is wrong';
        is $r->{out}, '', 'and nothing else';
    }

    is ctl('version')->{out}, ctl('--version')->{out}, 'version';
    is decode(ctl('version', '--json')->{out})->{version},
        (split ' ', ctl('version')->{out})[1], 'as JSON';
};


subtest 'nobody there: 1' => sub {
    my @nobody = ('--server', "unix:$tmp/nobody.sock");

    for my $case (['list'], ['status'], ['watch', 'app-1'], ['abort', 'a-1'],
        ['promote', '--full', 'a-1'], ['approve', 'a-1'], ['retry', 'a-1'],
        ['rollback', 'app'], ['history', 'app'], ['weights'], ['nodes'],
        ['events', 'a-1'], ['explain', 'a-1'], ['replay', 'a-1'],
        ['smoke', 'a-1'], ['health'], ['incidents'], ['freeze'],
        ['freeze', 'stop'], ['incidents', 'ack', 'x'])
    {
        next if $case->[0] eq 'watch';       # which is patient
        my $r = ctl(@$case, @nobody);
        is $r->{code}, 1, "@$case";
        like $r->{err}, qr/cannot reach canaryd.*nobody\.sock.*--server/s,
            'says where, and what to do';
    }
};


sub lint {
    my ($text, @flags) = @_;

    return ctl('lint', spew("$tmp/lint.yaml", $text), @flags);
}


subtest 'lint' => sub {
    my $r = lint("upstream: app\ncanary: green\n");
    is $r->{code}, 0, 'a good spec' or diag $r->{err};
    like $r->{out}, qr/good \(a spec\)/, 'says so';

    for my $case (
        ["upstream: app\ncanary: green\nsteps: [{weight: 0}]\n",
            qr/steps\[0\]\.weight/],
        ["upstream: app\ncanary: green\nbakes: 1s\n", qr/bakes/],
        ["upstream: app\n", qr/canary/],
        ["upstream: app\ncanary: green\nsmoke: [{name: x, path: home}]\n",
            qr/smoke\[0\]\.path/],
        ["upstream: [\n", qr/line \d|:\d/],
        ["- a\n", qr/mapping/],
        ["node: edge-1\ntick: 0\n", qr/tick/],
        ["redis: {adress: x}\n", qr/redis.adress|adress/],
        ["alerts: {rules: [{action: frob}]}\n", qr/alerts\.rules\[0\]/])
    {
        $r = lint($case->[0]);
        is $r->{code}, 1, 'refused: ' . ($case->[0] =~ s/\n.*//rs);
        like $r->{err}, $case->[1], 'names the field';
        like $r->{err}, qr/lint\.yaml/, 'and the file';
    }

    $r = lint("node: edge-1\ntick: 500ms\n");
    is $r->{code}, 0, 'a good configuration' or diag $r->{err};
    like $r->{out}, qr/configuration/, 'is taken as one';
    is ctl('lint', root() . '/conf/canaryd.yaml')->{code}, 0, 'ours';

    is lint("{}\n", '--as', 'spec')->{code}, 1, '--as spec';
    is lint("{}\n", '--as', 'config')->{code}, 0, '--as config';
    is ctl('lint', "$tmp/none.yaml")->{code}, 1, 'no file';

    is ctl('lint', '-', { stdin => "upstream: app\ncanary: green\n" })
        ->{code}, 0, 'from stdin';

    $r = decode(lint("upstream: app\n", '--json')->{out});
    ok !$r->{ok}, 'as JSON';
    like $r->{error}, qr/canary/, 'with the field';
};


# What bash would offer for a line; the word at the cursor is the last one.

sub complete {
    my (@words) = @_;

    spew("$tmp/words", join '', map { "$_\n" } @words);
    my ($code, $out, $err) = run('bash', '-c', <<'BASH', 'x', $tmp);
source "$1/canaryctl.bash" || exit 1
mapfile -t COMP_WORDS < "$1/words"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_canaryctl
printf '%s\n' "${COMPREPLY[@]}"
BASH
    is $code, 0, "completion runs: @words" or diag $err;
    is $err, '', 'in silence';

    return { map { $_ => 1 } grep { length } split /\n/, $out };
}


subtest 'completion' => sub {
    my $bash = spew("$tmp/canaryctl.bash", ctl('completion', 'bash')->{out});
    my ($code, $out, $err) = run('bash', '-n', $bash);
    is $code, 0, 'bash -n' or diag $err;

    ($code, $out) = run('bash', '-c', "source $bash; complete -p canaryctl");
    is $code, 0, 'complete -p';
    like $out, qr/_canaryctl canaryctl/, 'knows it';

    is_deeply complete('canaryctl', ''), { map { $_ => 1 } @commands },
        'all commands';
    is_deeply complete('canaryctl', 'pro'), { promote => 1 }, 'by a part';
    ok complete('canaryctl', 'promote', '--f')->{'--full'}, 'a flag';
    ok !complete('canaryctl', 'abort', '--r')->{'--revision'},
        'of that command';
    is_deeply complete('canaryctl', '--server', 'x', 'incidents', 'a'),
        { ack => 1 }, 'a word, after a flag with a value';
    is_deeply complete('canaryctl', 'token', 'x', '--role', 'o'),
        { operator => 1 }, 'values of a flag';
    is_deeply complete('canaryctl', 'token', 'x', '--role', '=', 'o'),
        { operator => 1 }, 'with =';
    is_deeply complete('canaryctl', 'incidents', '--state', ''),
        { map { $_ => 1 } qw(open acknowledged resolved) },
        'of this command where several have one of the name';
    is_deeply complete('canaryctl', 'help', 'sim'), { simulate => 1 },
        'help';
    ok complete('canaryctl', 'lint', "$tmp/cana")->{"$tmp/canaryctl.bash"},
        'files';

    my $zsh = ctl('completion', 'zsh')->{out};
    like $zsh, qr/\A#compdef canaryctl\n/, 'zsh';
    like $zsh, qr/'\Q$_\E:/, "zsh: $_" for @commands;

    SKIP: {
        ($code) = run('sh', '-c', 'command -v zsh');
        skip 'no zsh here', 1 if $code;
        ($code, $out, $err) = run('zsh', '-n',
            spew("$tmp/_canaryctl", $zsh));
        is $code, 0, 'zsh -n' or diag $err;
    }
};


subtest 'man pages' => sub {
    is slurp(root() . '/man/canaryctl.1'), ctl('help', '--man')->{out},
        'man/canaryctl.1 is what canaryctl help --man says';

    for my $page (qw(canaryctl.1 canaryd.8 canaryd.yaml.5
        ngx_http_canary_module.5))
    {
        my ($code, $out, $err) = run('groff', '-ww', '-man', '-Tascii', '-P-bcou',
            root() . "/man/$page");
        is $code, 0, "$page: groff";
        is $err, '', 'no warning';
        like $out, qr/SEE ALSO/, 'it is whole';
    }

    my $page = slurp(root() . '/man/ngx_http_canary_module.5') =~ tr/\\//dr;
    my $module = slurp(root() . '/src/ngx_http_canary_module.c');
    like $page, qr/^\.B \Q$_\E /m, "$_ is described"
        for $module =~ /\{ ngx_string\("(canary\w*)"\)/g;

    $page = slurp(root() . '/man/canaryd.yaml.5');
    my %keys = map { $_ => 1 }
        slurp(root() . '/conf/canaryd.yaml') =~ /^# ([a-z_]+):/mg;
    delete @keys{qw(canaryd embedded)};      # begin sentences
    like $page, qr/^\.B \Q$_\E$/m, "$_ is described" for sort keys %keys;

    $page = slurp(root() . '/man/canaryd.8') =~ tr/\\//dr;
    my (undef, $usage) = run(build() . '/canaryd', '--help');
    like $page, qr/^\.B .*\Q$_\E\b/m, "$_ is described"
        for $usage =~ /(--[a-z-]+)/g;
};

done_testing;
