# docs/ci: each file is what its program parses, as far as that can be said
# here, and each line of our scripts in it is taken by the script, which does
# its checks against a real stack (--dry-run).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Docs;
use Canary::Test;
use YAML::XS ();

my $s = stack();
my $dir = tmpdir() . '/work';
mkdir $dir;
symlink root() . '/scripts', "$dir/scripts" or die $!;
spew("$dir/release.yaml", "upstream: app\ncanary: green\nbake: 1m\n");

my %env = (CANARYD => $s->{canaryd}->target,
    CANARYCTL => build() . '/canaryctl',
    CANARY_NGINX => $s->{nginx}->api_target . ':/canary/', VERSION => 'v1.4.2',
    GITHUB_REF_NAME => 'v1.4.2', CI_COMMIT_TAG => 'v1.4.2',
    GITLAB_USER_LOGIN => 'alice',
    %{ Canary::Test::sanitizer_env('canaryctl') });


# The strings of a document, wherever they are.

sub strings {
    my ($node) = @_;

    return map { strings($_) } @$node{sort keys %$node}
        if ref $node eq 'HASH';
    return map { strings($_) } @$node if ref $node;
    return $node // ();
}


sub scripts {
    my ($path) = @_;

    my $text = slurp($path);

    if ($path =~ /\.ya?ml$/) {
        my $doc = YAML::XS::Load($text);
        return strings($doc);
    }

    # Jenkins: sh '...' and sh '''...''', where \ stands before ' and \
    my $code = $text =~ s{^\s*//.*}{}mgr;
    is +($code =~ tr/{//), ($code =~ tr/}//), 'its braces match';

    return map { s/\\(['\\])/$1/gr }
        grep { defined } $code =~ /\bsh\s+(?:'''(.*?)'''|'([^'\n]+)')/sg;
}


my @files = grep { -f } glob root() . '/docs/ci/*';

cmp_ok scalar @files, '>', 2, 'there are files';

for my $path (@files) {
    subtest $path =~ s{.*/(?=docs/)}{}r => sub {
        my @all = eval { scripts($path) };
        is $@, '', 'parses';

        my @ours = grep { m{^\s*scripts/\w+}m } @all;
        cmp_ok scalar @ours, '>', 0, 'has lines of our scripts';

        for my $command (@ours) {
            for my $part ($command =~ m{^\s*(scripts/(?:[^\n\\]|\\.|\\\n)*(?:\n\s+--[^\n]*)*)}mg) {
                $part =~ s/\\\n\s*|\n\s*/ /g;

                my $rollout;
                $rollout = $s->{canaryd}->start_rollout(
                    steps => [{ weight => 10, hold => '1h' }])
                    if $part =~ m{^scripts/rollback};
                my ($code, $out, $err) = run('bash', '-c',
                    "cd '$dir' && $part --dry-run", { env => \%env });

                is $code, 0, $part or diag "$out$err";
                unlike $err, qr/usage|unknown option|unbound variable/,
                    'as the script has it';

                next unless $rollout;
                $s->{canaryd}->command_rollout($rollout, 'abort');
                $s->{canaryd}->wait_state($rollout, 'aborted');
            }
        }
    };
}


subtest 'what is wrong is refused' => sub {
    my ($code) = run('bash', '-c',
        "cd '$dir' && scripts/deploy --upstream app --versoin x --dry-run",
        { env => \%env });
    is $code, 2, 'an option that is not there';
};

done_testing;
