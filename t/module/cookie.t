#!/usr/bin/perl

# canary_cookie: who brings no id is given one, and it is the key already.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my $dir = tmpdir();
my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $dead = free_port();

my $nginx = nginx(
    groups => [blue => $blue, green => $green],
    key => '',
    app => 'canary_cookie cid expires=30d domain=example.com path=/shop '
        . 'secure httponly samesite=lax;',
    location => <<'CONF',
add_header X-Id $canary_id always;
add_header X-Bucket $canary_bucket always;
add_header X-Group $canary_group always;
proxy_set_header X-Id $canary_id;
proxy_set_header X-Bucket $canary_bucket;
CONF
    upstreams => <<CONF,
upstream plain { canary zone=edge blue green; canary_cookie pid; }
upstream same { canary zone=edge green blue; canary_cookie pid; }
upstream gone { canary zone=edge nobody blue; canary_cookie pid; }
upstream nobody { server 127.0.0.1:$dead; }
upstream keyed { canary zone=edge blue green; canary_key \$http_x_user; }
proxy_cache_path $dir/cache keys_zone=cache:1m;
CONF
    server => <<'CONF',
location /plain { proxy_pass http://plain/; add_header X-Id $canary_id; }
location /gone { proxy_pass http://gone/; error_page 502 = @sorry; }
location /gone-error { proxy_pass http://gone/; }
location @sorry { return 200 sorry; }
location /keyed { proxy_pass http://keyed/; add_header X-Id "[$canary_id]"; }
location /none { return 200 "[$canary_id$canary_bucket]"; }
location /cached {
    proxy_pass http://plain/;
    proxy_cache cache;
    proxy_cache_key $canary_group$arg_k;
    proxy_cache_valid 200 1m;
    add_header X-Cache $upstream_cache_status;
}
location /two {
    auth_request /auth;
    proxy_pass http://plain/;
}
location = /auth { internal; proxy_pass http://same/; }
location /redirect { proxy_pass http://plain/; proxy_intercept_errors on; error_page 404 = /plain; }
CONF
)->start;


sub cookies {
    my ($r) = @_;

    my @list = @{ $r->{header_list} };
    my @cookies = map { $_->[1] } grep { lc $_->[0] eq 'set-cookie' } @list;

    return @cookies;
}


sub bucket_of {
    my ($id, %more) = @_;

    return $nginx->get('/', Cookie => "a=b; cid=$id; c=d", %more)
        ->{headers}{'x-bucket'};
}


is $nginx->put(weights => { blue => 50, green => 50 })->{status}, 200,
    'halves';

# the first request

my $r = $nginx->get('/?echo=x-id');
my ($cookie, @more) = cookies($r);

is scalar(@more), 0, 'one Set-Cookie';
like $cookie, qr{^cid=[0-9a-f]{32};\ Expires=\w{3},\ \d\d-\w{3}-\d\d(?:\d\d)?
    \ [\d:]{8}\ GMT;\ Max-Age=2592000;\ Domain=example\.com;\ Path=/shop;
    \ Secure;\ HttpOnly;\ SameSite=Lax$}x, 'with all attributes';

my ($id) = $cookie =~ /^cid=(\w+)/;

is $r->{headers}{'x-id'}, $id, '$canary_id is the new one';
is $r->{body}, $id, 'for the backend, too';
is $nginx->get('/?echo=x-bucket', Cookie => "cid=$id")->{body},
    $r->{headers}{'x-bucket'}, 'it was the key of the first request already';

# the next ones

my $again = $nginx->get('/', Cookie => "cid=$id");

is scalar(cookies($again)), 0, 'who has one gets none';
is $again->{headers}{'x-id'}, $id, 'and keeps it';
is $again->{headers}{'x-group'}, $r->{headers}{'x-group'}, 'and the group';
is bucket_of($id), $r->{headers}{'x-bucket'}, 'among other cookies';

# ids are spread as keys are

my %n;
$n{ $nginx->get('/')->{headers}{'x-group'} }++ for 1 .. 600;
cmp_ok chi_square([@n{qw(blue green)}], [300, 300]), '<', chi_square_limit(1),
    "new ids are spread: $n{blue}, $n{green}";

my %ids = map { $nginx->get('/')->{headers}{'x-id'} => 1 } 1 .. 200;
is scalar(keys %ids), 200, 'no id twice';

# malformed

for my $bad ('', 'x', 'a' x 31, 'a' x 33, 'A' x 32, 'g' x 32, "$id ",
    '"' . $id . '"', 'x' x 4000)
{
    my $b = $nginx->get('/', Cookie => "cid=$bad");
    my $name = length $bad > 40 ? 'a long one' : "\"$bad\"";

    if ($bad eq "$id ") {
        is $b->{headers}{'x-id'}, $id, 'nginx strips the space';
        next;
    }

    is scalar(cookies($b)), 1, "$name is replaced";
    isnt $b->{headers}{'x-id'}, $bad, 'by another id';
}

# also for who is not placed by it

is scalar(cookies($nginx->get('/', 'X-Canary' => 'green'))), 1, 'forced';
is $nginx->put(weights => { blue => 100 })->{status}, 200, 'all to stable';
is scalar(cookies($nginx->get('/'))), 1, 'before a rollout begins';
is bucket_of($id), $r->{headers}{'x-bucket'}, '$canary_bucket is known';
is bucket_of($id, 'X-Canary' => 'green'), $r->{headers}{'x-bucket'},
    'when forced, too';

# another salt, other buckets

is $nginx->put(weights => { blue => 100 }, salt => 'two')->{status}, 200,
    'another salt';
isnt bucket_of($id), $r->{headers}{'x-bucket'}, 'moves the bucket';

# plain

($cookie) = cookies($nginx->get('/plain'));
like $cookie, qr{^pid=[0-9a-f]{32}; Path=/$}, 'without parameters';

# answers that no group gave

is $nginx->get('/gone-error')->{status}, 502, 'an error answer';
is scalar(cookies($nginx->get('/gone-error'))), 1, 'has the cookie';
$r = $nginx->get('/gone');
is $r->{body}, 'sorry', 'an error page';
is scalar(cookies($r)), 1, 'has the cookie';

wait_for { $nginx->get('/cached?k=1')->{headers}{'x-cache'} eq 'HIT' } 10,
    'a cached answer';

my %seen;
for (1 .. 4) {
    $r = $nginx->get('/cached?k=1');
    $seen{ $r->{headers}{'x-cache'} }++;
    $seen{cookies} += cookies($r);
    $seen{$_}++ for cookies($r);
}
is $seen{HIT}, 4, 'answers from the cache';
is $seen{cookies}, 4, 'have the cookie';
is scalar(grep { /^pid=/ } keys %seen), 4, "each client's own";

# one per request

is scalar(cookies($nginx->get('/two'))), 1, 'two upstreams, one cookie name';
is scalar(cookies($nginx->get('/redirect?status=404'))), 1,
    'an internal redirect';
is scalar(cookies($nginx->get('/none'))), 0, 'none where nothing is passed';
is $nginx->get('/none')->{body}, '[]', 'nor variables';
is $nginx->get('/keyed')->{headers}{'x-id'}, '[]',
    'no id without canary_cookie';

# what nginx -t refuses

for (
    ['canary_cookie c; canary_key $remote_addr;',
        qr/"canary_key" directive and "canary_cookie" exclude each other/],
    ['canary_key $remote_addr; canary_cookie c;',
        qr/"canary_cookie" directive and "canary_key" exclude each other/],
    ['canary_key $http_x_user; canary_cookie c;', qr/exclude each other/],
    ['canary_cookie c; canary_cookie d;', qr/is duplicate/],
    ['canary_cookie "a b";', qr/invalid cookie name "a b"/],
    ['canary_cookie "a;b";', qr/invalid cookie name "a;b"/],
    ['canary_cookie a=b;', qr/invalid cookie name "a=b"/],
    ['canary_cookie "";', qr/invalid cookie name ""/],
    ['canary_cookie c expires=0;', qr/repeated parameter "expires=0"/],
    ['canary_cookie c expires=x;', qr/repeated parameter "expires=x"/],
    ['canary_cookie c expires=1d expires=2d;', qr/repeated parameter/],
    ['canary_cookie c secure secure;', qr/repeated parameter "secure"/],
    ['canary_cookie c path=x;', qr/repeated parameter "path=x"/],
    ['canary_cookie c "path=/;x";', qr/repeated parameter/],
    ['canary_cookie c domain=;', qr/repeated parameter "domain="/],
    ['canary_cookie c samesite=some;', qr/strict\|lax\|none/],
    ['canary_cookie c samesite=none;', qr/samesite=none needs "secure"/],
    ['canary_cookie c other;', qr/repeated parameter "other"/],
) {
    my ($lines, $why) = @$_;

    my ($ok, $text) = $nginx->test(app => $lines);
    ok !$ok, "refused: $lines";
    like $text, $why, 'and says why';
    like $text, qr{test\.conf:\d+}, 'and where';
}

my ($ok, $text) = $nginx->test(app =>
    'canary_cookie c samesite=none secure; canary_failover on;');
ok $ok, 'accepted: samesite=none secure' or diag $text;

done_testing;
