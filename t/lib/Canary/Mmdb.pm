package Canary::Mmdb;

# Writes MaxMind databases for tests: a search tree of 24-bit records over IPv6
# (IPv4 below ::/96) or IPv4 alone, as https://maxmind.github.io/MaxMind-DB/
# has it.
#
#   mmdb("$dir/x.mmdb", ['10.1.0.0/16' => {country => {iso_code => 'NZ'}}, ..],
#       ip_version => 4)
#
# Values are hashes, strings and whole numbers; later networks lie over
# earlier ones.

use strict;
use warnings;

use Exporter 'import';
use Socket qw(inet_pton AF_INET AF_INET6);

our @EXPORT = qw(mmdb);


sub mmdb {
    my ($path, $networks, %opt) = @_;

    my $version = $opt{ip_version} // 6;
    my @nodes = ([undef, undef]);
    my ($data, %known) = ('');
    my @list = @$networks;

    while (my ($network, $value) = splice @list, 0, 2) {
        my ($address, $bits) = split m{/}, $network;
        my $packed = $address =~ /:/ ? inet_pton(AF_INET6, $address)
            : inet_pton(AF_INET, $address);

        if ($version == 6 && length $packed == 4) {
            $packed = "\0" x 12 . $packed;
            $bits += 96;
        }

        my $encoded = encode($value);

        unless (exists $known{$encoded}) {
            $known{$encoded} = length $data;
            $data .= $encoded;
        }

        insert(\@nodes, unpack("B$bits", $packed), \$known{$encoded});
    }

    my $count = @nodes;
    my $record = sub {
        my ($to) = @_;

        my $number = !defined $to ? $count
            : ref $to ? $count + 16 + $$to : $to;
        return substr pack('N', $number), 1;
    };
    my $tree = join '', map { $record->($_->[0]) . $record->($_->[1]) } @nodes;

    my $meta = encode({
        node_count => [uint32 => $count],
        record_size => [uint16 => 24],
        ip_version => [uint16 => $version],
        database_type => $opt{type} // 'Test',
        languages => [],
        binary_format_major_version => [uint16 => 2],
        binary_format_minor_version => [uint16 => 0],
        build_epoch => [uint64 => 1700000000],
        description => {},
    });

    # beside, and moved over: who has the old one mapped keeps it

    open my $fh, '>:raw', "$path.new" or die "$path.new: $!";
    print $fh $tree, "\0" x 16, $data, "\xab\xcd\xefMaxMind.com", $meta;
    close $fh or die "$path.new: $!";
    rename "$path.new", $path or die "$path: $!";

    return $path;
}


# A branch is the number of a node; a leaf a reference to the offset.

sub insert {
    my ($nodes, $bits, $leaf) = @_;

    my @bits = split //, $bits;
    my $last = pop @bits;
    my $node = 0;

    for my $bit (@bits) {
        my $next = $nodes->[$node][$bit];

        if (!defined $next || ref $next) {
            push @$nodes, [$next, $next];
            $next = $nodes->[$node][$bit] = $#$nodes;
        }

        $node = $next;
    }

    $nodes->[$node][$last] = $leaf;
}


# A string, a number (what looks like one, or [type => number]), a hash, an
# empty list.

my %types = (uint16 => 5, uint32 => 6, uint64 => 9);

sub encode {
    my ($value, $is_key) = @_;

    if (ref $value eq 'HASH') {
        return control(7, scalar keys %$value) . join '',
            map { encode($_, 1) . encode($value->{$_}) } sort keys %$value;
    }

    if (ref $value eq 'ARRAY') {
        return control(11, 0) unless @$value;

        (my $bytes = pack 'N', $value->[1]) =~ s/^\0+//;
        return control($types{ $value->[0] }, length $bytes) . $bytes;
    }

    return encode([uint32 => $value]) if $value =~ /^\d+$/ && !$is_key;

    die 'a long string' if length $value > 28;

    return control(2, length $value) . $value;
}


sub control {
    my ($type, $size) = @_;

    return $type < 8 ? chr($type << 5 | $size) : chr($size) . chr($type - 7);
}


1;
