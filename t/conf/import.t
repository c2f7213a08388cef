# canaryctl import-ingress: what it prints runs, and chooses as ingress-nginx
# did.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Test;

my $dir = tmpdir();
my $ctl = build() . '/canaryctl';


sub ingress {
    my ($name, $service, $path, %annotations) = @_;

    my $lines = join '', map {
        "    nginx.ingress.kubernetes.io/$_: \"$annotations{$_}\"\n"
    } sort keys %annotations;

    return <<"END";
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: $name
  namespace: prod
  annotations:
    a: b
$lines
spec:
  rules:
  - host: shop.example.com
    http:
      paths:
      - path: $path
        pathType: Prefix
        backend: {service: {name: $service, port: {number: 8080}}}
END
}


sub import_ingress {
    my ($text) = @_;

    return run($ctl, 'import-ingress', spew("$dir/ingress.yaml", $text));
}

my ($v1, $v2, $other) = map { backend(name => $_) } qw(v1 v2 other);


# An nginx with what was printed, the services being backends here.

sub serve {
    my ($conf) = @_;

    $conf =~ s/^canary_zone .*$//m;
    $conf =~ s/^ *(?:listen|server_name) .*$//mg;
    $conf =~ s/shop-v2\.prod\.svc\.cluster\.local:8080/$v2->target/eg;
    $conf =~ s/shop\.prod\.svc\.cluster\.local:8080/$v1->target/eg;
    $conf =~ s/static\.prod\.svc\.cluster\.local:8080/$other->target/eg;

    my $nginx = nginx(groups => [], workers => 1);
    my $module = build() . '/ngx_http_canary_module.so';

    $conf =~ s/^(server \{)/$1\n    listen 127.0.0.1:$nginx->{port};/m;

    $nginx->{conf} = <<"END";
daemon off;
user root;
load_module $module;
error_log $nginx->{dir}/error.log info;
pid $nginx->{dir}/nginx.pid;
events { }
http {
    access_log off;
    canary_zone edge 1m;
    $conf
    server {
        listen $nginx->{api};
        location /canary/ { canary_api; }
    }
}
END

    return $nginx->start;
}


sub who {
    my ($nginx, @headers) = @_;
    return $nginx->get('/x', @headers)->{headers}{'x-backend'};
}


my $stable = ingress('shop', 'shop', '/');
my ($code, $out, $err) = import_ingress($stable . "---\n"
    . ingress('static', 'static', '/static') . "---\n"
    . ingress('shop-canary', 'shop-v2', '/', canary => 'true',
        'canary-by-header' => 'X-Canary',
        'canary-by-cookie' => 'canary_user', 'canary-weight' => 5));

is $code, 0, 'header, cookie and weight' or diag $err;
like $out, qr/canaryctl start --upstream shop --canary shop-canary .*?--step 5\.00:/s,
    'the weight becomes the first step';

my $nginx = serve($out);

is who($nginx), 'v1', 'stable by default';
is who($nginx, 'X-Canary' => 'always'), 'v2', 'the header';
is who($nginx, Cookie => 'canary_user=always'), 'v2', 'the cookie';
is who($nginx, 'X-Canary' => 'never', Cookie => 'canary_user=always'), 'v1',
    'the header comes first';
is who($nginx, 'X-Canary' => 'maybe', Cookie => 'canary_user=always'), 'v2',
    'another value of the header leaves it to the cookie';
is $nginx->get('/static/x')->{headers}{'x-backend'}, 'other',
    'a path without canary';
$nginx->stop;

# a List, as kubectl prints it, with a value; a weight total

my $list = "apiVersion: v1\nkind: List\nitems:\n"
    . join '', map { s/^/  /mgr =~ s/^  /- /r } $stable,
    ingress('c', 'shop-v2', '/', canary => 'true',
        'canary-by-header' => 'X-User', 'canary-by-header-value' => 'tester',
        'canary-weight' => 5, 'canary-weight-total' => 1000);

($code, $out, $err) = import_ingress($list);
is $code, 0, 'a List' or diag $err;
like $out, qr/--step 0\.50:/, 'canary-weight-total';
$nginx = serve($out);
is who($nginx, 'X-User' => 'tester'), 'v2', 'the value';
is who($nginx, 'X-User' => 'always'), 'v1', 'with a value only that counts';
is who($nginx, 'X-User' => 'Tester'), 'v1', 'not in another case';
$nginx->stop;

# values that a map would take for something else, or that are none

for my $value ('default', '~t.+', 'a.b', '', 'hostnames') {
    ($code, $out, $err) = import_ingress($stable . "---\n"
        . ingress('c', 'shop-v2', '/', canary => 'true',
            'canary-by-header' => 'X-User', 'canary-by-header-value' => $value,
            'canary-by-header-pattern' => ''));
    is $code, 0, "the value '$value'" or diag $err;

    $nginx = serve($out);
    is who($nginx, 'X-User' => $value || 'always'), 'v2', 'is taken';
    is who($nginx, 'X-User' => $_), 'v1', "not '$_'" for 'test', 'aab', 'tt';
    is who($nginx), 'v1', 'nor is none';
    $nginx->stop;
}

($code, $out, $err) = import_ingress($stable . "---\n"
    . ingress('c', 'shop-v2', '/', canary => 'true', 'canary-weight' => 5,
        'canary-weight-total' => 50));
like $out, qr/--step 5(?:\.00)?:/, 'a total below 100 is passed over';

($code, $out, $err) = import_ingress($stable
    . "---\n" . ingress('c', 'shop-v2', '/', canary => 'true',
        'canary-by-header' => 'X-User', 'canary-by-header-pattern' => '^t.+r$'));
is $code, 0, 'a pattern' or diag $err;
unlike $out, qr/--step/, 'no weight, no rollout';
$nginx = serve($out);
is who($nginx, 'X-User' => 'tester'), 'v2', 'the pattern';
is who($nginx, 'X-User' => 'tester2'), 'v1', 'it does not match';
$nginx->stop;

# what cannot be taken over

my @refused = (
    ['no canary' => $stable, qr/there is no Ingress with the annotation/],
    ['no stable' => ingress('c', 'v2', '/', canary => 'true'),
        qr/no Ingress that it is the canary of/],
    ['weight' => "$stable---\n" . ingress('c', 'v2', '/', canary => 'true',
        'canary-weight' => 101), qr/canary-weight must be 0 to/],
    ['host' => $stable =~ s/shop\.example\.com/"a;b"/r, qr/host "a;b"/],
    ['path' => $stable =~ s{path: /}{path: "/{x}"}r, qr/path "\/\{x\}"/],
    ['cookie' => "$stable---\n" . ingress('c', 'v2', '/', canary => 'true',
        'canary-by-cookie' => 'a-b'), qr/no variable for a cookie/],
    ['header' => "$stable---\n" . ingress('c', 'v2', '/', canary => 'true',
        'canary-by-header' => 'a;b'), qr/only letters, digits/],
    ['value' => "$stable---\n" . ingress('c', 'v2', '/', canary => 'true',
        'canary-by-header' => 'a', 'canary-by-header-value' => 'x$y'),
        qr/quotes and line ends/],
    ['not YAML' => "a: [", qr/ingress\.yaml: /],
);

for (@refused) {
    my ($name, $text, $message) = @$_;

    ($code, $out, $err) = import_ingress($text);
    is $code, 1, "$name: refused";
    like $err, $message, "$name: says why";
    is $out, '', "$name: prints nothing";
}

is((run($ctl, 'import-ingress'))[0], 2, 'a file is needed');

done_testing;
