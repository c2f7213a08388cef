#!/usr/bin/perl

# The log formats of conf/canary_log.conf.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Test;

my $dead = free_port();
my $dir = tmpdir();
my ($blue, $green) = map { backend(name => $_) } qw(blue green);
my $nginx = nginx(
    groups => [blue => $blue, green => $green, dead => $dead],
    http => 'include ' . root() . '/conf/canary_log.conf;',
    upstreams => 'upstream fails { canary zone=edge blue dead; '
        . 'canary_failover on; }',
    workers => 1,                      # which logs in the requests' order
    server => "access_log $dir/people.log canary;\n"
        . "access_log $dir/json.log canary_json;\n"
        . "location /fails { proxy_pass http://fails; }\n"
        . "location = /local { return 204; }\n"
        . "location = /twice { error_page 500 = /; proxy_intercept_errors on;"
        . " proxy_pass http://app/?status=500; }\n",
)->start;

is $nginx->put(weights => { blue => 0, green => 100 })->{status}, 200, 'put';
is $nginx->put(upstream => 'fails', weights => { dead => 100 })->{status},
    200, 'put';

my @paths = ('/', '/forced', '/fails', '/local', '/twice', '/odd"\\%22%0a');

for my $path (@paths) {
    $nginx->get($path, $path eq '/forced' ? ('X-Canary' => 'blue') : ());
}

wait_for { (() = slurp("$dir/json.log") =~ /\n/g) == @paths } 10, 'the log';

my @json = map { decode($_) } split /\n/, slurp("$dir/json.log");
my @people = split /\n/, slurp("$dir/people.log");

is scalar(@people), @paths, 'a line for each, for people';

for (
    [qw(0 green green weight 1 200)], [qw(1 blue blue force 1 200)],
    [qw(2 dead blue failover 1 200)], [3, '', '', '', '', 204],
    [qw(4 green green weight 1 200)],
) {
    my ($i, $group, $served, $reason, $revision, $status) = @$_;

    is_deeply [@{ $json[$i] }{qw(group served reason revision status)}],
        [$group, $served, $reason, $revision, $status], "$paths[$i]: JSON"
        or diag encode($json[$i]);

    my $text = join ' ', map { $_ eq '' ? '-' : $_ } "group=$group",
        "served=$served", "reason=$reason", "revision=$revision";
    $text =~ s/=(?= |$)/=-/g;
    like $people[$i], qr/\Q$text\E/, "$paths[$i]: for people";
}

is $json[2]{upstream}, "127.0.0.1:$dead, " . $blue->target,
    'both attempts of a failover';
like $json[2]{upstream_status}, qr/^502, 200$/, 'and how they went';
like $json[0]{upstream_seconds}, qr/^\d\.\d{3}$/, 'seconds';
like $json[5]{request}, qr/^GET \/odd"\\%22%0a HTTP/, 'odd bytes are escaped';

done_testing;
