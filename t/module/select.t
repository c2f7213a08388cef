#!/usr/bin/perl

# Who is served by which group: weights, keys, force, salt, variables.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my %backend = map { $_ => backend(name => $_) } qw(blue green red);

my $nginx = nginx(
    groups => [map { $_ => $backend{$_} } qw(blue green red)],
    location => <<'CONF',
add_header X-Group $canary_group;
add_header X-Reason $canary_reason;
add_header X-Revision $canary_revision;
proxy_set_header X-Group $canary_group;
CONF
    upstreams => <<'CONF',
upstream three {
    canary zone=edge blue green red;
    canary_key $http_x_user;
}
upstream byaddr {
    canary zone=edge blue green;
}
CONF
    server => <<'CONF',
location /three { proxy_pass http://three; add_header X-Group $canary_group; }
location /byaddr { proxy_pass http://byaddr; add_header X-Group $canary_group; }
location /named {
    set $to app;
    proxy_pass http://$to;
    add_header X-Group $canary_group;
}
location /static { return 200 "[$canary_group]"; }
CONF
)->start;


sub groups_of {
    my ($path, @users) = @_;

    my $c = http_connect("127.0.0.1:$nginx->{port}");

    return map {
        my $r = $c->request('GET', $path, headers => { 'X-User' => $_ });
        $r->{headers}{'x-group'};
    } @users;
}


sub count {
    my %n;

    $n{$_}++ for @_;

    return map { $n{$_} // 0 } qw(blue green red);
}


my @users = map { "user-$_" } 1 .. 2000;
my $revision = 0;


sub weights {
    my ($upstream, $weights, %more) = @_;

    my $r = $nginx->api('PUT', "upstreams/$upstream", {
        revision => ++$revision, weights => $weights, stable => 'blue',
        %more,
    });

    is $r->{status}, 200, "$upstream: " . encode($weights);
}


# the configuration's default

my $r = $nginx->get('/', 'X-User' => 'anna');

is $r->{headers}{'x-backend'}, 'blue', 'the first group is stable';
is $r->{headers}{'x-group'}, 'blue', '$canary_group';
is $r->{headers}{'x-reason'}, 'weight', '$canary_reason';
is $r->{headers}{'x-revision'}, 0, '$canary_revision';
is $nginx->get('/static')->{body}, '[]', 'no group where nothing is passed';
is $nginx->get('/named', 'X-User' => 'anna')->{headers}{'x-group'}, 'blue',
    'proxy_pass with variables';

# force

$r = $nginx->get('/', 'X-User' => 'anna', 'X-Canary' => 'green');
is $r->{headers}{'x-backend'}, 'green', 'force by name';
is $r->{headers}{'x-reason'}, 'force', 'its reason';

for (['canary', 'green'], ['stable', 'blue'], ['blue', 'blue']) {
    my ($value, $group) = @$_;

    is $nginx->get('/', 'X-Canary' => $value)->{headers}{'x-backend'}, $group,
        "force \"$value\"";
}

for my $value ('nobody', 'GREEN', 'green ', 'gree', 'x' x 2000) {
    $r = $nginx->get('/', 'X-User' => 'anna', 'X-Canary' => $value);
    my $name = length $value > 20 ? 'a long value' : "\"$value\"";

    if ($value eq 'green ') {
        is $r->{headers}{'x-reason'}, 'force', 'nginx strips the space';
        next;
    }

    is $r->{headers}{'x-reason'}, 'weight', "$name is ignored";
}

# distribution

weights('app', { blue => 70, green => 30 });

my @first = groups_of('/', @users);
my ($blue, $green) = count(@first);

cmp_ok chi_square([$blue, $green], [1400, 600]), '<', chi_square_limit(1),
    "30 % of keys are green: $green of 2000";
is_deeply [groups_of('/', @users)], \@first, 'a key keeps its group';

# raising a weight moves keys from stable to canary and nobody back

my @last = groups_of('/', @users);
my $before = \@last;

for my $weight (30.01, 45, 80, 99.99, 100) {
    weights('app', { blue => 100 - $weight, green => $weight });

    my @now = groups_of('/', @users);
    my $back = grep { $before->[$_] eq 'green' && $now[$_] ne 'green' }
        0 .. $#now;

    is $back, 0, "nobody goes back at $weight %";
    $before = [@now];
}

is scalar(grep { $_ eq 'green' } @$before), 2000, 'all at 100 %';

weights('app', { blue => 100 });
is scalar(grep { $_ eq 'blue' } groups_of('/', @users)), 2000, 'none at 0 %';

# fine weights: 0.5 % of 20 000 keys

weights('app', { blue => 99.5, green => 0.5 });
my ($b, $g) = count(groups_of('/', map { "k$_" } 1 .. 20000));

cmp_ok chi_square([$b, $g], [19900, 100]), '<', chi_square_limit(1),
    "0.5 % of keys: $g of 20000";

# the salt draws anew who goes first

weights('app', { blue => 70, green => 30 }, salt => 'release-2');

my @salted = groups_of('/', @users);
my %pair;

$pair{"$first[$_] $salted[$_]"}++ for 0 .. $#users;

cmp_ok chi_square(
    [map { $pair{$_} // 0 } 'blue blue', 'blue green', 'green blue',
        'green green'],
    [2000 * 0.49, 2000 * 0.21, 2000 * 0.21, 2000 * 0.09]),
    '<', chi_square_limit(3), 'two salts are independent';

# three groups

weights('three', { blue => 50, green => 30, red => 20 });

my @three = groups_of('/three', @users);

cmp_ok chi_square([count(@three)], [1000, 600, 400]), '<',
    chi_square_limit(2), 'three groups: ' . join ' ', count(@three);

weights('three', { blue => 40, green => 30, red => 30 });
my @three2 = groups_of('/three', @users);

is scalar(grep { $three[$_] ne 'blue' && $three2[$_] ne $three[$_] }
    0 .. $#users), 0, 'only stable gives keys away';

# no key: each request by itself

weights('app', { blue => 50, green => 50 });
my ($rb, $rg) = count(groups_of('/', ('') x 2000));

cmp_ok chi_square([$rb, $rg], [1000, 1000]), '<', chi_square_limit(1),
    "an empty key is random: $rb, $rg";

# the default key is the address: one group for all of these

weights('byaddr', { blue => 50, green => 50 });
my %seen = map { $_ => 1 } groups_of('/byaddr', @users[0 .. 50]);

is scalar(keys %seen), 1, 'by default the key is the client address';

done_testing;
