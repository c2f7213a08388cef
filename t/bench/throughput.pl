#!/usr/bin/perl

# Requests a second, 99th percentile and processor time of a request, by wrk,
# through each kind of split in turn, as ratios to plain nginx in the same
# round.  All have one worker, 16 kept connections to one backend, and 10 % for
# the canary.
#
# Lua is what an OpenResty user would write for the same: weights and counters
# in a shared dictionary, the group by a hash of the address, and after each
# request as many counters as the module has, latency histogram included.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Canary::Bench;
use Canary::Process ();
use Canary::Test;

my %opt = options();
my $backend = backend();
my $hertz = (run('getconf', 'CLK_TCK'))[1] + 0;

my ($nginx, $port) = proxies($backend,
    { plain => 'plain', canary => 'app', split => '$group' },
    http => 'split_clients $remote_addr $group { 10% green; * blue; }');

put_record($nginx);

my $lua_code = <<'LUA';
set $group '';
rewrite_by_lua_block {
    local routing = ngx.shared.routing
    local bucket = ngx.crc32_short((routing:get("salt") or "")
        .. ngx.var.remote_addr) % 10000
    local group = bucket < (routing:get("weight") or 0) and "green" or "blue"
    ngx.var.group = group
    ngx.shared.counters:incr(group .. ":selections", 1, 0)
}
log_by_lua_block {
    local counters = ngx.shared.counters
    local group = ngx.var.group
    local status = tonumber(ngx.var.upstream_status) or 502
    counters:incr(group .. ":attempts", 1, 0)
    counters:incr(group .. ":requests", 1, 0)
    counters:incr(group .. ":responses:" .. math.floor(status / 100), 1, 0)
    if status >= 500 then
        counters:incr(group .. ":errors", 1, 0)
    else
        local us = (tonumber(ngx.var.upstream_header_time) or 0) * 1000000
        local _, exponent = math.frexp(us)
        local shift = math.max(exponent - 5, 0)
        local slot = shift * 16 + math.floor(us / 2 ^ shift)
        counters:incr(group .. ":latency_sum", us, 0)
        counters:incr(group .. ":latency:" .. slot, 1, 0)
    end
    counters:incr(group .. ":finished", 1, 0)
}
LUA

my $modules = '/usr/lib/nginx/modules';
my ($lua, $lua_port) = proxies($backend, { lua => ['$group', $lua_code] },
    module => "$modules/ndk_http_module.so;\n"
        . "load_module $modules/ngx_http_lua_module.so",
    main => 'pcre_jit on;', canary => '', zone => '', api_locations => '',
    no_location => 1, app_block => '', http => <<'HTTP');
lua_shared_dict routing 1m;
lua_shared_dict counters 10m;
init_by_lua_block { ngx.shared.routing:set("weight", 1000) }
HTTP

# HAProxy, by hand: an address as target, one thread, kept connections

my $haproxy_port = free_port();
my $target = $backend->target;

spew(tmpdir() . '/haproxy.cfg', <<CFG);
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend in
    bind 127.0.0.1:$haproxy_port
    default_backend app
backend app
    balance roundrobin
    server blue $target weight 90 pool-max-conn 64
    server green $target weight 10 pool-max-conn 64
CFG

my $haproxy = spawn(name => 'haproxy',
    cmd => ['haproxy', '-db', '-f', tmpdir() . '/haproxy.cfg'],
    out => tmpdir() . '/haproxy.out', err => tmpdir() . '/haproxy.err');

wait_for { Canary::HTTP->new($haproxy_port) } 10, 'haproxy';

# name, port, process that does the work

my @variants = (
    ['plain nginx', $port->{plain}, ($nginx->workers)[0]],
    ['canary upstream', $port->{canary}, ($nginx->workers)[0]],
    ['split_clients', $port->{split}, ($nginx->workers)[0]],
    ['Lua, equal counters', $lua_port->{lua}, ($lua->workers)[0]],
    ['HAProxy, weights', $haproxy_port, $haproxy],
);


# User and system time so far, in seconds.

sub cpu {
    my ($pid) = @_;

    my @stat = split ' ', slurp("/proc/$pid/stat") =~ s/^.*\)//sr;

    return ($stat[11] + $stat[12]) / $hertz;
}


sub wrk {
    my ($variant) = @_;

    my (undef, $on, $pid) = @$variant;
    my $before = cpu($pid);
    my ($code, $out, $err) = run('wrk', '-t1', "-c$opt{connections}",
        "-d$opt{seconds}s", '--latency', "http://127.0.0.1:$on/");
    my $spent = cpu($pid) - $before;

    my ($n) = $out =~ /(\d+) requests in/;
    my ($rate) = $out =~ m{Requests/sec:\s+([\d.]+)};
    my ($p99, $unit) = $out =~ /^\s+99%\s+([\d.]+)(us|ms|s)$/m;

    die "wrk: $code $out$err\n" if $code || !$rate || !$unit
        || $out =~ /Non-2xx|Socket errors/;

    $p99 *= { us => 1, ms => 1000, s => 1_000_000 }->{$unit};

    return { rate => $rate, p99 => $p99, cpu => 1e6 * $spent / $n };
}


print "$opt{rounds} rounds of $opt{seconds} s, $opt{connections} connections; "
    . "medians, and the ratio to plain nginx\n";

wrk($_) for @variants;    # warm

my (%value, %ratio);

for my $round (1 .. $opt{rounds}) {
    my %now;

    # the order turns, so that no one always follows the same one
    for my $i (map { ($_ + $round) % @variants } 0 .. $#variants) {
        $now{$i} = wrk($variants[$i]);
    }

    for my $i (0 .. $#variants) {
        for my $what (qw(rate p99 cpu)) {
            push @{ $value{$i}{$what} }, $now{$i}{$what};
            push @{ $ratio{$i}{$what} }, $now{$i}{$what} / $now{0}{$what};
        }
    }
}

printf "  %-20s %22s %24s %26s\n", '', 'requests/s', '99th percentile',
    'processor/request';

for my $i (0 .. $#variants) {
    printf "  %-20s %12.0f  %.3f x %13.0f us  %.3f x %15.1f us  %.3f x\n",
        $variants[$i][0],
        map { (median(@{ $value{$i}{$_} }), median(@{ $ratio{$i}{$_} })) }
        qw(rate p99 cpu);
}

die $lua->error_log if $lua->error_log =~ /\[error\]/;

stop_process($haproxy, 'TERM', 5);
$_->stop for $nginx, $lua, $backend;
