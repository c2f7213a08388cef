#!/usr/bin/perl

# A drained server gets no new request, those it has go on; it stays drained
# over reload, restart and crash.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my %b = map { $_ => backend(name => $_) } qw(b1 b2 spare down green);
my %a = map { $_ => $b{$_}->target } keys %b;

our $blue = "server $a{b1}; server $a{b2}; server $a{down} down; "
    . "server $a{spare} backup;";


# upstreams; each method may be given to blue

sub groups {
    my ($method) = @_;

    return "upstream blue { zone blue 64k; $method $blue keepalive 8; }\n"
        . "upstream green { server $a{green}; }\n";
}


my $nginx = nginx(groups => [], upstreams => groups(''),
    location => "proxy_next_upstream off;\n",
    allow => [qr/\[emerg\] .* bind\(\)/, qr/\[emerg\] .* still could not/],
)->start;


sub drain {
    my ($server, $on, %opt) = @_;

    my $group = $opt{group} // 'blue';

    return $nginx->api('PUT', "upstreams/app/groups/$group/servers/"
        . ($a{$server} // $server), $opt{body} // { drain => $on
            ? JSON::PP::true : JSON::PP::false });
}


sub servers {
    my $list = $nginx->upstream->{groups}{blue}{servers};

    return { map { $_->{address} => $_ } @$list };
}


# who answers 60 requests

sub answers {
    my %seen;
    my $c = http_connect($nginx->target);

    for (1 .. 60) {
        my $r = $c->request('GET', '/', headers => { 'X-User' => "u$_" });
        $seen{$r->{headers}{'x-backend'} // $r->{status}}++;
    }

    return join ' ', sort keys %seen;
}


# what the API lists

my $list = servers();

is scalar(keys %$list), 4, 'all servers are listed';
is_deeply $list->{$a{b1}}, { server => $a{b1}, address => $a{b1},
    backup => JSON::PP::false, down => JSON::PP::false,
    drain => JSON::PP::false, in_flight => 0 }, 'one of them';
ok $list->{$a{spare}}{backup}, 'the backup';
ok $list->{$a{down}}{down}, 'the one that is down';
ok !exists $nginx->upstream->{groups}{green}{servers},
    'none of a group without zone';
is answers(), 'b1 b2', 'both serve';

# a running request goes on

$b{$_}->set(delay_ms => 400) for qw(b1 b2);
my @c = map { http_connect($nginx->target)->send('GET', '/') } 1 .. 4;
wait_for { servers()->{$a{b1}}{in_flight} == 2
    && servers()->{$a{b2}}{in_flight} == 2 } 10, 'requests in flight';
my $r = drain('b1', 1);
is $r->{status}, 200, 'drain' or diag $r->{body};
is $r->{json}{servers}[0]{address}, $a{b1}, 'the answer names it';
ok $r->{json}{servers}[0]{drain}, 'and says so';
is $r->{json}{servers}[0]{in_flight}, 2, 'with what it still has to do';
$nginx->saved;
is join(' ', map { $_->read->{status} } @c), '200 200 200 200',
    'running requests end well';
wait_for { servers()->{$a{b1}}{in_flight} == 0 } 10, 'the end of them';
$b{$_}->set(delay_ms => 0, zero => 1) for qw(b1 b2);
is answers(), 'b2', 'no new one goes there';
is $b{b1}->counts->{requests}, 0, 'not one';
like $nginx->error_log, qr/server "$a{b1}" of group "blue" is drained/,
    'the log';
like $nginx->metrics, qr/^nginx_canary_drained_servers\{zone="edge"\} 1$/m,
    'the metric';

is drain('b1', 1)->{status}, 200, 'again';
is $nginx->upstream->{generation}, $r->{json}{generation},
    'changes nothing';

# the backup serves when all are drained, then nobody does

is drain('b2', 1)->{status}, 200, 'the other one';
is answers(), 'spare', 'the backup serves';
is drain('spare', 1)->{status}, 200, 'the backup, too';
is answers(), '502', 'nobody is left';
is drain('spare', 0)->{status}, 200, 'the backup is back';
is answers(), 'spare', 'and serves';

# kept over everything

for my $i (1 .. 3) {
    ok $nginx->reload(workers => 1 + $i), "reload $i";
    is answers(), 'spare', 'still drained';
}

my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1');
ok !$nginx->reload(server => 'listen 127.0.0.1:' . $taken->sockport . ';'),
    'a reload that fails';
close $taken;
is answers(), 'spare', 'changes nothing';
$nginx->restart(server => '');
is answers(), 'spare', 'a restart';
$nginx->crash;
$nginx->start;
is answers(), 'spare', 'kill -9';
ok servers()->{$a{b1}}{drain}, 'it is said';
ok !servers()->{$a{b1}}{down}, 'and told from "down"';

is drain($_, 0)->{status}, 200, "$_ is back" for qw(b1 b2);
is answers(), 'b1 b2', 'they serve again';
ok $nginx->reload, 'reload';
is answers(), 'b1 b2', 'that is kept, too';

# one that is down by configuration stays down

is drain('down', 1)->{status}, 200, 'drain it';
is_deeply [@{ servers()->{$a{down}} }{qw(down drain)}],
    [JSON::PP::true, JSON::PP::true], 'both';
$r = drain('down', 0);
is_deeply [@{ $r->{json}{servers}[0] }{qw(down drain)}],
    [JSON::PP::true, JSON::PP::false], 'down remains';
is answers(), 'b1 b2', 'it never serves';
is $b{down}->counts->{requests}, 0, 'not one request';

# with every method

for my $method ('least_conn;', 'hash $http_x_user;',
        'hash $http_x_user consistent;', 'random;', 'random two;',
        'ip_hash;') {
    local $blue = "server $a{b1}; server $a{b2}; server $a{b2};";

    ok $nginx->reload(upstreams => groups($method)), $method;
    my $before = answers();
    is drain('b2', 1)->{json}{servers}[1]{address}, $a{b2},
        'both servers of that address';
    is answers(), 'b1', 'only the other one serves';
    is drain('b2', 0)->{status}, 200, 'back';
    is answers(), $before, 'as before';
}

# what is not in the configuration any more is forgotten

is drain('b2', 1)->{status}, 200, 'drain';
{
    local $blue = "server $a{b1};";
    ok $nginx->reload(upstreams => groups('')), 'a reload without it';
}
like $nginx->error_log,
    qr/drained server "$a{b2}" is forgotten, group "blue" does not have/,
    'is said';
ok $nginx->reload(upstreams => groups('')), 'a reload with it';
is answers(), 'b1 b2', 'it serves';

# unix sockets have slashes

my $unix = backend(name => 'unix', listen => "unix:$nginx->{dir}/b.sock");
{
    local $blue = "server $unix->{target}; server $a{b1};";
    ok $nginx->reload(upstreams => groups('')), 'a unix socket';
}
is answers(), 'b1 unix', 'serves';
is drain($unix->target, 1)->{status}, 200, 'is drained';
is answers(), 'b1', 'and does not';

# a group of several upstreams: whoever asks

ok $nginx->reload(upstreams => groups('')
    . "upstream other { canary zone=edge green blue; }\n"), 'two upstreams';
is drain('b1', 1)->{status}, 200, 'drained by one';
$r = $nginx->api('PUT', "upstreams/other/groups/blue/servers/$a{b1}",
    { drain => JSON::PP::false });
is $r->{status}, 200, 'undrained by the other';
is answers(), 'b1 b2', 'it serves';

# refusals

for (
    ['no zone', 409, qr/needs a "zone"/, 'green', group => 'green'],
    ['no such server', 404, qr/no server of this address/, '127.0.0.1:1'],
    ['no such group', 404, qr/there are/, 'b1', group => 'red'],
    ['no address', 404, qr/there are/, ''],
    ['not a boolean', 422, qr/true or false/, 'b1', body => { drain => 1 }],
    ['another field', 422, qr/only field/, 'b1',
        body => { drain => JSON::PP::true, x => 1 }],
    ['an array', 422, qr/only field/, 'b1', body => []],
    ['empty', 422, qr/only field/, 'b1', body => {}],
) {
    my ($what, $status, $detail, $server, %opt) = @$_;
    $r = drain($server, 1, %opt);

    is $r->{status}, $status, $what;
    like $r->{json}{detail}, $detail, "$what: is said";
}

$r = $nginx->api('GET', "upstreams/app/groups/blue/servers/$a{b1}");
is $r->{status}, 405, 'GET of a server';
is $r->{headers}{allow}, 'PUT', 'Allow';

# more than there is room for

{
    local $blue = join '', map { "server 127.0.1.$_:1; server 127.0.2.$_:1;" }
        1 .. 100;
    ok $nginx->reload(upstreams => groups('')
        =~ s/zone blue 64k/zone blue2 256k/r), 'two hundred servers';
}

my %status;
for my $net (1, 2) {
    $status{drain("127.0.$net.$_:1", 1)->{status}}++ for 1 .. 100;
}

is_deeply [sort keys %status], [200, 507], '507 when there is no room';
cmp_ok $status{200}, '>=', 100, "$status{200} were drained";
like drain('127.0.2.100:1', 1)->{json}{detail}, qr/is full or has too many/,
    'is said';

done_testing;
