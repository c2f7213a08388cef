package Canary::Prometheus;

# Reads Prometheus text, format 0.0.4, and says what is wrong with it.

use strict;
use warnings;

my $name = qr/[a-zA-Z_:][a-zA-Z0-9_:]*/;
my $number = qr/[+-]?(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|Inf)|NaN/;


# (families by sample name, errors); a family has type, help and samples,
# which have name, labels and value.

sub parse {
    my ($text) = @_;

    my (%family, %by_sample, %seen, @errors, $current);

    push @errors, 'the last line has no end' if $text !~ /\n\z/;

    for my $line (split /\n/, $text) {

        if ($line =~ /^# (HELP|TYPE) ($name) (.+)$/) {
            my ($what, $n, $rest) = ($1, $2, $3);

            push @errors, "$what of $n twice"
                if defined $family{$n}{lc $what};
            $family{$n}{lc $what} = $rest;
            $current = $n;

            push @errors, "type $rest of $n" if $what eq 'TYPE'
                && $rest !~ /^(?:counter|gauge|histogram|summary|untyped)$/;
            next;
        }

        next if $line =~ /^#/ || $line eq '';

        unless ($line =~ /^($name)(?:\{(.*)\})? ($number)$/) {
            push @errors, "not a sample: $line";
            next;
        }

        my ($n, $labels, $value) = ($1, $2 // '', $3);

        push @errors, "$line twice" if $seen{"$n\{$labels}"}++;

        my %labels;

        while ($labels =~ /\G($name)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/gc) {
            push @errors, "label $1 twice in $line" if exists $labels{$1};
            $labels{$1} = $2;
        }

        push @errors, "labels: $line" if (pos $labels // 0) < length $labels;

        (my $base = $n) =~ s/_(?:bucket|sum|count)$//;
        my $f = $family{$n} ? $n : $base;

        if (!$family{$f} || !$family{$f}{type} || !$family{$f}{help}) {
            push @errors, "$n has no HELP and TYPE";
            next;
        }

        push @errors, "$n is not with its family" if $current ne $f;
        push @errors, "$n is a counter without _total"
            if $family{$f}{type} eq 'counter' && $n !~ /_total$/;
        push @errors, "$n is negative"
            if $family{$f}{type} ne 'gauge' && $value < 0;

        my $sample = { name => $n, labels => \%labels, value => $value };

        push @{ $family{$f}{samples} }, $sample;
        push @{ ($by_sample{$n} //= { type => $family{$f}{type} })
            ->{samples} }, $sample;
    }

    for my $f (grep { ($family{$_}{type} // '') eq 'histogram' }
            sort keys %family) {
        push @errors, check_histogram($f, $family{$f}{samples} // []);
    }

    return (\%by_sample, @errors);
}


# Buckets grow with le, and the last is _count.

sub check_histogram {
    my ($name, $samples) = @_;

    my (%series, @errors);

    for my $s (@$samples) {
        my %l = %{ $s->{labels} };
        my $le = delete $l{le};
        my $key = join ',', map { "$_=$l{$_}" } sort keys %l;

        if ($s->{name} eq "${name}_bucket") {
            push @{ $series{$key}{buckets} }, [$le, $s->{value}];
        } else {
            $series{$key}{$s->{name}} = $s->{value};
        }
    }

    for my $key (sort keys %series) {
        my $h = $series{$key};
        my ($le, $count) = (-1, 0);

        for (@{ $h->{buckets} }) {
            my $bound = $_->[0] eq '+Inf' ? 9**9**9 : $_->[0];

            push @errors, "$name $key: le $_->[0]" if $bound <= $le;
            push @errors, "$name $key: bucket $_->[0] shrinks"
                if $_->[1] < $count;
            ($le, $count) = ($bound, $_->[1]);
        }

        push @errors, "$name $key: no +Inf" if $le != 9**9**9;
        push @errors, "$name $key: _count is not the last bucket"
            if ($h->{"${name}_count"} // -1) != $count;
        push @errors, "$name $key: no _sum"
            unless defined $h->{"${name}_sum"};
    }

    return @errors;
}

1;
