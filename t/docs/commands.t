# Every command in the documentation runs, with a real stack behind it: its own
# for each block, whose rollout is ID if one is spoken of.  What would take the
# holds of a real release has them in milliseconds.  Programs that change a
# machine or reach another (kubectl, systemctl, ssh, ..) are stand-ins that
# check what they are told; so are the scripts that build, test and measure.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Auth ();
use Canary::Docs;
use Canary::Test;
use File::Path qw(make_path);

my @blocks = blocks('sh');
my $count = 0;

my %program = (
    canaryctl => <<'SH',
# a release of minutes, in milliseconds; every server is the one that is here
args=()
quick=
for arg in "$@"; do
    case $quick in
    step) arg=${arg%%:*}:200ms ;;
    bake) arg=200ms ;;
    server) arg=$CANARYD ;;
    esac
    quick=
    case $arg in
    --step | --bake | --server) quick=${arg#--} ;;
    esac
    args+=("$arg")
done
case " $* " in
*" --follow "* | "watch "*)
    timeout 2 "$BUILD/canaryctl" "${args[@]}" || [ $? -eq 124 ] ;;
*) exec "$BUILD/canaryctl" "${args[@]}" ;;
esac
SH
    canaryd => <<'SH',
unset CANARYD CANARYD_REDIS
case " $* " in
*" -t "* | *" --test-config "* | *" --help "* | *" --version "*)
    exec "$BUILD/canaryd" "$@" ;;
esac
"$BUILD/canaryd" --config "$WORK/empty.yaml" "$@" --listen "unix:$WORK/own" &
pid=$!
trap 'kill $pid; wait $pid' EXIT
for try in {1..200}; do
    kill -0 $pid || exit 1
    curl -sf --unix-socket "$WORK/own" http://canaryd/ready >/dev/null && exit 0
    sleep 0.1
done
exit 1
SH
    kubectl => <<'SH',
case "$*" in
"get ingress -A -o yaml") cat "$WORK/ingress.yaml" ;;
*) echo "kubectl $*: unexpected" >&2; exit 2 ;;
esac
SH
    ssh => <<'SH',
[[ "$*" =~ ^-L\ [0-9]+:127\.0\.0\.1:7070\ [a-z0-9-]+$ ]] ||
    { echo "ssh $*: unexpected" >&2; exit 2; }
SH
    systemctl => <<'SH',
[[ "$*" =~ ^(start|stop|restart|reload|status|enable|disable)(\ --now)?(\ (canaryd|nginx|redis-server)(\.service)?)+$ ]] ||
    { echo "systemctl $*: unexpected" >&2; exit 2; }
SH
    'apt-get' => <<'SH',
case "$*" in
update) ;;
install\ *)
    shift
    for name in "$@"; do
        case $name in
        -* | ./*.deb) ;;
        *) grep -q "^Package: $name\$" "$ROOT/debian/control" ||
            apt-cache show "$name" >/dev/null || exit 2 ;;
        esac
    done ;;
*) echo "apt-get $*: unexpected" >&2; exit 2 ;;
esac
SH
    editor => "cp \"\$ROOT/conf/nginx-\$(basename \"\$1\")\" \"\$1\"\n",
    nginx => <<'SH',
[ "$*" = -t ] || { echo "nginx $*: unexpected" >&2; exit 2; }
cat "$WORK"/root/etc/nginx/conf.d/*.conf | perl -I "$ROOT/t/lib" -e '
    use Canary::Test;
    use Canary::Docs;
    my $nginx = nginx();
    my ($taken, $said) = $nginx->test(
        conf => nginx_conf(join("", <STDIN>), $nginx->{dir}));
    print $said;
    exit !$taken'
SH
    sudo => "exec \"\$@\"\n",
    make => "exec env -u BUILD /usr/bin/make -n -C \"\$ROOT\" \"\$@\" >/dev/null\n",
    'deploy.sh' => "[ \$# -eq 2 ]\n",
);

# A script that would build, test or measure: its options are those that it
# says it has, its files are there.
my $careful = <<'SH';
name=$(basename "$0")
help=$("$ROOT/scripts/$name" --help 2>&1 </dev/null ||
    sed -n '/^#/p' "$ROOT/scripts/$name")
for arg in "$@"; do
    case $arg in
    -*) grep -q -e "${arg%%=*}\b" <<<"$help" ||
        { echo "$name: no option $arg" >&2; exit 2; } ;;
    */*) [ -e "$ROOT/$arg" ] || { echo "$name: no $arg" >&2; exit 2; } ;;
    esac
done
SH

my $ingress = <<'YAML';
apiVersion: v1
kind: List
items:
- apiVersion: networking.k8s.io/v1
  kind: Ingress
  metadata: {name: shop, namespace: prod}
  spec: &spec
    rules:
    - host: shop.example.com
      http:
        paths:
        - path: /
          pathType: Prefix
          backend: {service: {name: shop, port: {number: 8080}}}
- apiVersion: networking.k8s.io/v1
  kind: Ingress
  metadata:
    name: shop-canary
    namespace: prod
    annotations:
      nginx.ingress.kubernetes.io/canary: "true"
      nginx.ingress.kubernetes.io/canary-weight: "10"
  spec:
    rules:
    - host: shop.example.com
      http:
        paths:
        - path: /
          pathType: Prefix
          backend: {service: {name: shop-v2, port: {number: 8080}}}
YAML
$ingress =~ s/ &spec//;


sub program {
    my ($path, $text) = @_;

    spew($path, "#!/bin/bash\nset -eu\n$text");
    chmod 0755, $path;
}


# A directory to work in, as a checkout after make.

sub work {
    my $dir = tmpdir() . '/work' . $count++;

    make_path("$dir/bin", "$dir/build", "$dir/scripts",
        "$dir/root/etc/nginx/conf.d", "$dir/root/run/nginx-canary",
        "$dir/root/var/lib/nginx-canary");
    program("$dir/bin/$_", $program{$_}) for keys %program;
    program("$dir/build/$_", $program{$_}) for qw(canaryctl canaryd);
    program("$dir/deploy.sh", $program{'deploy.sh'});

    for my $name (map { m{([^/]+)$} } glob root() . '/scripts/*') {
        if ($name =~ /^(?:deploy|rollback|health-check|common\.sh)$/) {
            symlink root() . "/scripts/$name", "$dir/scripts/$name" or die $!;
        } else {
            program("$dir/scripts/$name", $careful);
        }
    }

    spew("$dir/empty.yaml", "{}\n");
    spew("$dir/ingress.yaml", $ingress);
    spew("$dir/release.yaml", "upstream: app\ncanary: green\n");
    Canary::Auth::openssl("req -x509 -newkey rsa:2048 -nodes -days 2 "
        . "-subj /CN=edge-1 -keyout $dir/ca.key -out $dir/ca.crt");

    return $dir;
}


# (code, what was said) of the commands.

sub commands {
    my ($text) = @_;

    my $dir = work();
    my $port = free_port();
    my $s = stack(args => ['--listen', "127.0.0.1:$port"]);
    my $nginx = $s->{nginx};
    my $load = load_start($nginx, rate => 300, connections => 8,
        seconds => 600, header => 'X-User: %d');

    symlink $nginx->{dir} . '/api.sock', "$dir/root/run/nginx-canary/nginx.sock"
        or die $!;

    if ($text =~ /\bID\b|\bcanaryctl (?:pause|resume|promote|explain|abort|watch|smoke|replay)/) {
        my $rollout = $s->{canaryd}->start_rollout(steps => [
            { weight => 10, hold => '1h' }, { weight => 50, hold => '1h' }]);
        $text =~ s/\bID\b/$rollout->{id}/g;
    }

    my $web = $nginx->target;
    $text = here($text, $dir);
    $text =~ s{http://(?:127\.0\.0\.1|localhost)(?=/)}{http://$web}g;
    $text =~ s/(?:127\.0\.0\.1|localhost):7070/127.0.0.1:$port/g
        if $text =~ /\bcurl\b/;

    my $file = spew("$dir/block.sh", "set -euo pipefail\n$text");
    my ($code, $out, $err) = run('bash', '-c', "cd '$dir' && exec bash -x block.sh",
        { timeout => 90, env => {
            PATH => "$dir/bin:$ENV{PATH}", WORK => $dir, ROOT => root(),
            BUILD => build(), CANARYD => $s->{canaryd}->target,
            CANARYCTL => "$dir/bin/canaryctl",
            CANARYD_REDIS => $s->{redis}->target,
            CANARY_NGINX => $nginx->api_target . ':/canary/',
            %{ Canary::Test::sanitizer_env('canaryctl') } } });

    $load->stop;
    $s->{canaryd}->stop;
    $nginx->stop;
    $s->{redis}->stop;
    $s->{$_}->stop for qw(blue green);

    return ($code, "$out$err");
}


for my $block (blocks()) {
    ok languages()->{$block->{language}},
        "$block->{name}: $block->{language} is a language that is tested";
}

cmp_ok scalar @blocks, '>', 5, 'there are blocks';

for my $block (@blocks) {
    subtest $block->{name} => sub {
        my ($code, $said) = commands($block->{text});

        is $code, 0, 'runs' or diag $said;
    };
}


subtest 'what is wrong is seen' => sub {
    for my $wrong ('canaryctl strat --upstream app', 'kubectl delete ingress',
        'scripts/test t/module/none.t', 'make nothing-of-that-name',
        'build/canaryd --tick 1000s', 'scripts/bench --no-such-option',
        'no-such-program', 'cp /usr/share/doc/nginx-canary/none /etc/nginx/',
        'echo "canary_kee x;" > /etc/nginx/conf.d/x.conf; nginx -t')
    {
        my ($code) = commands("$wrong\n");
        isnt $code, 0, $wrong;
    }
};

done_testing;
