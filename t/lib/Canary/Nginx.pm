package Canary::Nginx;

# One nginx with the module, in the foreground, in the directory of the test.
# See Canary::Test for how to use it.

use strict;
use warnings;

use File::Copy ();

use Canary::HTTP ();
use Canary::Process qw(wait_for tmpdir spawn reap alive stop_process
    slurp spew children);

my $count = 0;
my @all;


sub new {
    my ($class, %opt) = @_;

    my $dir = tmpdir() . '/nginx' . $count++;
    mkdir $dir or die "$dir: $!";
    chmod 0755, $dir;

    my $self = bless {
        dir => $dir,
        port => Canary::Test::free_port(),
        log_level => 'info',
        workers => 2,
        zone => "edge 1m state=$dir/edge.state",
        groups => [],
        canary => 'zone=edge blue green',
        key => '$http_x_user',
        force => '$http_x_canary',
        keepalive => 16,
        allow => [],
        %opt,
    }, $class;

    $self->{api} = "unix:$dir/api.sock";
    push @all, $self;

    return $self;
}


# The text of nginx.conf.  Every part may be given: main, events, http,
# upstreams, app, location, server, servers add lines; module, zone, groups,
# canary, key, force, app_block, api replace ('' leaves the part out).

sub conf {
    my ($self) = @_;

    return $self->{conf} if defined $self->{conf};

    my %s = %$self;
    my $dir = $s{dir};
    my $add = sub {
        my ($name, $indent) = @_;
        my $text = $s{$name} // return '';
        $text =~ s/^(?=.)/' ' x $indent/gme;
        return "$text\n";
    };

    my $module = $s{module} // module();
    my $text = $module ? "load_module $module;\n" : '';

    $text .= "user " . ($s{user} // "root") . ";\n" if $> == 0;
    $text .= "daemon off;\nmaster_process "
        . ($s{single} ? 'off' : 'on') . ";\n"
        . "worker_processes $s{workers};\n"
        . "worker_shutdown_timeout 5s;\n"
        . "pid $dir/nginx.pid;\nerror_log $dir/error.log $s{log_level};\n";
    $text .= $add->('main', 0);
    $text .= "\nevents {\n    worker_connections 1024;\n"
        . $add->('events', 4) . "}\n\nhttp {\n    access_log off;\n";

    for my $temp (qw(client_body proxy fastcgi uwsgi scgi)) {
        $text .= "    ${temp}_temp_path $dir/${temp}_temp;\n";
    }

    $text .= "    keepalive_requests 1000000;\n";
    $text .= $add->('http', 4);
    $text .= "    canary_zone $s{zone};\n" if $s{zone};

    my @groups = @{ $s{groups} };

    while (my ($name, $servers) = splice @groups, 0, 2) {
        $servers = [$servers] unless ref $servers eq 'ARRAY';
        $text .= "\n    upstream $name {\n"
            . join('', map { '        server ' . address($_) . ";\n" }
                @$servers)
            . ($s{keepalive} ? "        keepalive $s{keepalive};\n" : '')
            . "    }\n";
    }

    $text .= $add->('upstreams', 4);

    if (defined $s{app_block}) {
        $text .= $add->('app_block', 4);

    } elsif ($s{canary}) {
        $text .= "\n    upstream app {\n        canary $s{canary};\n";
        $text .= "        canary_key $s{key};\n" if $s{key};
        $text .= "        canary_force $s{force};\n" if $s{force};
        $text .= $add->('app', 8) . "    }\n";
    }

    $text .= "\n    server {\n        listen 127.0.0.1:$s{port};\n"
        . $add->('server', 8);

    unless (defined $s{no_location}) {
        my $pass = $s{proxy_pass} // 'http://app';
        $text .= "\n        location / {\n"
            . "            proxy_pass $pass;\n"
            . "            proxy_http_version 1.1;\n"
            . "            proxy_set_header Connection \"\";\n"
            . $add->('location', 12) . "        }\n";
    }

    $text .= "    }\n";

    my $api = $s{api_locations} // <<'API';
location /canary/ { canary_api write=on; }
location /metrics { canary_metrics; }
API

    if ($api) {
        $api =~ s/^(?=.)/        /gm;
        $text .= "\n    server {\n        listen $s{api};\n$api    }\n";
    }

    return $text . $add->('servers', 4) . "}\n";
}


# The module, as a copy: a build may overwrite the original meanwhile, and a
# mapped file that changes is the end of nginx.  T_NGINX may be an nginx that
# has it already: T_MODULE=static.

sub module {
    return '' if ($ENV{T_MODULE} // '') eq 'static';

    my $name = 'ngx_http_canary_module.so';
    my $copy = tmpdir() . "/$name";

    unless (-e $copy) {
        File::Copy::copy(Canary::Test::build() . "/$name", $copy)
            or die "$name: $!";
    }

    return $copy;
}


# A server of nginx.conf: a backend, a port, or what it says.

sub address {
    my ($server) = @_;

    return $server->target if ref $server;
    return "127.0.0.1:$server" if $server =~ /^\d+$/;
    return $server;
}


sub write_conf {
    my ($self, %change) = @_;

    @$self{keys %change} = values %change;

    return spew("$self->{dir}/nginx.conf", $self->conf);
}


sub command {
    my ($self) = @_;

    my $binary = $self->{binary} // $ENV{T_NGINX} // '/usr/sbin/nginx';
    $binary = 'nginx' unless -x $binary;

    return ($binary, '-p', "$self->{dir}/", '-e', "$self->{dir}/error.log",
        '-c', "$self->{dir}/nginx.conf");
}


# nginx -t on the configuration with these changes, beside the one that may
# be running: (true if it is fine, what nginx says).

sub test {
    my ($self, %change) = @_;

    my $dir = $self->{dir};
    my $text = (bless { %$self, %change }, ref $self)->conf;
    $text =~ s/\berror\.log\b/test.log/g;
    spew("$dir/test.conf", $text);

    unlink "$dir/test.out", "$dir/test.log";

    my ($binary) = $self->command;
    my $pid = spawn(name => 'nginx -t', out => "$dir/test.out",
        cmd => [$binary, '-p', "$dir/", '-e', "$dir/test.log",
            '-c', "$dir/test.conf", '-t'],
        env => Canary::Test::sanitizer_env('nginx', 1));
    my $status = reap($pid, 30) // stop_process($pid, 'KILL');

    return ($status == 0, slurp("$dir/test.out") . slurp("$dir/test.log"));
}


sub start {
    my ($self, %change) = @_;

    $self->write_conf(%change);
    unlink "$self->{dir}/nginx.pid";

    $self->{pid} = spawn(
        name => 'nginx',
        cmd => [@{ $self->{wrapper} // [] }, $self->command],
        out => "$self->{dir}/stdout",
        env => Canary::Test::sanitizer_env('nginx', 1),
    );

    my $up = wait_for {
        !alive($self->{pid})
            or -s "$self->{dir}/nginx.pid" && $self->listening
            && ($self->{single} || $self->workers == $self->{workers});
    } $self->{start_timeout} // 30;

    unless ($up && alive($self->{pid})) {
        die "nginx did not start:\n" . slurp("$self->{dir}/stdout")
            . $self->error_log;
    }

    return $self;
}


sub listening {
    my ($self) = @_;

    my $connection = Canary::HTTP->new($self->{port}) or return;
    $connection->close;

    return 1;
}


sub pid { $_[0]{pid} }
sub port { $_[0]{port} }
sub api_target { $_[0]{api} }
sub target { "127.0.0.1:$_[0]{port}" }
sub running { alive($_[0]{pid}) }


# Pids of the workers; without those that are shutting down.

sub workers {
    my ($self) = @_;

    return $self->{pid} if $self->{single};
    return grep { title($_) =~ /worker process$/ } children($self->{pid});
}


sub old_workers {
    my ($self) = @_;

    return grep { title($_) =~ /shutting down/ } children($self->{pid});
}


sub title {
    my ($pid) = @_;

    my $title = slurp("/proc/$pid/cmdline");
    $title =~ s/[\0 ]+\z//;

    return $title;
}


# HUP; true once only new workers take requests, false if nginx refused the
# configuration (it says why in its error log).

sub reload {
    my ($self, %change) = @_;

    $self->write_conf(%change);

    my %old = map { $_ => 1 } $self->workers;
    my $log = length $self->error_log;
    my $refused;

    kill 'HUP', $self->{pid};

    wait_for {
        # an address that is taken is tried again for some seconds

        return 1 if $refused = substr($self->error_log, $log)
            =~ /\[emerg\](?!.* bind\(\) to )/;
        my @workers = $self->workers;
        @workers == $self->{workers} && !grep { $old{$_} } @workers;
    } 30, 'new workers after a reload';

    return !$refused;
}


# Waits until no old worker is left.

sub settled {
    my ($self, $timeout) = @_;

    wait_for { !$self->old_workers } $timeout // 15, 'old workers to end';
}


# TERM, QUIT ...; then looks what the error log says.

sub stop {
    my ($self, $signal) = @_;

    return unless $self->{pid};

    my $status = stop_process($self->{pid}, $signal // 'TERM', 20);
    delete $self->{pid};

    return $status;
}


sub kill {
    my ($self, $signal) = @_;

    return CORE::kill $signal // 'KILL', $self->{pid};
}


sub restart {
    my ($self, %change) = @_;

    $self->stop;

    return $self->start(%change);
}


# kill -9 of the master and its workers.

sub crash {
    my ($self) = @_;

    my @workers = children($self->{pid});

    CORE::kill 'KILL', $self->{pid}, @workers;
    reap($self->{pid}, 5);
    wait_for { !grep { alive($_) } @workers } 5, 'workers to end';

    delete $self->{pid};
    unlink "$self->{dir}/api.sock";
}


sub error_log {
    my ($self) = @_;

    return slurp("$self->{dir}/error.log");
}


# What must not be in the error log; allow => [qr/../] excuses lines.

sub complaints {
    my ($self) = @_;

    my @bad;

    for my $line (split /\n/, $self->error_log) {
        next unless $line =~ /\[(?:alert|emerg)\]|exited on signal
            |AddressSanitizer|runtime\ error/x;
        next if grep { $line =~ $_ } @{ $self->{allow} };
        push @bad, $line;
    }

    return @bad;
}


# Requests to the traffic port and to the API.

sub get {
    my ($self, $path, %headers) = @_;

    return Canary::HTTP::http($self->{port}, 'GET', $path // '/',
        headers => \%headers);
}


sub api {
    my ($self, $method, $path, $body, %opt) = @_;

    return Canary::HTTP::http($self->{api}, $method, "/canary/$path",
        defined $body ? (body => $body) : (), %opt);
}


# The state of an upstream as the API shows it.

sub upstream {
    my ($self, $name) = @_;

    my $r = $self->api(GET => 'upstreams/' . ($name // 'app'));
    die "GET upstreams: $r->{status} $r->{body}\n" if $r->{status} != 200;

    return $r->{json};
}


# The same when each attempt has ended: a client may have its answer a moment
# before that.

sub counted {
    my ($self, $name) = @_;

    my $u;

    wait_for {
        $u = $self->upstream($name);
        !grep { $_ && $_->{attempts} != $_->{finished} }
            map { $_->{pinned}, @{ $_->{strata} } } values %{ $u->{groups} };
    } 20, 'all attempts to end';

    return $u;
}


# Puts a record under the next revision: put(weights => {..}, ...).

sub put {
    my ($self, %record) = @_;

    my $name = delete $record{upstream} // 'app';
    my $now = $self->upstream($name)->{record};

    return $self->api(PUT => "upstreams/$name", {
        revision => $now->{revision} + 1,
        stable => $now->{stable},
        %record,
    });
}


# Waits until the state file has all changes; a put waits for a disk that is
# not busy.

sub saved {
    my ($self) = @_;

    wait_for {
        my $u = $self->upstream;
        $u->{persisted} == $u->{generation};
    } 20, 'the state file';
}


sub metrics {
    my ($self) = @_;

    return Canary::HTTP::http($self->{api}, 'GET', '/metrics')->{body};
}


sub all { @all }


1;
