#!/usr/bin/perl

# The Debian packages: what is in them, what they depend on, that the module
# loads as its own configuration says, and that what they bring runs a rollout.
# They are unpacked, not installed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

plan skip_all => 'the sanitizers are not for this build' if sanitized();

for my $need (qw(dpkg-buildpackage dh_nginx)) {
    plan skip_all => "$need is missing: run scripts/deps test"
        if (run('sh', '-c', "command -v $need"))[0] != 0;
}

my $name = 'libnginx-mod-http-canary';
my $dir = tmpdir();

my ($code, $out, $err) = run('make', '-C', root(), 'deb', "BUILD=$dir/build",
    { timeout => 300 });
is $code, 0, 'the package is built' or diag $err;

my ($deb) = glob "$dir/build/deb/${name}_*.deb";
ok $deb, 'and is there' or BAIL_OUT('no package');

sub field { return (run('dpkg-deb', '-f', $deb, $_[0]))[1] }

like field('Depends'), qr/\bnginx-abi-[\d.]+-\d+\b/,
    'it goes with one binary interface of nginx';
like field('Depends'), qr/\blibcjson1\b/, 'and with what it is linked to';

run('dpkg-deb', '-R', $deb, "$dir/root");

my @files = sort grep { s{^\Q$dir\E/root/}{} && !m{^(?:DEBIAN|usr/share/doc)/} }
    map { chomp; $_ } split /^/, (run('find', "$dir/root", '-type', 'f'))[1];

is_deeply \@files, [
    'usr/lib/nginx/modules/ngx_http_canary_module.so',
    "usr/lib/tmpfiles.d/$name.conf",
    'usr/share/nginx/modules-available/mod-http-canary.conf',
], 'the module, the line that loads it, the folder of its socket';

my $postinst = slurp("$dir/root/DEBIAN/postinst");
my $prerm = slurp("$dir/root/DEBIAN/prerm");

like $postinst, qr/mod-http-canary\.conf/, 'it is enabled when installed';
like "$prerm", qr/mod-http-canary\.conf|nginx/, 'and disabled when removed';

for my $script (qw(postinst prerm postrm)) {
    is((run('sh', '-n', "$dir/root/DEBIAN/$script"))[0], 0,
        "$script is a shell script");
}

my $line = slurp("$dir/root/usr/share/nginx/modules-available/"
    . 'mod-http-canary.conf');
like $line, qr{^load_module modules/ngx_http_canary_module\.so;$},
    'the line loads it from where it is installed';

my $backend = backend(name => 'v1');
my $nginx = nginx(groups => [blue => $backend, green => $backend],
    module => "$dir/root/usr/lib/nginx/modules/ngx_http_canary_module.so",
)->start;

is $nginx->put(weights => { blue => 50, green => 50 })->{status}, 200,
    'nginx runs with it';
is $nginx->get('/')->{status}, 200, 'and answers';


# --- canaryd and canaryctl ---

# one without a record of which Redis knows nothing
$nginx->stop;
$nginx = nginx(groups => [blue => $backend, green => $backend],
    module => "$dir/root/usr/lib/nginx/modules/ngx_http_canary_module.so",
)->start;

($deb) = glob "$dir/build/deb/nginx-canary_*.deb";
ok $deb, 'the package of canaryd is there' or BAIL_OUT('no package');

like field('Depends'), qr/\b$_/, "it depends on $_"
    for qw(libhiredis libjwt libyaml libevent-core libcurl);
like field('Recommends'), qr/\bredis-server\b/, 'and recommends Redis';

my $side = "$dir/side";
run('dpkg-deb', '-R', $deb, $side);

ok -e "$side/$_", "$_ is in it" for qw(usr/sbin/canaryd usr/bin/canaryctl
    usr/lib/sysusers.d/nginx-canary.conf usr/lib/tmpfiles.d/nginx-canary.conf
    etc/nginx-canary/canaryd.yaml
    usr/share/doc/nginx-canary/examples/nginx-seed.conf);
ok !-e "$side/usr/lib/nginx", 'the module is not';

for my $page (glob root() . '/man/*.[1-8]') {
    my ($file, $section) = $page =~ m{([^/]+\.(\d))$};
    ok -e "$side/usr/share/man/man$section/$file.gz", "$file is in it";
}

is slurp("$side/DEBIAN/conffiles"), "/etc/nginx-canary/canaryd.yaml\n",
    'one file is the operator\'s';

my ($unit) = grep { -e } map { "$side/$_/systemd/system/canaryd.service" }
    qw(usr/lib lib);
like slurp($unit), qr{^ExecStart=/usr/sbin/canaryd }m, 'the unit starts it';

$postinst = slurp("$side/DEBIAN/postinst");
like $postinst, qr/systemd-sysusers.*systemd-tmpfiles/s,
    'the user is there before its folders';
unlike $postinst, qr/deb-systemd-invoke \$_dh_action|start 'canaryd/,
    'it is not started before it is configured';

for my $script (qw(postinst prerm postrm)) {
    next unless -e "$side/DEBIAN/$script";
    is((run('sh', '-n', "$side/DEBIAN/$script"))[0], 0,
        "$script is a shell script");
}

($code, $out, $err) = run("$side/usr/sbin/canaryd", '--test-config',
    '--config', "$side/etc/nginx-canary/canaryd.yaml");
is $code, 0, 'its configuration is right' or diag $err;

my $socket = "$dir/canaryd.sock";
my $api = "$nginx->{api}:/canary/";
my $pid = Canary::Process::spawn(name => 'canaryd', cmd => [
    "$side/usr/sbin/canaryd", '--config',
    "$side/etc/nginx-canary/canaryd.yaml", '--nginx', $api, '--tick', '100ms',
    '--listen', "unix:$socket", '--data-dir', "$dir/data" ],
    in => '/dev/null', out => "$dir/canaryd.out", err => "$dir/canaryd.err");

# the record that nginx has is written back to the new Redis

wait_for {
    my ($rc, $json) = run("$side/usr/bin/canaryctl", '--server',
        "unix:$socket", 'status', '--json');
    my $state = $rc == 0 ? decode($json)->{upstreams}[0] : undef;

    $state && $state->{revision}
        == $nginx->upstream->{record}{revision};
} 20, 'canaryd of the package knows what nginx serves';

my $load = load_start($nginx);
($code, $out, $err) = run("$side/usr/bin/canaryctl", '--server',
    "unix:$socket", 'start', '--upstream', 'app', '--canary', 'green',
    '--version', 'v2', '--step', '50:1s', '--step', '100', '--bake', '1s',
    '--wait');
is $code, 0, 'and canaryctl runs a release through it' or diag $out, $err;
$load->stop;

Canary::Process::stop_process($pid);
$_->stop for $nginx, $backend;

done_testing;
