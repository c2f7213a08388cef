#!/usr/bin/perl

# proxy_pass with variables, fastcgi, uwsgi and scgi: chosen, counted, retried
# and kept as HTTP is.  gRPC has its own file.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my $dead = free_port();
my (%port, %http);

sub gateway {
    my ($kind, $name) = @_;

    my $out = tmpdir() . "/gateway.$kind.$name";

    spawn(name => "gateway $kind", cmd => [$^X,
        root() . '/t/tools/gateway.pl', $kind, $name], out => $out);
    wait_for { slurp($out) =~ /^ready \d+\n/ } 10, "a $kind server";

    return slurp($out) =~ /^ready (\d+)/ ? $1 : die slurp($out);
}

my @kinds = qw(fastcgi uwsgi scgi);

for my $kind (@kinds) {
    $port{"$kind $_"} = gateway($kind, $_) for qw(blue green);
}

$http{$_} = backend(name => $_) for qw(blue green);
my $dns = gateway('dns', '127.0.0.1');

my ($upstreams, $server) = ('', '');

for my $kind (@kinds) {
    $upstreams .= <<CONF;
upstream ${kind}_blue { server 127.0.0.1:$port{"$kind blue"}; keepalive 4; }
upstream ${kind}_green { zone ${kind}_green 64k; server 127.0.0.1:$port{"$kind green"}; keepalive 4; }
upstream ${kind}_gone { server 127.0.0.1:$dead; }
upstream $kind {
    canary zone=edge ${kind}_blue ${kind}_green;
    canary_key \$arg_u;
    canary_force \$http_x_canary;
    canary_failover on;
}
upstream ${kind}_failing { canary zone=edge ${kind}_blue ${kind}_gone; canary_failover on; canary_force \$http_x_canary; }
CONF
    my $param = "${kind}_param";
    my $params = "$param REQUEST_URI \$request_uri; "
        . "$param QUERY_STRING \$query_string; "
        . "$param X_GROUP \$canary_group;";
    $params .= ' fastcgi_keep_conn on;' if $kind eq 'fastcgi';
    $server .= <<CONF;
location /$kind {
    ${kind}_pass $kind; $params
    ${kind}_next_upstream error timeout http_500;
    add_header X-Group \$canary_group always;
    add_header X-Served \$canary_served_group always;
}
location /$kind-variable { set \$to $kind; ${kind}_pass \$to; $params }
location /$kind-failing { ${kind}_pass ${kind}_failing; $params }
CONF
}

my $nginx = nginx(
    groups => [%http],
    upstreams => "resolver 127.0.0.1:$dns ipv6=off;\n$upstreams",
    no_location => 1,
    server => $server . <<'CONF',
location /http/ {
    set $backend $arg_to;
    proxy_pass http://$backend$arg_port;
    proxy_set_header X-Group $canary_group;
    add_header X-Group $canary_group;
    add_header X-Reason $canary_reason;
}
CONF
)->start;


sub half {
    my ($upstream, $green, $weight) = @_;

    (my $blue = $green) =~ s/(green|gone)$/blue/;
    my $r = $nginx->put(upstream => $upstream,
        weights => { $blue => 100 - $weight, $green => $weight });
    is $r->{status}, 200, "$upstream: $weight % to $green" or diag $r->{body};
}


sub cell {
    my ($upstream, $group) = @_;

    return $nginx->counted($upstream)->{groups}{$group}{strata}[0];
}


for my $kind (@kinds) {
    half($kind, "${kind}_green", 50);

    my (%seen, $wrong, %connections);

    for my $user (1 .. 200) {
        my $r = $nginx->get("/$kind?u=$user");
        my $side = $r->{headers}{'x-backend'} // 'none';

        $seen{$side}++;
        $connections{ $side . $r->{headers}{'x-connection'} }++;
        $wrong = $r unless $r->{status} == 200
            && $r->{body} eq "$side /$kind?u=$user ${kind}_$side"
            && $r->{headers}{'x-group'} eq "${kind}_$side";
    }

    ok !$wrong, "$kind: what it answers, from the group it says"
        or diag encode($wrong);
    cmp_ok chi_square([@seen{qw(blue green)}], [100, 100]), '<',
        chi_square_limit(1), "$kind: halves";

    my $cell = cell($kind, "${kind}_green");
    is $cell->{requests}, $seen{green}, "$kind: requests";
    is $cell->{responses}{'2xx'}, $seen{green}, "$kind: responses";
    my $timed = 0;
    $timed += $_ for values %{ $cell->{latency_us} };
    is $timed, $seen{green}, "$kind: each was timed";

    cmp_ok scalar(keys %connections), $kind eq 'fastcgi' ? '<' : '==',
        $kind eq 'fastcgi' ? 20 : 200, "$kind: connections";

    is $nginx->get("/$kind?u=1", 'X-Canary' => "${kind}_green")
        ->{headers}{'x-backend'}, 'green', "$kind: force";

    # failures, and the way to stable

    half($kind, "${kind}_green", 100);
    my $r = $nginx->get("/$kind?u=1&status=404");
    is $r->{status}, 404, "$kind: 404";
    is $r->{headers}{'x-served'}, "${kind}_green", "$kind: is an answer";

    $r = $nginx->get("/$kind?u=1&status=500");
    is $r->{status}, 500, "$kind: 500 of both";
    is $r->{headers}{'x-served'}, "${kind}_blue", "$kind: was retried";
    $cell = cell($kind, "${kind}_green");
    is $cell->{failures}{http_5xx}, 1, "$kind: one failure";
    is $cell->{errors}, 1, "$kind: one error";
    is $cell->{rescued}, 0, "$kind: not rescued";

    half("${kind}_failing", "${kind}_gone", 100);
    $r = $nginx->get("/$kind-failing?u=1");
    is $r->{status}, 200, "$kind: a dead group costs no request";
    is cell("${kind}_failing", "${kind}_gone")->{rescued}, 1,
        "$kind: it was rescued";

    $r = $nginx->get("/$kind-variable?u=1");
    is $r->{body}, "green /$kind-variable?u=1 ${kind}_green",
        "$kind: an upstream by variable";
}

# proxy_pass with variables: names of upstreams, and of hosts that are none

half('app', 'green', 50);

for my $to ('app', 'APP') {
    my (%seen, $wrong);

    for my $user (1 .. 60) {
        my $r = $nginx->get("/http/?to=$to&echo=x-group", 'X-User' => $user);
        my $side = $r->{headers}{'x-backend'};
        $seen{$side}++;
        $wrong = $r if $r->{headers}{'x-group'} ne $side
            || $r->{body} ne $side || $r->{headers}{'x-reason'} ne 'weight';
    }

    ok !$wrong, "proxy_pass to \"$to\": the group is known before the choice"
        or diag encode($wrong);
    is join(' ', sort keys %seen), 'blue green', "both by \"$to\"";
}

my $was = $nginx->counted->{groups};
my ($port) = $http{green}->target =~ /:(\d+)/;

for my $host ('somewhere.test', 'app') {
    my $r = $nginx->get("/http/?to=$host&port=:$port");

    is $r->{headers}{'x-backend'}, 'green', "$host with a port is resolved";
    is $r->{headers}{'x-group'}, undef, 'and is no canary upstream';
}

is $nginx->get("/http/?to=green")->{headers}{'x-backend'}, 'green',
    'a group by itself';
is_deeply $nginx->counted->{groups}, $was, 'none of which is counted';
is $nginx->get("/http/?to=app")->{status}, 200, 'app';
isnt encode($nginx->counted->{groups}), encode($was), 'is';

# a group whose servers are resolved while nginx runs

SKIP: {
    my ($version) = `@{[($nginx->command)[0]]} -v 2>&1` =~ m{nginx/([\d.]+)};
    my ($major, $minor, $patch) = split /\./, $version;

    skip "server ... resolve needs nginx 1.27.3, this is $version", 3
        if $major * 1e6 + $minor * 1e3 + $patch < 1_027_003;

    ok $nginx->reload(upstreams => <<CONF, server => <<'LOC'), 'resolve';
resolver 127.0.0.1:$dns ipv6=off valid=1s;
upstream moving { zone moving 64k; server moving.test:$port resolve; }
upstream moves { canary zone=edge blue moving; }
CONF
location / { proxy_pass http://moves; add_header X-Group $canary_group; }
LOC
    half('moves', 'moving', 100);
    wait_for {
        my $r = $nginx->get('/');
        $r->{status} == 200 && $r->{headers}{'x-backend'} eq 'green';
    } 10, 'the name to be resolved';
    is $nginx->get('/')->{headers}{'x-group'}, 'moving', 'its group';
}

done_testing;
