package Canary::Auth;

# Tokens of both kinds, made by other means than those that are tested.
#
#   my ($file, %token) = tokens_file(ci => 'operator upstreams=app', ...)
#   jwt(alg => 'RS256', key => $pem, claims => {..}, header => {..})
#   my ($private, $public) = key_pair('rsa' | 'ec' | 'rsa1024' | 'p384')
#   jwks({ kid => $public, .. })

use strict;
use warnings;

use Digest::SHA qw(sha256_hex hmac_sha256);
use Exporter 'import';
use JSON::PP;
use MIME::Base64 qw(encode_base64url);

use Canary::Process qw(tmpdir slurp spew);

our @EXPORT = qw(tokens_file jwt key_pair jwks bearer encode_base64url);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $count = 0;


sub bearer { return (headers => { Authorization => "Bearer $_[0]" }) }


# Lines in order; the mode is 0600.

sub tokens_file {
    my @lines = @_;

    my $file = tmpdir() . '/tokens' . $count++;
    my $text = "# name role hash [upstreams=] [expires=]\n\n";
    my %token;

    while (my ($name, $rest) = splice @lines, 0, 2) {
        my ($role, @more) = split ' ', $rest;
        $token{$name} = "$name." . sha256_hex("$name $count salt");
        $text .= join(' ', $name, $role,
            'sha256:' . sha256_hex($token{$name}), @more) . "\n";
    }

    spew($file, $text);
    chmod 0600, $file;

    return ($file, %token);
}


sub openssl {
    my ($command) = @_;

    system("openssl $command >/dev/null 2>&1") == 0
        or die "openssl $command: $?";
}


sub key_pair {
    my ($kind) = @_;

    my $base = tmpdir() . '/key' . $count++;
    my %how = (
        rsa => 'RSA -pkeyopt rsa_keygen_bits:2048',
        rsa1024 => 'RSA -pkeyopt rsa_keygen_bits:1024',
        ec => 'EC -pkeyopt ec_paramgen_curve:P-256',
        p384 => 'EC -pkeyopt ec_paramgen_curve:P-384',
    );

    openssl("genpkey -algorithm $how{$kind} -out $base.key");
    openssl("pkey -in $base.key -pubout -out $base.pub");

    return ("$base.key", "$base.pub");
}


sub sign {
    my ($alg, $key, $text) = @_;

    return hmac_sha256($text, $key) if $alg =~ /^HS/;

    my $file = tmpdir() . '/sign' . $count++;
    spew("$file.in", $text);
    openssl("dgst -sha256 -sign $key -out $file.out $file.in");
    my $signature = slurp("$file.out");

    return $signature if $alg =~ /^RS/;

    # SEQUENCE of two INTEGERs, to 32 bytes each
    my @numbers;
    my $at = 2;

    for (0, 1) {
        my $len = unpack 'C', substr $signature, $at + 1, 1;
        my $number = substr $signature, $at + 2, $len;
        $at += 2 + $len;
        $number =~ s/\A\0+//;
        push @numbers, "\0" x (length $number < 32 ? 32 - length $number : 0)
            . $number;
    }

    return join '', @numbers;
}


# alg is what signs, header may say something else; key: a secret or a file.

sub jwt {
    my %opt = @_;

    my $header = { alg => $opt{alg}, typ => 'JWT', %{ $opt{header} // {} } };
    my $text = join '.', map { encode_base64url(ref $_ ? $json->encode($_)
            : $_) }
        $opt{raw_header} // $header, $opt{claims};

    return "$text." . (defined $opt{key}
        ? encode_base64url(sign($opt{alg}, $opt{key}, $text)) : '');
}


sub number {
    my ($hex) = @_;

    $hex =~ s/[^0-9a-fA-F]//g;

    return encode_base64url(pack 'H*', $hex);
}


sub jwks {
    my ($keys, $extra) = @_;

    my @list = @{ $extra // [] };

    for my $kid (sort keys %$keys) {
        my $text = `openssl pkey -pubin -in $keys->{$kid} -noout -text`;

        if ($text =~ /Modulus:\s*(.*?)\s*Exponent: (\d+)/s) {
            my ($n, $e) = ($1, $2);
            $n =~ s/[\s:]//g;
            $n =~ s/^00//;
            push @list, { kty => 'RSA', kid => $kid, use => 'sig',
                alg => 'RS256', n => number($n),
                e => number(sprintf '%06x', $e) };

        } elsif ($text =~ /pub:\s*04:(.*?)\s*ASN1/s) {
            (my $point = $1) =~ s/[\s:]//g;
            my $half = length($point) / 2;
            push @list, { kty => 'EC', kid => $kid,
                crv => $half == 64 ? 'P-256' : 'P-384',
                x => number(substr $point, 0, $half),
                y => number(substr $point, $half) };
        }
    }

    my $file = tmpdir() . '/jwks' . $count++;

    return spew($file, $json->encode({ keys => \@list }));
}


1;
