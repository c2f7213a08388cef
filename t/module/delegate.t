#!/usr/bin/perl

# A group is an ordinary upstream: its balancing, kept connections, zone, TLS
# and retries work as they do without us, and all parts of a request agree.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my $dir = tmpdir();
my $dead = free_port();
my ($tls_port, $h2_port) = (free_port(), free_port());
my %b = map { $_ => backend(name => $_) } qw(a b c);
my %at = map { $_ => $b{$_}->target } keys %b;

my ($exit, undef, $said) = run('openssl', 'req', '-x509', '-newkey',
    'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=app', '-addext',
    'subjectAltName=DNS:app', '-keyout', "$dir/key.pem", '-out',
    "$dir/cert.pem", '-batch');
die "openssl: $said" if $exit != 0;

my $nginx = nginx(
    groups => [],
    canary => '',
    proxy_pass => 'http://kept',
    upstreams => <<CONF,
upstream stable { server $at{a}; }

upstream g_kept { zone g_kept 64k; server $at{b}; keepalive 4; }
upstream kept { canary zone=edge g_kept stable; }

upstream g_least { zone g_least 64k; least_conn; server $at{b}; server $at{c}; }
upstream least { canary zone=edge g_least stable; }

upstream g_hash { hash \$arg_k consistent; server $at{b}; server $at{c}; }
upstream hashed { canary zone=edge g_hash stable; }

upstream g_random { zone g_random 64k; random two; server $at{b}; server $at{c}; }
upstream randomly { canary zone=edge g_random stable; }

upstream g_iphash { ip_hash; server $at{b}; server $at{c}; }
upstream iphash { canary zone=edge g_iphash stable; }

upstream g_backup { server 127.0.0.1:$dead; server $at{c} backup; }
upstream backup { canary zone=edge g_backup stable; }

upstream g_down { zone g_down 64k; server $at{b} down; server $at{c} down; }
upstream down { canary zone=edge g_down stable; }

upstream g_max { zone g_max 64k; server $at{b} max_conns=1; server $at{c} backup; }
upstream max { canary zone=edge g_max stable; }

upstream g_two { zone g_two 64k; server $at{b} max_fails=0; server $at{c} max_fails=0; }
upstream two { canary zone=edge g_two stable; }

upstream g_tls { zone g_tls 64k; server 127.0.0.1:$tls_port; keepalive 4; }
upstream app { canary zone=edge g_tls stable; }

upstream split { canary zone=edge g_one g_other; canary_key \$request_id; }
upstream g_one { server $at{b}; }
upstream g_other { server $at{c}; }

proxy_cache_path $dir/cache keys_zone=cache:1m;
CONF
    server => <<'CONF',
proxy_http_version 1.1;
proxy_set_header Connection "";
location /least { proxy_pass http://least/; }
location /hashed { proxy_pass http://hashed/; }
location /randomly { proxy_pass http://randomly/; }
location /iphash { proxy_pass http://iphash/; }
location /backup { proxy_pass http://backup/; }
location /down { proxy_pass http://down/; }
location /max { proxy_pass http://max/; }
location /two {
    proxy_pass http://two/;
    proxy_next_upstream error timeout http_500 non_idempotent;
    add_header X-Tries $upstream_addr;
}
location /once {
    proxy_pass http://two/;
    proxy_next_upstream error timeout http_500;
    proxy_next_upstream_tries 1;
}
location /tls {
    proxy_pass https://app/;
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate CERT;
    proxy_ssl_server_name on;
    proxy_ssl_session_reuse on;
    proxy_set_header X-Host $proxy_host;
    proxy_set_header Connection "";
}
location /whole {
    proxy_pass http://split/;
    auth_request /auth;
    auth_request_set $auth_group $upstream_http_x_backend;
    proxy_intercept_errors on;
    error_page 503 = @again;
    add_header X-Auth $auth_group;
    add_header X-Group $canary_group;
}
location = /auth { internal; proxy_pass http://split/; }
location @again {
    proxy_pass http://split;
    rewrite ^ / break;
    add_header X-Again $canary_group always;
}
location /cached {
    proxy_pass http://split/;
    proxy_cache cache;
    proxy_cache_key $canary_group$arg_k;
    proxy_cache_valid 200 1m;
    add_header X-Cache $upstream_cache_status;
    add_header X-Group $canary_group;
}
CONF
    servers => <<CONF,
server {
    listen 127.0.0.1:$tls_port ssl;
    ssl_certificate $dir/cert.pem;
    ssl_certificate_key $dir/key.pem;
    add_header X-Reused \$ssl_session_reused;
    add_header X-Sni \$ssl_server_name;
    add_header X-Connection \$connection;
    keepalive_requests 3;
    location / { return 200 "tls \$http_x_host"; }
}
CONF
    no_location => 1,
);

$nginx->{server} =~ s/CERT/$dir\/cert.pem/;
$nginx->{server} .= "location /kept { proxy_pass http://kept/; }\n";
$nginx->start;


sub backends {
    my ($path, $n) = @_;

    my %seen;
    my $c = http_connect($nginx->target);

    $seen{$c->request('GET', $path)->{headers}{'x-backend'} // 'none'}++
        for 1 .. $n;

    return \%seen;
}


# kept connections belong to the group

$nginx->get('/kept');
my $before = $b{b}->counts;
load($nginx, requests => 500, connections => 1, path => '/kept');
my $after = $b{b}->counts;

is $after->{requests} - $before->{requests}, 500, 'all go to the group';
cmp_ok $after->{connections} - $before->{connections}, '<', 6,
    'over kept connections';

# balancing methods

is_deeply backends('/randomly', 60)->{a}, undef, 'random stays in its group';
is scalar(keys %{ backends('/randomly', 60) }), 2, 'random uses both';
is_deeply backends('/least', 60), { b => 30, c => 30 }, 'least_conn';
is scalar(keys %{ backends('/hashed?k=1', 20) }), 1, 'hash keeps a key';
is scalar(keys %{ backends("/iphash", 20) }), 1, 'ip_hash keeps an address';
my %hashed = map { %{ backends("/hashed?k=$_", 1) } } 1 .. 40;
is_deeply [sort keys %hashed], [qw(b c)], 'hash uses both';
is_deeply backends('/backup', 10), { c => 10 }, 'backup';

# max_conns: while one request holds the server the next ones go elsewhere

is_deeply backends('/max', 5), { b => 5 }, 'max_conns: one after the other';
my $held = http_connect($nginx->target);
$held->send('GET', '/max?hang=1');
wait_for { $b{b}->counts->{hung} } 10, 'the server to be held';
is_deeply backends('/max', 5), { c => 5 }, 'the server is full';
my ($max) = $nginx->upstream('max')->{groups}{g_max}{strata}[0];
is $max->{attempts} - $max->{finished}, 1, 'one is in flight';
$held->close;
wait_for { backends('/max', 1)->{b} } 10, 'the server to be free again';
$nginx->counted('max');

# no live server: an error, no crash

is $nginx->get('/down')->{status}, 502, 'all down' for 1 .. 3;

# retries within the group

$b{b}->set(error => 1);
is_deeply backends('/two', 20), { c => 20 }, 'a 500 is retried on the other';
$b{c}->set(error => 1);
is $nginx->get('/two')->{status}, 500, 'all of them fail';
is scalar(split /, /, $nginx->get('/two')->{headers}{'x-tries'} // 'x'), 1,
    'add_header is for success only';
$b{c}->set(error => 0);
my $fails = 0;
$fails += $nginx->get('/once')->{status} == 500 for 1 .. 20;
is $fails, 10, 'proxy_next_upstream_tries 1';
$b{b}->set(error => 0);
$b{b}->set(reset => 1);
is_deeply backends('/two', 20), { c => 20 }, 'a reset is retried';
$b{b}->set(reset => 0);

# TLS: verified against the name of the canary upstream, sessions reused

my $r = $nginx->get('/tls');

is $r->{status}, 200, 'TLS';
is $r->{body}, 'tls app', '$proxy_host is the canary upstream';
is $r->{headers}{'x-sni'}, 'app', 'and so is SNI';

my %tls;
for (1 .. 12) {
    $r = $nginx->get('/tls');
    $tls{connection}{ $r->{headers}{'x-connection'} }++;
    $tls{reused}++ if $r->{headers}{'x-reused'} eq 'r';
}
cmp_ok scalar(keys %{ $tls{connection} }), '<', 12, 'TLS connections are kept';
cmp_ok $tls{reused} // 0, '>', 0, 'TLS sessions are reused';

# all parts of a request agree: subrequest, error_page, internal redirect

is $nginx->put(upstream => 'split', weights => { g_one => 50, g_other => 50 })
    ->{status}, 200, 'split in halves';

my %groups = (b => 'g_one', c => 'g_other');
my ($mixed, %seen) = (0);

for (1 .. 100) {
    $r = $nginx->get('/whole');
    my $group = $r->{headers}{'x-group'};

    $seen{$group}++;
    $mixed++ if $groups{ $r->{headers}{'x-backend'} } ne $group
        || $groups{ $r->{headers}{'x-auth'} } ne $group;
}

is_deeply [sort keys %seen], [qw(g_one g_other)], 'both are chosen';
is $mixed, 0, 'auth_request and the request agree';

$mixed = 0;

for (1 .. 100) {
    $r = $nginx->get('/whole?status=503');
    $mixed++ if $groups{ $r->{headers}{'x-backend'} }
        ne $r->{headers}{'x-again'};
}

is $mixed, 0, 'error_page to a named location agrees';

# a cache key with the group in it

$mixed = 0;
my %cache;

for (1 .. 60) {
    $r = $nginx->get('/cached?k=1');
    $cache{ $r->{headers}{'x-cache'} }++;
    $mixed++ if $groups{ $r->{headers}{'x-backend'} }
        ne $r->{headers}{'x-group'};
}

is $mixed, 0, 'the cache keeps groups apart';
cmp_ok $cache{MISS}, '>=', 2, 'a miss for each group';
cmp_ok $cache{MISS}, '<=', 4, 'or one more where both workers came first';
is $cache{HIT}, 60 - $cache{MISS}, 'the rest from the cache';

my $u = $nginx->upstream('split');
my $selected = 0;
$selected += $u->{groups}{$_}{strata}[0]{selections}{weight}
    for qw(g_one g_other);

is $selected, 200 + $cache{MISS}, 'one selection for each request that was passed on';

# the same without master process

$nginx->restart(single => 1);
is $nginx->get('/kept')->{status}, 200, 'one process';

done_testing;
