# make install and uninstall, and the systemd units that come with it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $root = root();
my $dir = tmpdir();

sub made {
    my @what = @_;

    my ($code, $out, $err) = run('make', '-s', '-C', $root, @what,
        'BUILD=' . build(), "DESTDIR=$dir/root");
    is $code, 0, "make $what[0]" or diag $err;
}

sub files {
    return map { s{^\Q$dir\E/root/}{}r }
        grep { length } split /\n/, (run('find', "$dir/root", '-type', 'f'))[1];
}

made('install', 'PREFIX=/opt/canary');
my %there = map { $_ => 1 } files();

ok $there{$_}, "$_ is there" for 'etc/nginx-canary/canaryd.yaml',
    map { "opt/canary/$_" } qw(sbin/canaryd bin/canaryctl
        lib/nginx/modules/ngx_http_canary_module.so
        lib/systemd/system/canaryd.service
        lib/sysusers.d/canaryd.conf lib/tmpfiles.d/canaryd.conf
        share/doc/nginx-canary/README.md
        share/doc/nginx-canary/examples/nginx-seed.conf
        share/doc/nginx-canary/examples/prometheus/rules.yml),
    map { "share/man/man" . (/(\d)$/)[0] . s{.*/}{/}r } glob "$root/man/*.[1-8]";

is((stat "$dir/root/etc/nginx-canary/canaryd.yaml")[2] & 07777, 0640,
    'others cannot read the configuration');

my ($code, $out, $err) = run("$dir/root/opt/canary/bin/canaryctl",
    '--version', { env => Canary::Test::sanitizer_env('canaryctl') });
is $code, 0, 'what is installed runs' or diag $err;

spew("$dir/root/etc/nginx-canary/canaryd.yaml", "tick: 2s\n");
made('install', 'PREFIX=/opt/canary');
is slurp("$dir/root/etc/nginx-canary/canaryd.yaml"), "tick: 2s\n",
    "the operator's file stays";


# --- the units ---

my $unit = slurp("$dir/root/opt/canary/lib/systemd/system/canaryd.service");
like $unit, qr{^ExecStart=/opt/canary/sbin/canaryd }m,
    'the unit starts what was installed';
like slurp("$dir/root/opt/canary/share/doc/nginx-canary/examples/"
    . 'nginx-seed.conf'), qr{^ExecStartPre=/opt/canary/bin/canaryctl seed }m,
    'and so does the one for nginx';

SKIP: {
    skip 'systemd-analyze is not there', 6
        if (run('sh', '-c', 'command -v systemd-analyze'))[0] != 0;

    # systemd-analyze wants programs that are there
    my $sbin = "$dir/root/opt/canary";
    mkdir "$dir/units";
    spew("$dir/units/canaryd.service", $unit =~ s{/opt/canary/}{$sbin/}gr);
    spew("$dir/units/nginx.service", "[Service]\nExecStart=/bin/true\n");
    mkdir "$dir/units/nginx.service.d";
    spew("$dir/units/nginx.service.d/seed.conf",
        slurp("$root/conf/systemd/nginx-seed.conf")
        =~ s{/usr/bin/}{$sbin/bin/}gr);

    for my $name (qw(canaryd nginx)) {
        ($code, $out, $err) = run('systemd-analyze', 'verify', '--man=no',
            "$dir/units/$name.service");
        is $code, 0, "$name.service is right" or diag $err;
        is join('', grep { m{\Q$dir\E|\b$name} } split /^/, $err), '',
            'and nothing is said about it';
    }

    ($code, $out, $err) = run('systemd-analyze', 'security', '--offline=true',
        '--no-pager', '--threshold=20', "$dir/units/canaryd.service");
    is $code, 0, 'its exposure is at most 2.0' or diag $out, $err;
    diag $1 if $ENV{T_SHOW} && $out =~ /(Overall exposure.*)/;

    # no line is left out as one that systemd does not know
    spew("$dir/units/wrong.service", $unit =~ s{/opt/canary/}{$sbin/}gr
        =~ s{^ProtectHome=}{ProtectHouse=}mr);
    ($code, $out, $err) = run('systemd-analyze', 'verify', '--man=no',
        "$dir/units/wrong.service");
    like $err, qr/ProtectHouse/, 'and one that it does not know is said';
}


# --- and gone ---

made('uninstall', 'PREFIX=/opt/canary');
is_deeply [files()], ['etc/nginx-canary/canaryd.yaml'],
    'uninstall leaves what is the operator\'s';

done_testing;
