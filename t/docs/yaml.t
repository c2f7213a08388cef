# Every YAML of the documentation: specs of rollouts, sections of canaryd.yaml.
# A part of a spec is checked in the smallest one.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Docs;
use Canary::Test;
use YAML::XS ();

my @blocks = blocks('yaml');
my %config = map { $_ => 1 }
    slurp(root() . '/docs/canaryd.md') =~ /^\| `([a-z_]+)[.`]/mg;
my $count = 0;

cmp_ok scalar @blocks, '>', 5, 'there are blocks';
cmp_ok scalar keys %config, '>', 10, 'and settings';


# What is named in a section but said in another.

sub secrets {
    my ($node, $found) = @_;

    if (ref $node eq 'HASH') {
        for my $key (keys %$node) {
            $found->{$node->{$key}} = 1
                if $key =~ /^(?:url_)?secret$/ && !ref $node->{$key};
            secrets($node->{$key}, $found);
        }
    } elsif (ref $node) {
        secrets($_, $found) for @$node;
    }

    return $found;
}


sub check {
    my ($text) = @_;

    my $doc = YAML::XS::Load($text);
    ref $doc eq 'HASH' or return (1, 'not a mapping');

    my $dir = tmpdir() . '/yaml' . $count++;
    mkdir $dir;

    if (!grep { !$config{$_} } keys %$doc) {
        my %named = %{ $doc->{jwt} ? {} : secrets($doc, {}) };
        my $given = $doc->{secrets} // {};
        my @variables = map { $_->{env} // () } values %$given;

        delete @named{keys %$given};

        if (%named) {
            my $more = join '', map {
                "  $_: {file: /etc/nginx-canary/$_.secret}\n"
            } sort keys %named;
            $text =~ s/^secrets:.*\n\K/$more/m
                or $text .= "secrets:\n$more";
        }

        my $file = spew("$dir/canaryd.yaml", here($text, $dir));
        my %env = map { $_ => 'of-the-environment' } @variables;
        my ($code, $out, $err) = run(build() . '/canaryd', '--test-config',
            '--config', $file, { env => { %env,
                %{ Canary::Test::sanitizer_env('canaryd') } } });

        return ($code, "$out$err$text") if $code;

        ($code, $out, $err) = canaryctl('lint', '--as', 'config', $file,
            { env => \%env });
        return ($code, "$out$err$text");
    }

    $text = "upstream: app\n$text" unless exists $doc->{upstream};
    $text = "canary: green\n$text"
        unless exists $doc->{canary} || exists $doc->{groups};

    my ($code, $out, $err) = canaryctl('lint', '--as', 'spec', '-',
        { stdin => $text });

    return ($code, "$out$err$text");
}


for my $block (@blocks) {
    subtest $block->{name} => sub {
        my ($code, $said) = eval { check($block->{text}) };

        is $@, '', 'is YAML';
        is $code, 0, 'is taken' or diag $said;
    };
}


subtest 'what is wrong is refused' => sub {
    for my $wrong ("stepps: [{weight: 1}]\n", "tick: 1000s\n",
        "upstream: app\ncanary: green\nbake: soon\n",
        "jwt:\n  issuer: x\n", "health: [{fall: 0}]\n")
    {
        my ($code) = check($wrong);
        isnt $code, 0, $wrong =~ s/\n/ /gr;
    }
};

done_testing;
