# Writes to descriptor 7 how it was started, starts what its arguments name, and ends as that did.
# The last one's argument is `=42` to exit so or `=USR1` to be killed so.
use strict;
use warnings;
use Config;
use POSIX ();

my $name = shift;
my ($cpu) = split /-/, $Config{archname};
my @descriptors = grep { my $copy = POSIX::dup($_); defined $copy && POSIX::close($copy) } 0 .. 99;
my $environment = join ',', map { "$_='$ENV{$_}'" } sort keys %ENV;
my $ignores = ($SIG{USR2} // '') eq 'IGNORE' ? 'USR2' : '';
my $line = sprintf "%s %s | descriptors @descriptors umask %o ignores $ignores in %s with %s\n",
    $name, $cpu, umask, POSIX::getcwd(), $environment;
# Not a handle of Perl's, which would be closed on exec.
POSIX::write(7, $line, length $line);

if ($ARGV[0] =~ /^=(\d+)$/) {
    exit $1;
} elsif ($ARGV[0] =~ /^=(\w+)$/) {
    kill $1, $$;
}
my $status = system { $ARGV[0] } @ARGV;
die "$ARGV[0]: $!\n" if $status == -1;
kill $status & 127, $$ if $status & 127;
exit $status >> 8;
