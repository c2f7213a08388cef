#!/usr/bin/perl

# One choice for a request and all its parts: slices, mirrors, subrequests,
# redirects, error pages, updates of a cache behind the client's back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my $dir = tmpdir();
my %port = map { $_ => free_port() } qw(a b);

# two servers that differ in nothing but their letter

for my $side (qw(a b)) {
    mkdir "$dir/$side" or die;
    spew("$dir/$side/part", $side);
    spew("$dir/$side/large", $side x 1000);
    spew("$dir/$side/page", "$side<!--# include virtual=\"/split/part?1\" -->"
        . '<!--# include virtual="/split/part?2" wait="yes" -->'
        . '<!--# include virtual="/split/part?3" -->');
    utime 1700000000, 1700000000, glob "$dir/$side/*";
}

my $servers = join '', map { <<CONF } qw(a b);
server {
    listen 127.0.0.1:$port{$_};
    root $dir/$_;
    etag off;
    add_header X-Side $_ always;
    access_log $dir/$_.log side;
    location /accel { add_header X-Accel-Redirect /inside/part; return 200; }
    location /fails { return 503; }
    location /auth { return 204; }
    location /mirrored { return 204; }
}
CONF

my $nginx = nginx(
    groups => [map { ("g_$_" => "127.0.0.1:$port{$_} max_fails=0") }
        qw(a b)],
    canary => 'zone=edge g_a g_b',
    key => '$request_id',
    no_location => 1,
    http => <<CONF,
log_format side "\$http_x_id \$request_uri";
proxy_cache_path $dir/cache keys_zone=cache:1m;
CONF
    server => <<'CONF',
proxy_http_version 1.1;
proxy_set_header Connection "";
proxy_set_header X-Id $request_id;
add_header X-Id $request_id always;
add_header X-Group $canary_group_app always;
add_header X-Cache $upstream_cache_status always;

location /slice/ {
    slice 100;
    proxy_pass http://app/;
    proxy_set_header Range $slice_range;
}
location /slice-cache/ {
    slice 100;
    proxy_pass http://app/;
    proxy_set_header Range $slice_range;
    proxy_cache cache;
    proxy_cache_key $canary_group$uri$slice_range;
    proxy_cache_valid 200 206 1h;
}
location /mirror/ {
    mirror /mirrored;
    proxy_pass http://app/;
    proxy_set_header X-Id $request_id;
}
location = /mirrored {
    internal;
    proxy_pass http://app/mirrored;
    proxy_set_header X-Id $request_id;
}
location /ssi/ {
    ssi on;
    ssi_types *;
    proxy_pass http://app/;
}
location /split/ { proxy_pass http://app/; }
location /accel { proxy_pass http://app/accel; }
location /inside/ { internal; proxy_pass http://app/; }
location /fails {
    proxy_pass http://app/fails;
    proxy_intercept_errors on;
    error_page 503 =200 /split/part;
}
location /fails-named {
    proxy_pass http://app/fails;
    proxy_intercept_errors on;
    error_page 503 =200 @named;
}
location @named { rewrite ^ /part break; proxy_pass http://app; }
location /auth/ {
    auth_request /check;
    auth_request_set $side $upstream_http_x_side;
    proxy_pass http://app/;
    add_header X-Auth $side;
    add_header X-Group $canary_group;
}
location = /check { internal; proxy_pass http://app/auth; }
location /rewritten {
    set $was $canary_group_app;
    rewrite ^ /split/part?$was last;
}
location /tried { try_files /none @tried; }
location @tried { rewrite ^ /part break; proxy_pass http://app; }
location /index/ { index part; proxy_pass http://app/part; }
location /stale/ {
    proxy_pass http://app/;
    proxy_cache cache;
    proxy_cache_key "stale $canary_group";
    proxy_cache_valid 200 1s;
    proxy_cache_use_stale updating error;
    proxy_cache_background_update on;
    proxy_cache_lock on;
}
CONF
    servers => $servers,
)->start;

is $nginx->put(weights => { g_a => 50, g_b => 50 })->{status}, 200, 'halves';


# Asks so many times; every answer must be of one letter, the group's.

sub pure {
    my ($path, $length, %opt) = @_;

    my (%seen, @mixed);

    for (1 .. $opt{n} // 40) {
        my $r = $nginx->get($path);
        my ($side) = ($r->{headers}{'x-group'} // '') =~ /^g_(\w)$/;

        $side //= '?';
        $seen{$side}++;
        push @mixed, $r if $r->{status} != 200
            || $r->{body} ne $side x $length
            || $opt{check} && !$opt{check}->($r, $side);
    }

    is scalar(@mixed), 0, "$path: all of it from one group"
        or diag encode($mixed[0]{header_list}), $mixed[0]{body};
    is join('', sort keys %seen), 'ab', "$path: both groups are chosen";
}


# The request lines that each side logged for an id.

sub logged {
    my ($id) = @_;

    return map {
        my $side = $_;
        my @lines = slurp("$dir/$side.log") =~ /^\Q$id\E (\S+)$/mg;
        map { "$side $_" } @lines;
    } qw(a b);
}


pure('/split/part', 1);
pure('/slice/large', 1000);
pure('/slice-cache/large', 1000);
pure('/ssi/page', 4);
pure('/accel', 1);
pure('/fails', 1);
pure('/fails-named', 1);
pure('/auth/part', 1, check => sub {
    my ($r, $side) = @_;
    return $r->{headers}{'x-auth'} eq $side;
});
pure('/rewritten', 1);
pure('/tried', 1);

# slices and the cache: each group has its own ten

wait_for {
    my $r = $nginx->get('/slice-cache/large');
    $r->{headers}{'x-cache'} eq 'HIT';
} 10, 'slices to be cached';

my $hits = 0;
pure('/slice-cache/large', 1000, check => sub {
    $hits += $_[0]{headers}{'x-cache'} eq 'HIT';
    return 1;
});
is $hits, 40, 'slices come from the cache';

# what the client does not see: the mirror

my @ids;
pure('/mirror/part', 1, check => sub { push @ids, $_[0]{headers}{'x-id'} });

my @wrong = grep {
    my $id = $_;
    my @lines;
    wait_for { @lines = logged($id); @lines == 2 } 5;
    my %sides = map { substr($_, 0, 1) => 1 } @lines;
    @lines != 2 || keys %sides != 1;
} @ids;
is scalar(@wrong), 0, 'a mirror goes where its request goes'
    or diag join "\n", logged($wrong[0]);

# and the update of a stale answer

sub requests { scalar(() = slurp("$dir/$_[0].log") =~ m{ /part\?s$}mg) }

pure('/stale/part?s', 1);
wait_for { requests('a') && requests('b') } 5, 'both to be logged';

for my $round (1, 2) {
    my %stale;

    wait_for {
        my $r = $nginx->get('/stale/part?s');
        $stale{$r->{body}} = $r->{headers}{'x-id'}
            if $r->{headers}{'x-cache'} eq 'STALE';
        die "mixed: $r->{body}" if $r->{headers}{'x-group'} ne "g_$r->{body}";
        keys %stale == 2;
    } 10, 'stale answers of both groups';

    for my $side (qw(a b)) {
        my @updates;
        wait_for { @updates = logged($stale{$side}) } 5;
        is_deeply \@updates, ["$side /part?s"],
            "a stale answer of $side is updated there";
    }

    my %fresh;

    wait_for {
        my $r = $nginx->get('/stale/part?s');
        die "mixed: $r->{body}" if $r->{headers}{'x-group'} ne "g_$r->{body}";
        $fresh{$r->{body}}++ if $r->{headers}{'x-cache'} eq 'HIT';
        keys %fresh == 2;
    } 10, 'updated answers of both groups';

    pass "round $round: fresh answers of both";
}

# one selection for each request, however many its parts

my $u = $nginx->upstream;
my ($selections, $attempts, $requests) = (0, 0, 0);
for my $cell (map { $u->{groups}{$_}{strata}[0] } qw(g_a g_b)) {
    $selections += $cell->{selections}{weight};
    $attempts += $cell->{attempts};
}
my $before = $selections;
$nginx->get('/ssi/page') for 1 .. 10;
$nginx->get('/slice/large') for 1 .. 10;
$u = $nginx->upstream;
$selections = $requests = 0;
for my $cell (map { $u->{groups}{$_}{strata}[0] } qw(g_a g_b)) {
    $selections += $cell->{selections}{weight};
    $requests += $cell->{attempts};
}
is $selections - $before, 20, 'one selection each';
is $requests - $attempts, 10 * 4 + 10 * 10, 'an attempt for each part';

done_testing;
