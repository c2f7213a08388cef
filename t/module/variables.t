#!/usr/bin/perl

# $canary_group_NAME and the other variables: the same choice wherever it is
# asked for, and nothing for who does not ask.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my %b = map { $_ => backend(name => $_) } qw(blue green red);
my $dir = tmpdir();

my $nginx = nginx(
    groups => [map { $_ => $b{$_} } qw(blue green red)],
    key => '$request_id',
    http => <<'CONF',
map $canary_group_app $color {
    blue  "it is blue";
    green "it is green";
}
map $http_x_any $canary_group_mine { default mine; }
CONF
    upstreams => <<CONF,
upstream my-app.test { canary zone=edge blue green red; canary_key \$request_id; }
proxy_cache_path $dir/cache keys_zone=cache:1m;
CONF
    location => <<'CONF',
add_header X-Group $canary_group;
add_header X-Color $color;
add_header X-Named $canary_group_app;
add_header X-Other $canary_group_my_app_test;
add_header X-Mine $canary_group_mine;
add_header X-Bucket $canary_bucket;
CONF
    server => <<'CONF',
location /early {
    set $g $canary_group_app;
    if ($canary_group_app = green) { set $g "$g!"; }
    proxy_pass http://app/;
    add_header X-Early $g;
    add_header X-Group $canary_group;
}
location /direct { proxy_pass http://$canary_group_my_app_test; }
location /twice {
    proxy_pass http://my-app.test/;
    add_header X-Named $canary_group_my_app_test;
    add_header X-Upper $canary_group_MY_APP_TEST;
    add_header X-Group $canary_group;
}
location /static { return 200 "$canary_group_app"; }
location /cached {
    proxy_pass http://app/;
    proxy_cache cache;
    proxy_cache_key $canary_group_app;
    proxy_cache_valid 200 1m;
    add_header X-Group $canary_group_app;
    add_header X-Cache $upstream_cache_status;
}
CONF
)->start;

is $nginx->put(weights => { blue => 50, green => 50 })->{status}, 200,
    'app in halves';
is $nginx->api('PUT', 'upstreams/my-app.test', { revision => 1,
    weights => { blue => 20, green => 40, red => 40 }, stable => 'blue' })
    ->{status}, 200, 'the other in three';


sub many {
    my ($n, $path, $check) = @_;

    my (%seen, $wrong);

    for (1 .. $n) {
        my $r = $nginx->get($path);
        my ($group, $ok) = $check->($r, $r->{headers});
        $seen{$group}++;
        $wrong = $r unless $ok;
    }

    diag encode($wrong->{header_list}), $wrong->{body} if $wrong;

    return (!$wrong, join ' ', sort keys %seen);
}


my ($ok, $seen) = many(100, '/', sub {
    my ($r, $h) = @_;

    return ($h->{'x-backend'}, $h->{'x-group'} eq $h->{'x-backend'}
        && $h->{'x-named'} eq $h->{'x-backend'}
        && $h->{'x-color'} eq "it is $h->{'x-backend'}"
        && $h->{'x-mine'} eq 'mine'
        && ($h->{'x-bucket'} < 5000) == ($h->{'x-backend'} eq 'green'));
});
ok $ok, 'all agree with the server that answered, buckets too';
is $seen, 'blue green', 'both were seen';

($ok, $seen) = many(60, '/early', sub {
    my ($r, $h) = @_;

    return ($h->{'x-early'}, $h->{'x-group'} eq $h->{'x-backend'}
        && $h->{'x-early'} eq $h->{'x-backend'}
            . ($h->{'x-backend'} eq 'green' ? '!' : ''));
});
ok $ok, 'a choice in the rewrite phase holds for proxy_pass';
is $seen, 'blue green!', 'both were seen';

($ok, $seen) = many(100, '/twice', sub {
    my ($r, $h) = @_;

    return ($h->{'x-backend'}, $h->{'x-group'} eq $h->{'x-backend'}
        && $h->{'x-named'} eq $h->{'x-backend'}
        && $h->{'x-upper'} eq $h->{'x-backend'});
});
ok $ok, 'other characters of a name are "_", case does not matter';
is $seen, 'blue green red', 'all three';

($ok, $seen) = many(60, '/direct', sub { ($_[1]{'x-backend'}, 1) });
is $seen, 'blue green red', 'proxy_pass http://$canary_group_NAME';

($ok, $seen) = many(60, '/static', sub { ($_[0]{body}, 1) });
is $seen, 'blue green', 'where nothing is passed';

($ok, $seen) = many(60, '/cached', sub {
    my ($r, $h) = @_;

    return ($h->{'x-group'}, $h->{'x-group'} eq $h->{'x-backend'});
});
ok $ok, 'in a cache key';

# a choice that nothing was passed by is no selection

my $u = $nginx->upstream('app');
my $n = 0;
$n += $u->{groups}{$_}{strata}[0]{selections}{weight} for qw(blue green);
cmp_ok $n, '>=', 162, 'selections: 100 + 60 + two cache misses';
cmp_ok $n, '<', 170, 'or a few more, where both workers missed';

# what nginx -t refuses

(my $accepted, my $text) = $nginx->test(server =>
    'location /x { return 200 $canary_group_ap; }');
ok !$accepted, 'a name that is no upstream';
like $text, qr/no canary upstream for the variable "\$canary_group_ap"/,
    'and why';

($accepted, $text) = $nginx->test(upstreams => <<'CONF',
upstream my-app { canary zone=edge blue green; }
upstream my.app { canary zone=edge blue green; }
CONF
    location => '', http => '',
    server => 'location /x { return 200 $canary_group_my_app; }');
ok !$accepted, 'a name that two have';
like $text, qr/more than one canary upstream has the variable/, 'and why';

done_testing;
