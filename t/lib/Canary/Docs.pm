package Canary::Docs;

# The fenced blocks of the documentation, and what makes them run here.
#
#   for my $block (blocks('nginx')) {
#       subtest $block->{name} => sub { .. $block->{text} .. };
#   }
#
# A block is {file, line (of its fence), name "file:line", language, text}.
# Languages: nginx, yaml, json; sh or none are commands; console and text show
# what a program prints or a file has, and are not run.
#
#   here($text, $dir)     the absolute paths of $text below $dir/root, with
#                         the files that are named to be read made
#   nginx_conf($text, $dir)   a whole nginx.conf from a part of one

use strict;
use warnings;

use Exporter 'import';
use File::Basename qw(dirname);
use File::Find ();
use File::Path qw(make_path);

use Canary::Auth ();
use Canary::Mmdb;
use Canary::Process qw(slurp spew tmpdir);

our @EXPORT = qw(blocks here nginx_conf languages);

my %languages = map { $_ => 1 } qw(nginx yaml json sh console text);


sub files {
    my $root = Canary::Test::root();
    my @files = map { "$root/$_" } qw(README.md CONTRIBUTING.md);

    File::Find::find({ no_chdir => 1, wanted => sub {
        push @files, $_ if /\.md$/;
    } }, "$root/docs");

    return sort @files;
}


# All blocks, or those of one language.  A fence in a list is indented: so is
# its text, by as much.

sub blocks {
    my ($language) = @_;

    my $root = Canary::Test::root();
    my @blocks;

    for my $path (files()) {
        my ($block, $indent, $line);
        my $file = $path =~ s{^\Q$root\E/}{}r;

        for (split /\n/, slurp($path), -1) {
            $line++;

            if ($block && /^\s*```\s*$/) {
                push @blocks, $block;
                undef $block;

            } elsif ($block) {
                $block->{text} .= s/^ {0,$indent}//r . "\n";

            } elsif (/^( *)```\s*(\w*)/) {
                $indent = length $1;
                $block = { file => $file, line => $line, text => '',
                    name => "$file:$line", language => $2 || 'sh' };
            }
        }

        die "$block->{name}: the block has no end\n" if $block;
    }

    return grep { !$language || $_->{language} eq $language } @blocks;
}


sub languages { return \%languages }


# A self-signed certificate with its key in one file, which is right wherever
# PEM is asked for.

my $pem;

sub pem {
    return $pem if defined $pem;

    my $base = tmpdir() . '/docs';
    Canary::Auth::openssl("req -x509 -newkey rsa:2048 -nodes -days 2 "
        . "-subj /CN=edge-1 -addext subjectAltName=DNS:localhost "
        . "-keyout $base.key -out $base.crt");

    return $pem = slurp("$base.key") . slurp("$base.crt");
}


# What a file of this name has.  undef: it is not one to be read.

sub content {
    my ($path) = @_;

    # right as a password, a key, and the URL of a channel
    return "https://hooks.example/0123456789abcdef0123456789abcdef\n"
        if $path =~ /(?:password|secret|\.url|\.secret)$/;
    return pem() if $path =~ /\.(?:pem|crt|key|cert)$/;
    return slurp((Canary::Auth::tokens_file(ci => 'operator'))[0])
        if $path =~ /tokens$/;

    # what the package brings
    return slurp(Canary::Test::root() . "/conf/$1")
        if $path =~ m{^/usr/share/doc/nginx-canary/examples/(.+)};

    if ($path =~ /\.jwks$/) {
        my (undef, $public) = Canary::Auth::key_pair('rsa');
        return slurp(Canary::Auth::jwks({ ci => $public }));
    }

    return;
}


sub here {
    my ($text, $dir) = @_;

    my $place = sub {
        my ($path) = @_;

        return Canary::Nginx::module() if $path =~ /ngx_http_canary_module/;
        return $path if -f $path;           # modules, mime.types of nginx

        my $new = "$dir/root$path";
        make_path(dirname($new));
        return $new if -e $new;

        if ($path =~ /\.mmdb$/) {
            mmdb($new, ['10.1.0.0/16' => { country => { iso_code => 'NZ' },
                autonomous_system_number => 64512 }]);

        } elsif (defined(my $content = content($path))) {
            spew($new, $content);
            chmod 0600, $new;
        }

        return $new;
    };

    $text =~ s!(?<=[\s="'\[,:>])(/(?:path|var|run|etc|usr|opt|srv)/[\w./-]*\w)!
        $place->($1)!gex;

    return $text;
}


# --- nginx ---

# The directives at the top of a text: [name, whole text, block or not].

sub statements {
    my ($text) = @_;

    my @statements;
    my ($depth, $start, $name, $block) = (0, 0, undef, 0);

    pos($text) = 0;

    while ($text =~ /\G(?:(\s+|\#[^\n]*)|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
        |(\$\{\w+\}|[^\s;{}"']+)|([;{}]))/gcx)
    {
        my ($blank, $quoted, $word, $mark) = ($1, $2, $3, $4);

        if (!defined $name && defined $blank) {
            next;
        }

        if (!defined $name && defined $word) {
            ($name, $start) = ($word, $-[0]);
        }

        next unless defined $mark;

        $depth++, $block = 1 if $mark eq '{';
        $depth-- if $mark eq '}';
        die "} or ; that closes nothing\n" if $depth < 0 || !defined $name;

        if (!$depth && $mark ne '{') {
            push @statements, [$name,
                substr($text, $start, pos($text) - $start), $block];
            ($name, $block) = (undef, 0);
        }
    }

    die "the end is missing\n" if defined $name || $depth;

    return @statements;
}


my %main = map { $_ => 1 } qw(load_module http events user pid daemon
    worker_processes worker_shutdown_timeout error_log worker_rlimit_nofile
    stream);
my %in_upstream = map { $_ => 1 } qw(canary canary_key canary_cookie
    canary_force canary_rules_cookie keepalive zone);
my %in_location = map { $_ => 1 } qw(canary_api canary_metrics proxy_pass
    grpc_pass proxy_next_upstream);


# Where a directive can stand: main, http, server, location or upstream.

sub context {
    my ($name, $text, $block) = @{ $_[0] };

    return 'main' if $main{$name};
    return 'upstream' if $in_upstream{$name} || $name eq 'server' && !$block;
    return 'location' if $in_location{$name} || $name =~ /^(?:proxy|grpc)_(?!cache_path)/;
    return 'server' if $name =~ /^(?:location|listen|server_name|ssl_\w+)$/;
    return 'http';
}


# The text as a whole configuration: with the contexts that it leaves out, the
# zone, the groups and the upstream app where it only refers to them, and with
# names, ports and paths of this machine.

sub nginx_conf {
    my ($text, $dir) = @_;

    my %part = map { $_ => '' } qw(main http server location upstream);

    for my $statement (statements($text)) {
        my ($name, $all) = @$statement;

        if ($name eq 'http') {
            my ($inside) = $all =~ /\A\w+\s*\{(.*)\}\z/s;
            $part{http} .= "$inside\n";
        } else {
            $part{context($statement)} .= "$all\n";
        }
    }

    $part{upstream} = "canary zone=edge blue green;\n$part{upstream}"
        if $part{upstream} =~ /^\s*canary_/m
            && $part{upstream} !~ /^\s*canary\s/m;

    $part{server} .= "location / {\n$part{location}}\n" if $part{location};
    $part{http} .= "server {\n$part{server}}\n" if $part{server};
    $part{http} .= "upstream app {\n$part{upstream}}\n" if $part{upstream};

    my $http = $part{http};
    my %defined = map { $_ => 1 } $http =~ /\bupstream\s+(\S+)\s*\{/g;
    my %zones = map { $_ => 1 } $http =~ /\bcanary_zone\s+(\w+)/g;

    my @groups = qw(blue green);
    my $app = $defined{app} ? '' : "upstream app {\n"
        . "    canary zone=edge blue green;\n}\n";

    for ("$http$app" =~ /^\s*canary\s+([^;]*);/mg) {
        push @groups, grep { !/=/ } split;
    }

    my @named = ($http =~ m{_pass\s+(?:https?|grpcs?)://([a-z][\w-]*)[;/]}g);
    my %done;
    my $before = join '', map { "canary_zone $_ 1m;\n" }
        grep { !$zones{$_} && !$done{"zone $_"}++ }
        ("$http$app" =~ /^\s*canary\s[^;]*\bzone=(\w+)/mg);

    $before .= "upstream $_ { server 127.0.0.1:1; }\n"
        for grep { $_ ne 'app' && !$defined{$_} && !$done{$_}++ }
            @groups, @named;

    $http = "$before$http$app";

    # names that only somebody else's resolver knows
    $http =~ s/^(\s*|.*[;{]\s+)(server\s+)(?!unix:|[\d.]+[:; ])
        [\w.-]+(:\d+)(?=[^{]*;)/$1${2}127.0.0.1$3/gmx;

    my %port;
    my $port = sub {
        return $port{$_[0]} //= Canary::Test::free_port();
    };

    # without "listen" nginx takes port 80
    my $inside = qr/(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*/;
    $http =~ s!\bserver\s*\{(?=($inside)\})!
        $1 =~ /\blisten\b/ ? 'server {' : 'server { listen 80;'!gex;
    $http =~ s!\blisten\s+(?\!unix:)(?:(?:\[[^\]]*\]|[\d.]+|\*):)?(\d+)!
        'listen 127.0.0.1:' . $port->($1)!gex;

    my $main = $part{main};
    $main = 'load_module ' . Canary::Nginx::module() . ";\n$main"
        if $main !~ /ngx_http_canary_module/ && Canary::Nginx::module();
    $main .= "events {}\n" if $main !~ /^events/m;
    $main .= "pid $dir/nginx.pid;\n" if $main !~ /^pid/m;

    my $temp = join '', map { "${_}_temp_path $dir/${_}_temp;\n" }
        qw(client_body proxy fastcgi uwsgi scgi);

    return here("${main}http {\naccess_log off;\n$temp$http}\n", $dir);
}


1;
