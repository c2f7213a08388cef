#!/usr/bin/perl

# The module builds for Debian's nginx and, if one is at hand, for a source
# tree of nginx, as a dynamic module and into nginx itself; no tree is written
# to.  T_NGINX_SRC names a tree; /usr/src/nginx-* is found without.

use strict;
use warnings;

use File::Find ();
use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

plan skip_all => 'the sanitizers are not for this build' if sanitized();

my $backend = backend(name => 'v1');


# What is in a tree, and when it was written.

sub listing {
    my ($dir) = @_;
    my %found;

    File::Find::find({ no_chdir => 1, wanted => sub {
        $found{$_} = join ' ', (lstat $_)[7, 9];
    } }, $dir);

    return \%found;
}


sub make {
    my ($name, $tree, @targets) = @_;

    return run('make', '-C', root(), '-j2', 'BUILD=' . tmpdir() . "/$name",
        defined $tree ? "NGINX_SRC=$tree" : (), @targets, { timeout => 600 });
}


sub serves {
    my ($what, %nginx) = @_;

    my $nginx = nginx(groups => [blue => $backend, green => $backend],
        %nginx)->start;

    is $nginx->put(weights => { blue => 50, green => 50 })->{status}, 200,
        "$what: a record is put";
    is $nginx->get('/')->{status}, 200, "$what: a request is answered";

    my $groups = $nginx->upstream->{groups};
    is $groups->{blue}{strata}[0]{attempts}
        + $groups->{green}{strata}[0]{attempts}, 1, "$what: it is counted";

    $nginx->stop;
}


my ($code, $out, $err) = make('none', tmpdir(), 'module');

isnt $code, 0, 'a folder that is no tree is refused';
like $err, qr/no nginx source in "\S+": run scripts\/deps or give NGINX_SRC/,
    'and said to be none';

my ($debian) = map { m{^(.*)/conf_flags$} ? $1 : () }
    split /\n/, (run('dpkg', '-L', 'nginx-dev'))[1];

SKIP: {
    skip 'nginx-dev is not installed', 6 unless $debian;

    my $before = listing($debian);

    ($code, $out, $err) = make('debian', undef, 'module');
    is $code, 0, 'builds for nginx-dev' or diag $err;
    is_deeply listing($debian), $before, 'whose tree is as it was';

    ($code, $out, $err) = run('cc', '-fsyntax-only', '-W', '-Wall',
        '-Wno-unused-parameter', '-Werror', '-DNGX_THREADS=0',
        '-I' . tmpdir() . '/debian/objs',
        (map { "-I$_" } grep { !/win32/ } glob("$debian/src/{*,*/*,*/*/*}/")),
        glob(root() . '/src/*.c'));
    is $code, 0, 'and for an nginx without threads' or diag $err;

    serves('nginx-dev',
        module => tmpdir() . '/debian/ngx_http_canary_module.so');
}

my ($tree) = grep { -e "$_/src/core/nginx.c" }
    $ENV{T_NGINX_SRC} // (), glob('/usr/src/nginx-*');

SKIP: {
    skip 'no source tree of nginx: set T_NGINX_SRC', 10 unless $tree;

    my $before = listing($tree);

    ($code, $out, $err) = make('tree', $tree, 'module', 'static');
    is $code, 0, "builds for $tree" or diag $err;
    is_deeply listing($tree), $before, 'which is as it was';

    serves('static', binary => tmpdir() . '/tree/nginx', module => '');

    my ($version) = slurp("$tree/src/core/nginx.h")
        =~ /define NGINX_VERSION\s+"([\d.]+)"/;
    my ($here) = (run('nginx', '-v'))[2] =~ m{nginx/([\d.]+)};

    SKIP: {
        skip "nginx here is $here, the tree $version", 3
            if $here ne $version;

        serves('dynamic',
            module => tmpdir() . '/tree/ngx_http_canary_module.so');
    }
}

$backend->stop;

done_testing;
