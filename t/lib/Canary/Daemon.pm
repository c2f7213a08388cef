package Canary::Daemon;

# One canaryd.  canaryd(nginx => $nginx, redis => $redis) starts it and waits
# until it listens; without redis it brings its own.  Options:
#
#   node      its name                     tick     "200ms"
#   nginx     a Canary::Nginx, or an address
#   redis     a Canary::Redis, or an address
#   args      [..] more flags              config   text of the file
#   prefix    [..] a command that runs it
#   wait      'ready' (default), 'live' or 'no'

use strict;
use warnings;

use Canary::HTTP ();
use Canary::Process qw(wait_for tmpdir spawn reap alive stop_process slurp
    spew children);

my $count = 0;
my @all;


sub new {
    my ($class, %opt) = @_;

    my $dir = tmpdir() . '/canaryd' . $count++;
    mkdir $dir or die "$dir: $!";

    my $self = bless {
        dir => $dir,
        node => "node$count",
        tick => '100ms',
        wait => 'ready',
        socket => "$dir/api.sock",
        %opt,
    }, $class;

    push @all, $self;

    return $self;
}


sub command {
    my ($self) = @_;

    my $nginx = ref $self->{nginx}
        ? $self->{nginx}->api_target . ':/canary/' : $self->{nginx};
    my $redis = ref $self->{redis} ? $self->{redis}->target : $self->{redis};

    # an empty file at least, so that one of the machine is not read
    my $config = spew("$self->{dir}/canaryd.yaml", $self->{config} // "{}\n");

    return (@{ $self->{prefix} // [] },
        Canary::Test::build() . '/canaryd', '--config', $config,
        '--node', $self->{node}, '--listen', "unix:$self->{socket}",
        defined $nginx ? ('--nginx', $nginx) : (),
        defined $redis ? ('--redis', $redis) : (),
        '--tick', $self->{tick}, '--data-dir', "$self->{dir}/data",
        @{ $self->{args} // [] });
}


sub start {
    my ($self) = @_;

    $self->{pid} = spawn(
        name => "canaryd $self->{node}",
        cmd => [$self->command],
        out => "$self->{dir}/stdout", err => "$self->{dir}/log",
        env => Canary::Test::sanitizer_env('canaryd'),
    );

    return $self if $self->{wait} eq 'no';

    wait_for {
        !alive($self->{pid})
            or $self->get("/$self->{wait}")->{status} == 200;
    } 20 or die "canaryd is not $self->{wait}:\n" . $self->log;

    alive($self->{pid}) or die "canaryd did not start:\n" . $self->log;

    if ($self->{wait} eq 'ready') {
        wait_for {
            my $r = $self->get('/v1/upstreams');
            grep { $_->{live} && $_->{node} eq $self->{node} }
                map { @{ $_->{nodes} } } @{ $r->{json}{upstreams} // [] };
        } 10 or die "canaryd does not know its nginx:\n" . $self->log;
    }

    return $self;
}


sub pid { $_[0]{pid} }
sub target { "unix:$_[0]{socket}" }
sub running { alive($_[0]{pid}) }
sub log { slurp("$_[0]{dir}/log") }
sub all { @all }


# Its status as in $?.

sub stop {
    my ($self, $signal) = @_;

    return unless $self->{pid};
    return stop_process(delete $self->{pid}, $signal // 'TERM', 15);
}


# kill -9: nothing is said to anybody.  Its own Redis is told by the kernel.

sub kill {
    my ($self) = @_;

    return $self->stop('KILL');
}


sub signal {
    my ($self, $signal) = @_;

    return CORE::kill $signal, $self->{pid};
}


sub get {
    my ($self, $path) = @_;

    return Canary::HTTP::http($self->target, 'GET', $path);
}


sub post {
    my ($self, $path, $body, %opt) = @_;

    return Canary::HTTP::http($self->target, 'POST', $path,
        body => $body // {}, %opt);
}


# Starts a rollout; its document, or dies with the problem.

sub start_rollout {
    my ($self, %spec) = @_;

    my $r = $self->post('/v1/rollouts',
        { upstream => 'app', canary => 'green', %spec });
    die "POST rollouts: $r->{status} $r->{body}\n" if $r->{status} != 201;

    return $r->{json};
}


sub rollout {
    my ($self, $id) = @_;

    $id = $id->{id} if ref $id;

    return $self->get("/v1/rollouts/$id")->{json};
}


# Waits until a rollout is in one of the states; dies if it ended otherwise.

sub wait_state {
    my ($self, $id, $states, $timeout) = @_;

    my $seen;

    wait_for {
        $seen = $self->rollout($id) or return;
        return 1 if $seen->{state} =~ /^(?:$states)$/;
        die "the rollout is $seen->{state}, not $states: $seen->{reason}\n"
            if $seen->{state} =~ /^(?:succeeded|aborted)$/;
        return;
    } $timeout // 30 or die "no $states but "
        . ($seen ? "$seen->{state}: $seen->{reason}" : 'no answer') . "\n";

    return $seen;
}


sub command_rollout {
    my ($self, $id, $command, $body) = @_;

    $id = $id->{id} if ref $id;

    return $self->post("/v1/rollouts/$id/$command", $body);
}


sub complaints {
    my ($self) = @_;

    return grep { /AddressSanitizer|LeakSanitizer|runtime error/ }
        split /\n/, $self->log;
}


1;
