# docs/canaryd.md against canaryd: every setting is there, with the variable,
# the flag and the default that it has; and the files in conf/ are taken.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $root = root();
my $dir = tmpdir();
my $daemon = build() . '/canaryd';

spew("$dir/empty.yaml", '');

# canaryd --test-config with variables over a file, and flags over both.

sub try {
    my ($env, @args) = @_;

    my @file = grep({ $_ eq '--config' } @args) ? ()
        : ('--config', "$dir/empty.yaml");

    return run($daemon, '--test-config', @file, @args,
        { env => { %{ Canary::Test::sanitizer_env('canaryd') }, %$env } });
}


# --- the table ---

my %documented;

for (split /\n/, slurp("$root/docs/canaryd.md")) {
    my ($key, $variable, $flag, $default) =
        /^\| `([a-z_.]+)` \| `(\w+)` \|\s*(?:`--([a-z-]+)`)?\s*\|\s*(.*?)\s*\|/
        or next;

    is $variable, 'CANARYD_' . (uc $key =~ s/\./__/r), "$key: its variable";
    $documented{$key} = { variable => $variable, flag => $flag,
        default => $default =~ /^`(.*)`$/ ? $1 : undef };
}

# The tables of the source.  NULL: no flag.
my %real;
my $keys = slurp("$root/sidecar/config_keys.c");
my ($table) = $keys =~ /config_keys\[\] = \{\n(.*?)\n\};/s;
$real{$1} = $2
    while $table =~ /\{ "([a-z_.]+)",\s+(?:"([a-z-]+)"|NULL),/g;

my ($sections) = slurp("$root/sidecar/around/settings.c")
    =~ /settings_sections\[\] = \{(.*?)\}/s;
$real{$_} = undef for my @sections = $sections =~ /"(\w+)"/g;

cmp_ok scalar keys %real, '>', 40, 'the tables of the source are read';
is_deeply [sort keys %documented], [sort keys %real],
    'every setting is documented, and none that is not there';

my ($code, $help) = run($daemon, '--help');
my $example = slurp("$root/conf/canaryd.yaml");

for my $key (sort keys %real) {
    my $is = $documented{$key} or next;

    is $is->{flag}, $real{$key}, "$key: its flag, if it has one";
    like $help, qr/--\Q$real{$key}\E /, "$key: --help has it"
        if defined $real{$key};

    my ($last) = $key =~ /(\w+)$/;
    like $example, qr/\b\Q$last\E:/, "$key: conf/canaryd.yaml has it"
        unless $key =~ /^redis\.(?:address|password_file)$/;

    # Reaches its setting: what none of them takes is refused by its name.
    my ($rc, undef, $err) = try({ $is->{variable} => "\x01" });
    is $rc, 2, "$key: its variable is read" or diag $err;
    like $err, qr/\Q$last\E/, "$key: and its error names it";

    next unless defined $is->{default};

    # jwt.* only counts with keys, and so on.
    my %with = $key =~ /^jwt\./ ? (CANARYD_JWT__SECRET => "$dir/secret",
            CANARYD_JWT__ISSUER => 'i', CANARYD_JWT__AUDIENCE => 'a')
        : $key =~ /^auth\./ ? (CANARYD_AUTH__TOKENS => "$dir/tokens") : ();

    # the quotes are YAML's
    ($rc, undef, $err) = try({ %with,
        $is->{variable} => $is->{default} =~ s/^"(.*)"$/$1/r });
    is $rc, 0, "$key: its default is one" or diag $err;
}

# The defaults are those that canaryd.yaml names.
for my $key (grep { defined $documented{$_}{default} && !/\./ }
    sort keys %documented)
{
    next if $key eq 'listen';          # a list of lines there
    like $example, qr/^# $key: \Q$documented{$key}{default}\E(?:\s|$)/m,
        "$key: the same default in conf/canaryd.yaml";
}


# --- the files ---

($code, my $out, my $err) = run('openssl', 'req', '-x509', '-newkey',
    'rsa:2048', '-nodes', '-subj', '/CN=localhost', '-days', '1', '-keyout',
    "$dir/key", '-out', "$dir/crt");
is $code, 0, 'a certificate' or diag $err;

mkdir "$dir/etc";
spew("$dir/etc/redis.password", "hunter2\n");
spew("$dir/etc/chat.url", "https://chat.example/hook\n");
spew("$dir/etc/pagerduty.key", "0123456789abcdef\n");
chmod 0600, glob "$dir/etc/*";

for my $file (glob "$root/conf/canaryd*.yaml") {
    my ($name) = $file =~ m{([^/]+)$};
    my $text = slurp($file);

    $text =~ s{/etc/nginx-canary/}{$dir/etc/}g;
    spew("$dir/$name", $text);

    ($code, $out, $err) = try({}, '--config', "$dir/$name");
    is $code, 0, "$name is taken" or diag $err;

    ($code, $out, $err) = try({ CANARYD_TICK => '1h' }, '--config',
        "$dir/$name");
    is $code, 2, "$name: the environment is over it";
    like $err, qr/tick/, 'and the error names it';
}

for my $file (glob "$root/conf/nginx-*.conf") {
    my ($name) = $file =~ m{([^/]+)$};
    my $text = slurp($file);
    my $module = ($ENV{T_MODULE} // '') eq 'static' ? ''
        : 'load_module ' . build() . '/ngx_http_canary_module.so;';

    # a place of its own, since nginx -t opens what it is to listen on
    my $n = 0;
    $text =~ s{listen \K(?:unix:)?[^\s;]+}{"unix:$dir/n" . $n++ . '.sock'}ge;
    $text =~ s{(ssl_certificate(_key)?\s+)[^\s;]+}
        {$1 . "$dir/" . ($2 ? 'key' : 'crt')}ge;
    $text =~ s{state=\S+/}{state=$dir/}g;
    $text =~ s{^pid .*}{}mg;
    $text =~ s{^load_module .*}{}mg;

    $text = "events {}\nhttp {\naccess_log off;\n$text\n}"
        unless $text =~ /^http \{/m;

    spew("$dir/$name", "$module\npid $dir/pid;\n$text");

    ($code, $out, $err) = run($ENV{T_NGINX} // 'nginx', '-t', '-e',
        "$dir/error.log", '-p', $dir, '-c', "$dir/$name",
        { env => Canary::Test::sanitizer_env('nginx', 1) });
    is $code, 0, "$name is taken by nginx" or diag $err;
    unlink glob "$dir/n*.sock";
}

done_testing;
