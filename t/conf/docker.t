# docker/: what can be wrong without a daemon: paths, variables, scripts, and
# what the images' nginx is given.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;
use YAML::XS ();

my $root = root();
my $dir = tmpdir();
my $daemon = build() . '/canaryd';

my $dockerfile = slurp("$root/docker/Dockerfile") =~ s/\\\n\s*/ /gr;
my $compose = merged(YAML::XS::LoadFile("$root/docker/compose.yaml"));

# The merge keys of YAML, which YAML::XS leaves as they are.

sub merged {
    my ($node) = @_;

    return [map { merged($_) } @$node] if ref $node eq 'ARRAY';
    return $node unless ref $node eq 'HASH';

    my %own = map { $_ => merged($node->{$_}) } grep { $_ ne '<<' } keys %$node;

    return { %{ $node->{'<<'} ? merged($node->{'<<'}) : {} }, %own };
}


# --- Dockerfile ---

my (%stage, $stage);

for (split /\n/, $dockerfile) {
    if (/^FROM (\S+) AS (\S+)/) {
        ok $1 eq '${BASE}' || $stage{$1}, "$2: there is the stage $1";
        $stage = $stage{$2} = { %{ $stage{$1} // {} }, health => 0 };
        next;
    }

    $stage->{user} = $1 if /^USER (\S+)/;
    $stage->{entry} = $1 if /^ENTRYPOINT \["([^"]+)"/;
    $stage->{health} = 1 if /^HEALTHCHECK /;

    if (/^COPY (?!--from)(.+) \S+$/) {
        ok -e "$root/$_", "$_ is there to be copied" for split ' ', $1;
    }

    if (/^RUN (scripts\S+)(.*)/) {
        ok -x "$root/$1", "$1 can be run";
        my ($code, $out, $err) = run("$root/$1", '--check', split ' ', $2);
        cmp_ok $code, '<', 2, 'with what it is given' or diag $err;
    }

    ok !/^(?:ADD|ENV)\b.*(?:PASS|TOKEN|SECRET)/, 'no secret in an image'
        if /^(?:ADD|ENV)/;
}

for my $name (qw(nginx canaryd)) {
    is $stage{$name}{user}, 'canaryd', "$name runs without root";
    ok $stage{$name}{health}, 'with a health check';
    ok $stage{$name}{entry}, 'and an entry point';
}

# What both are asked for is a route, and the packages are those that are made.
like slurp("$root/sidecar/api.c"), qr{"GET", "/live"}, '/live is a route';
my $control = slurp("$root/debian/control");
like $control, qr/^Package: \Q$_\E$/m, "the package $_ is made"
    for $dockerfile =~ m{/deb/([\w-]+)_\*\.deb}g;


# --- compose ---

for my $name (sort keys %{ $compose->{services} }) {
    my $service = $compose->{services}{$name};

    ok $stage{ $service->{build}{target} }, "$name: its target is a stage";
    ok -e "$root/docker/$service->{build}{context}/"
        . $service->{build}{dockerfile}, 'of a Dockerfile that is there';
    ok $service->{restart} && $service->{read_only}
        && "@{$service->{cap_drop}}" eq 'ALL', 'restarted, confined';

    for my $on (sort keys %{ $service->{depends_on} // {} }) {
        my $other = $compose->{services}{$on};
        ok $other, "$name waits for $on";
        ok $other->{healthcheck} || $stage{ $other->{build}{target} }{health},
            'whose health is checked';
    }

    for (@{ $service->{volumes} // [] }) {
        my ($volume, $at) = split /:/;
        ok exists $compose->{volumes}{$volume}, "$name: the volume $volume";
        like $dockerfile, qr/install -d .*\Q$at\E|VOLUME .*"\Q$at\E"/,
            'is on a folder that the image has';
    }
}

my ($nginx, $canaryd) = @{ $compose->{services} }{qw(nginx canaryd)};
my %same = map { $_ => $canaryd->{environment}{$_} }
    grep { /^CANARYD_/ } keys %{ $nginx->{environment} };
is_deeply \%same, { map { /^CANARYD_/ ? ($_ => $nginx->{environment}{$_}) : () }
    keys %{ $nginx->{environment} } },
    'nginx is seeded from where its canaryd writes';

# Every variable is known to canaryd, to compose.yaml or to an entry point.
my $env = slurp("$root/docker/.env.example");
my $text = slurp("$root/docker/compose.yaml");
my %given = (
    ($text =~ /\$\{(CANARYD_\w+):-([^}]*)\}/g),
    ($env =~ /^# (CANARYD_\w+)=(.*)/mg),
);

cmp_ok scalar keys %given, '>', 6, 'settings of canaryd are given';
spew("$dir/empty.yaml", '');
my ($code, $out, $err) = run($daemon, '--test-config', '--config',
    "$dir/empty.yaml",
    { env => { %{ Canary::Test::sanitizer_env('canaryd') }, %given } });
is $code, 0, 'all of them are settings, and right' or diag $err;

for my $name ($env =~ /^# ([A-Z]\w+)=/mg) {
    next if $name =~ /^CANARYD_/;
    like $text, qr/\$\{\Q$name\E:-/, "$name is used by compose.yaml";
}

for my $name (qw(SEED SEED_WAIT)) {
    like slurp("$root/docker/nginx-entry"), qr/\$\{$name:/,
        "$name is used by the entry point";
}


# --- scripts ---

for my $script (qw(install nginx-entry backend-entry)) {
    ok -x "$root/docker/$script", "$script can be run";
    is((run('sh', '-n', "$root/docker/$script"))[0], 0, 'and is one');
}

# The entry point with a canaryctl and an nginx that say how they were called.

mkdir "$dir/bin";

for my $name (qw(canaryctl nginx)) {
    spew("$dir/bin/$name", "#!/bin/sh\necho $name \"\$@\" >> $dir/called\n"
        . ($name eq 'canaryctl' ? "exit \${SEED_RC:-0}\n" : ''));
    chmod 0755, "$dir/bin/$name";
}

sub entry {
    my (%env) = @_;

    spew("$dir/called", '');
    my ($rc) = run("$root/docker/nginx-entry",
        { env => { %env, PATH => "$dir/bin:$ENV{PATH}" } });

    return ($rc, slurp("$dir/called"));
}

my ($rc, $called) = entry();
is $rc, 0, 'the entry point';
like $called, qr{^canaryctl seed --wait=30s --if-unavailable=keep .*\nnginx }s,
    'seeds, then starts nginx';

($rc, $called) = entry(SEED => 'no');
unlike $called, qr/canaryctl/, 'SEED=no: only nginx';

($rc, $called) = entry(SEED => 'fail', SEED_RC => 1);
is $rc, 1, 'SEED=fail: no Redis';
unlike $called, qr/^nginx/m, 'no nginx';

($rc, $called) = entry(SEED => 'yes');
is $rc, 2, 'what it does not know';
is $called, '', 'starts nothing';


# --- what their nginx reads ---

sub accepted {
    my ($name, $conf) = @_;

    my $n = 0;
    $conf =~ s{^load_module .*}{}mg;
    $conf =~ s{/tmp/|/var/lib/nginx-canary/}{$dir/}g;
    $conf =~ s{listen \K[^\s;]+}{"unix:$dir/d" . $n++ . '.sock'}ge;
    $conf = 'load_module ' . build() . "/ngx_http_canary_module.so;\n$conf"
        unless ($ENV{T_MODULE} // '') eq 'static';

    spew("$dir/nginx.conf", $conf);
    my ($code, $out, $err) = run($ENV{T_NGINX} // '/usr/sbin/nginx', '-t',
        '-e', "$dir/error.log", '-p', $dir, '-c', "$dir/nginx.conf",
        { env => Canary::Test::sanitizer_env('nginx', 1) });
    is $code, 0, "$name is taken by nginx" or diag $err;
    unlink glob "$dir/d*.sock";
}

# names are resolved when nginx starts, and are only known between containers
my $app = slurp("$root/docker/app.conf") =~ s/\b(?:blue|green):8080/127.0.0.1:1/gr;
accepted('nginx.conf with app.conf', slurp("$root/docker/nginx.conf")
    =~ s{include /etc/nginx-canary/app\.conf;}{$app}r);

spew("$dir/backend.conf", slurp("$root/docker/backend.conf"));
my $entry = slurp("$root/docker/backend-entry")
    =~ s{/etc/nginx-canary/backend\.conf}{$dir/backend.conf}r
    =~ s{/tmp/backend\.conf}{$dir/backend.made}gr;
spew("$dir/backend-entry", $entry);

for my $errors (0, 20) {
    ($rc) = run('sh', "$dir/backend-entry", { env => {
        PATH => "$dir/bin:$ENV{PATH}", BACKEND_NAME => 'v2',
        BACKEND_ERRORS => $errors } });
    is $rc, 0, "a backend with $errors % errors";

    my $made = slurp("$dir/backend.made");
    like $made, qr/return 200 "v2/, 'has its name';
    is $made =~ /20% 500;/ ? 20 : 0, $errors, 'and its errors';
    accepted('its configuration', $made);
}

done_testing;
