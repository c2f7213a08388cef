#!/usr/bin/perl

# The Debian package: what is in it, what it depends on, and that the module
# in it loads as its own configuration says.  It is unpacked, not installed.

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

$_->stop for $nginx, $backend;

done_testing;
