# Every JSON of the documentation: it parses, the routing records in it are
# taken by a real nginx, and specs by a real canaryd.  An answer may be
# abridged where its text says so: { ... }, or "...".

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Docs;
use Canary::Test;

my @blocks = blocks('json');
my %record = map { $_ => 1 } qw(revision stable canary weights salt lease_ms
    on_lapse guard rules);

cmp_ok scalar @blocks, '>', 5, 'there are blocks';


# Answers of an nginx with a record: the one that the text has is put there,
# completed with what every record needs.

sub put_record {
    my ($record) = @_;

    my $dir = tmpdir() . '/geo';
    mkdir $dir;
    my $geoip = here("canary_geoip /usr/share/GeoIP/x.mmdb;\n", $dir);
    my $nginx = nginx(groups => [map { $_ => '127.0.0.1:1' } qw(blue green)],
        http => $geoip)->start;

    # an answer says who, when and by what, a request need not
    my %put = (stable => 'blue', canary => 'green',
        weights => { blue => 90, green => 10 }, %$record);
    my $r = $nginx->put(%put);

    is $r->{status}, 200, 'nginx takes the record' or diag $r->{body};
    is_deeply $r->{json}{record}{$_}, $put{$_}, "$_ is what it serves"
        for grep { $_ ne 'revision' && $_ ne 'guard' && $_ ne 'rules' }
            sort keys %put;
    $nginx->stop;
}


sub records {
    my ($node) = @_;

    return unless ref $node eq 'HASH';
    return $node if %$node && !grep { !$record{$_} } keys %$node;
    return map { records($_) } @$node{sort grep { $_ eq 'record'
        || $_ eq 'upstreams' } keys %$node};
}


for my $block (@blocks) {
    subtest $block->{name} => sub {
        my $text = $block->{text} =~ s/\{ \.\.\.[\w ]*(?:\.\.\. )?\}/{}/gr;
        my $doc = eval { decode($text) };

        ok defined $doc, 'is JSON, but for what is left out' or diag $@;

        put_record($_) for records($doc);

        if ($doc && $doc->{spec} && %{ $doc->{spec} }) {
            my ($code, undef, $err) = canaryctl('lint', '--as', 'spec', '-',
                { stdin => encode($doc->{spec}) });
            is $code, 0, 'its spec is taken' or diag $err;
        }
    };
}

done_testing;
