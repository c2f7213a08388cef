# Every piece of nginx.conf in the documentation is one that nginx takes.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Canary::Docs;
use Canary::Test;

my @blocks = blocks('nginx');

cmp_ok scalar @blocks, '>', 5, 'there are blocks';

for my $block (@blocks) {
    subtest $block->{name} => sub {
        my $nginx = nginx();
        my $conf = eval { nginx_conf($block->{text}, $nginx->{dir}) };

        is $@, '', 'can be completed' or return;

        my ($taken, $said) = $nginx->test(conf => $conf);

        # the directive in its place is unknown to nginx before 1.25.1

        $said =~ s/^.*the "listen ... http2" directive is deprecated.*\n//mg;

        ok $taken, 'nginx -t' or diag "$said\n$conf";
        unlike $said, qr/\[warn\]/, 'and has nothing to say';
    };
}


# What the test would not see if the blocks were completed too kindly.

subtest 'what is wrong is refused' => sub {
    for my $wrong ('canary_kee $remote_addr;', 'canary zone=edge blue;',
        'server { canary_api write=maybe; }')
    {
        my $nginx = nginx();
        my ($taken, $said) =
            $nginx->test(conf => nginx_conf($wrong, $nginx->{dir}));

        ok !$taken, $wrong or diag $said;
    }
};

done_testing;
