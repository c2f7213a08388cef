#!/usr/bin/perl

# nginx -t warns of a cache that would mix the answers of groups.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my $dir = tmpdir();
my $nginx = nginx(
    groups => [blue => 1, green => 1],
    http => <<CONF,
proxy_cache_path $dir/p keys_zone=p:1m;
fastcgi_cache_path $dir/f keys_zone=f:1m;
uwsgi_cache_path $dir/u keys_zone=u:1m;
scgi_cache_path $dir/s keys_zone=s:1m;
CONF
    no_location => 1,
);


# The lines of the warnings about these locations, as "line location".

sub warned {
    my ($server, %more) = @_;

    my ($ok, $text) = $nginx->test(server => $server, %more);
    ok $ok, 'accepted' or diag $text;

    my $conf = slurp("$nginx->{dir}/test.conf");
    my @lines = split /\n/, $conf;
    my %seen;

    for (split /\n/, $text) {
        next unless /\[warn\] (?:\d+#\d+: )?"(\w+)" (has no|without)/;
        my ($directive, $location, $line)
            = m{"(\w+)" .*location "(.*)" is .* in \S+/test\.conf:(\d+)$};
        like $lines[$line - 1], qr/^\s*$directive\b/,
            "$directive is in that line";
        $seen{"$directive $location"}++;
    }

    is_deeply [grep { $_ != 2 } values %seen], [],
        'said once, to stderr and to the log';

    return join ', ', sort keys %seen;
}


sub silent { is warned($_[1]), '', $_[0] }
sub warns { is warned($_[1]), $_[2], $_[0] }


my $key = 'fastcgi_cache_key $uri;';

silent 'no cache', 'location /a { proxy_pass http://app; }';
silent 'another upstream',
    'location /a { proxy_pass http://blue; proxy_cache p; }';
silent "\$$_", "location /a { proxy_pass http://app; proxy_cache p;
    proxy_cache_key \"\$uri$_\"; }"
    for '$canary_group', '${canary_group}x', ' $canary_group_app';
silent 'the group by another directive order', 'location /a {
    proxy_cache_key $canary_group$uri; proxy_cache p; proxy_pass http://app; }';
silent 'switched off', 'proxy_cache p;
    location /a { proxy_cache off; proxy_pass http://app; }';
silent 'a key that is inherited', 'proxy_cache_key $canary_group$uri;
    proxy_cache p;
    location /a { proxy_pass http://app; location /a/b { proxy_pass http://app; } }';

warns 'no key', 'location /a { proxy_pass http://app;
    proxy_cache p; }',
    'proxy_cache /a';
warns 'a key without', 'location /a { proxy_pass http://app;
    proxy_cache p;
    proxy_cache_key $uri; }', 'proxy_cache_key /a';
warns 'only something like it', 'location /a { proxy_pass http://app;
    proxy_cache p;
    proxy_cache_key $canary_served_group; }', 'proxy_cache_key /a';
warns 'inherited from the server', 'proxy_cache p;
    proxy_cache_key $uri;
    location /a { proxy_pass http://app; }
    location /b { proxy_pass http://blue; }', 'proxy_cache_key /a';
warns 'nested', 'location /a { proxy_pass http://blue;
    proxy_cache p;
    location /a/b { proxy_pass http://app; } }', 'proxy_cache /a/b';
warns 'a regular expression', 'location ~ ^/x(.*)$ { proxy_pass http://app;
    proxy_cache p; }', 'proxy_cache ^/x(.*)$';
warns 'an if in it, once', 'location /a { proxy_pass http://app;
    proxy_cache p;
    if ($arg_a) { set $x 1; } if ($arg_b) { set $x 2; } }',
    'proxy_cache /a';
warns 'one that is declared later', 'location /a { proxy_pass http://later;
    proxy_cache p; } } upstream later { canary zone=edge blue green; }
    server { listen 127.0.0.1:' . free_port() . ';', 'proxy_cache /a';
warns 'a cache with variables', 'location /a { proxy_pass http://app;
    proxy_cache $arg_zone; }', 'proxy_cache /a';

for (['fastcgi', 'f'], ['uwsgi', 'u'], ['scgi', 's']) {
    my ($m, $zone) = @$_;

    warns $m, "location /a { ${m}_pass app;
        ${m}_cache $zone;
        ${m}_cache_key \$uri; }", "${m}_cache_key /a";
    silent $m, "location /a { ${m}_pass app; ${m}_cache $zone;
        ${m}_cache_key \$canary_group\$uri; }";
}

# what nginx itself says of a key stays, and a second reading is as the first

my ($ok, $text) = $nginx->test(server => 'location /a { proxy_cache p;
    proxy_pass http://app; proxy_cache_key $uri; proxy_cache_key $uri; }');
ok !$ok, 'a key twice';
like $text, qr/"proxy_cache_key" directive is duplicate/, 'is refused';

my $warning = qr/\[warn\] \S+ "proxy_cache_key" has no \$canary_group/;
my $bad = 'location /a { proxy_cache p; proxy_pass http://app; '
    . 'proxy_cache_key $uri; }';

$nginx->{allow} = [qr/unknown directive "nonsense"/];
$nginx->start(server => $bad);
ok !$nginx->reload(server => "$bad nonsense;"), 'a reload that fails';
ok $nginx->reload(server => $bad), 'a reload' for 1, 2;
my $said = () = $nginx->error_log =~ /$warning/g;
is $said, 3, 'warned at the start and at each reload';

done_testing;
