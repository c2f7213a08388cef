#!/usr/bin/perl

# canary_failover: a failed canary attempt is retried on stable, within
# proxy_next_upstream's budget, and costs no client a request.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my $dead = free_port();
my ($blue, $green, $green2) = map { backend(name => $_) }
    qw(blue green green2);

my $nginx = nginx(
    groups => [blue => $blue, green => $green],
    app => 'canary_failover on;',
    location => <<'CONF',
proxy_next_upstream error timeout http_500 http_502 invalid_header;
add_header X-Group $canary_group always;
add_header X-Served $canary_served_group always;
add_header X-Reason $canary_reason always;
add_header X-Tried $upstream_addr always;
CONF
    upstreams => <<CONF,
upstream gone { server 127.0.0.1:$dead; }
upstream gone2 { zone gone2 64k; server 127.0.0.1:$dead; server 127.0.0.2:$dead; keepalive 4; }
upstream down { zone down 64k; server 127.0.0.1:$dead down; }
upstream two { server @{[$green->target]} max_fails=0; server @{[$green2->target]} max_fails=0; }
upstream a_gone { canary zone=edge blue gone; canary_failover on; canary_key \$http_x_user; }
upstream a_gone2 { canary zone=edge blue gone2; canary_failover on; canary_key \$http_x_user; }
upstream a_down { canary zone=edge blue down; canary_failover on; canary_key \$http_x_user; }
upstream a_two { canary zone=edge blue two; canary_failover on; }
upstream a_both { canary zone=edge gone down; canary_failover on; }
upstream a_off { canary zone=edge blue gone; }
CONF
    server => <<'CONF',
add_header X-Tried $upstream_addr always;
add_header X-Served $canary_served_group always;
location /gone { proxy_pass http://a_gone/; }
location /gone2 { proxy_pass http://a_gone2/; proxy_http_version 1.1; proxy_set_header Connection ""; }
location /down { proxy_pass http://a_down/; }
location /two { proxy_pass http://a_two/; proxy_next_upstream error http_500; }
location /both { proxy_pass http://a_both/; }
location /off { proxy_pass http://a_off/; }
location /once {
    proxy_pass http://a_gone/;
    proxy_next_upstream_tries 1;
}
location /timed {
    proxy_pass http://app/;
    proxy_read_timeout 200ms;
    proxy_next_upstream error timeout;
}
CONF
    allow => [],
)->start;


sub full {
    my ($upstream, $group) = @_;

    my $r = $nginx->put(upstream => $upstream, weights => { $group => 100 });
    is $r->{status}, 200, "$upstream: all to $group" or diag $r->{body};
}


sub cells {
    my ($upstream) = @_;

    return $nginx->counted($upstream)->{groups};
}


sub sum { my $n = 0; $n += $_ for @_; return $n }


full('app', 'green');

# nothing fails: nothing is special

my $r = $nginx->get('/');
is $r->{headers}{'x-served'}, 'green', 'green serves';
is $r->{headers}{'x-reason'}, 'weight', 'by weight';

# a 500 goes over to stable

$green->set(error => 1);
$r = $nginx->get('/');

is $r->{status}, 200, 'a 500 is answered by stable';
is $r->{headers}{'x-backend'}, 'blue', 'by blue';
is $r->{headers}{'x-group'}, 'green', 'green was chosen';
is $r->{headers}{'x-served'}, 'blue', 'blue served';
is $r->{headers}{'x-reason'}, 'failover', 'the reason';

my $app = cells('app');
my ($g, $b) = ($app->{green}{strata}[0], $app->{blue}{pinned});

is $g->{errors}, 1, "the canary's failure";
is $g->{rescued}, 1, 'rescued';
is $g->{failures}{http_5xx}, 1, 'as a 5xx';
is $b->{selections}{failover}, 1, 'failover to blue';
is $b->{attempts}, 1, 'pinned there';
is $b->{requests}, 0, 'not judged there';
is $app->{blue}{strata}[0]{attempts}, 0, "none of blue's own";

# POST is not retried, by nginx's own rule

$r = http($nginx->port, 'POST', '/', body => 'x');
is $r->{status}, 500, 'a POST is not sent twice';
is $r->{headers}{'x-served'}, 'green', 'green answered';
$green->set(error => 0);

# all kinds of failure, exact over 8 connections, no client sees one

$green->set(reset => 0.2, error => 0.2, seed => 3);
my $was = cells('app')->{green}{strata}[0];
my $load = load($nginx, requests => 5000, connections => 8);

is $load->{total}{status}{200}, 5000, 'no client request failed';
is $load->{total}{errors}, 0, 'no connection either';

$app = cells('app');
my $did = $green->counts;
my $now = $app->{green}{strata}[0];
my $failed = $did->{reset} + $did->{status}{500} - 2;

my %delta = map { $_ => sum(values %{ $now->{$_} }) - sum(values %{ $was->{$_} }) }
    qw(failures);

is $delta{failures}, $failed, "$failed failures of the canary";
is $app->{blue}{pinned}{attempts}, $now->{rescued}, 'who went to blue was rescued';

# a reset of a kept connection is given back by nginx: the canary may try anew
my $again = ($now->{attempts} - $was->{attempts}) - 5000;
is $failed - $again, $now->{rescued} - $was->{rescued},
    'each failure was followed by blue or, on a kept connection, by green';
cmp_ok $now->{rescued}, '>', 1000, 'most by blue';
$green->set(reset => 0, error => 0);

# a timeout

$r = $nginx->get('/timed?hang=1');
is $r->{status}, 504, 'both hang for this one';
$green->set(hang => 1);
$r = $nginx->get('/timed');
is $r->{status}, 200, 'a hanging canary';
is $r->{headers}{'x-backend'}, 'blue', 'goes over';
$green->set(hang => 0);

# refused connections, one server and two; no live server

for (['gone', 'gone'], ['gone2', 'gone2'], ['down', 'down']) {
    my ($path, $group) = @$_;

    full("a_$path", $group);
    $load = load($nginx, requests => 1000, connections => 8,
        path => "/$path");
    is $load->{total}{status}{200}, 1000, "$path: no client request failed"
        or diag encode($load->{total});

    my $cell = cells("a_$path")->{$group}{strata}[0];
    is $cell->{errors}, 1000, "$path: 1000 errors";
    is $cell->{rescued}, 1000, "$path: 1000 rescued";
    is $cell->{failures}{$path eq 'down' ? 'no_live' : 'connect'}
        + $cell->{failures}{no_live} * ($path ne 'down'), 1000,
        "$path: the kind";
}

# the first retry is stable's, also where the group has another server

full('a_two', 'two');
$green->set(error => 1);
my %served;
$served{ $nginx->get('/two')->{headers}{'x-backend'} }++ for 1 .. 20;
ok !$served{green}, 'the failing one serves nobody';
ok $served{green2} && $served{blue}, 'the other one and stable do'
    or diag encode(\%served);
$green->set(error => 0);

# limits

full('a_off', 'gone');
is $nginx->get('/off')->{status}, 502, 'without canary_failover';
is $nginx->get('/once')->{status}, 502, 'proxy_next_upstream_tries 1';

is $nginx->put(upstream => 'a_both', weights => { down => 100 })->{status},
    200, 'two dead groups';
$r = $nginx->get('/both');
is $r->{status}, 502, 'fail in the end';
is $nginx->get('/both')->{status}, 502, 'each time' for 1 .. 3;

# stable has nobody behind it

is $nginx->put(weights => { blue => 100 })->{status}, 200, 'all to blue';
$blue->set(error => 1);
$r = $nginx->get('/');
is $r->{status}, 500, 'stable does not fail over';
is $r->{headers}{'x-reason'}, 'weight', 'nor says so';

done_testing;
