# SPDX-License-Identifier: GPL-2.0-only
#
# What check asks of prove: a line for each file in $CHECK_RUN/results, "PLACE/FILE
# passed failed skipped"; behind a failure what the test and its guest said; what
# failed once more at the end, since reports of hours may lie in between.
package Results;

use strict;
use warnings;
use parent 'TAP::Harness';

my @failures;

sub lines
{
	open my $file, '<', shift or return;
	return <$file>;
}

# The last lines
sub show
{
	my ($most, $mark, @lines) = @_;

	splice @lines, 0, -$most if @lines > $most;
	print map { "    $mark$_" } @lines;
}

sub of
{
	my ($job, $parser) = @_;
	my ($place, $name) = $job->[0] =~ m,^([^/]+)/(?:.*/)?([^/.]+)[^/]*$,;
	my $skipped = $parser->skipped + !!$parser->skip_all;
	my $passed = $parser->passed - $parser->skipped;
	my $failed = $parser->failed;

	# it stopped half-way, or its end was no good one
	$failed ||= $parser->has_problems ? 1 : 0;
	open my $results, '>>', "$ENV{CHECK_RUN}/results" or die $!;
	print $results "$job->[0] $passed $failed $skipped\n";
	close $results or die $!;
	return unless $failed;
	my $base = "build/check/$place/$name";
	my @said = lines("$base.out");
	push @failures, "failed: $job->[0]\n", map { "    $_" } grep { /^not ok/ } @said;
	print "    of $base.out, .err and .log:\n";
	show(60, '', grep { !/^ok\b/ } @said);
	show(40, '! ', lines("$base.err"));
	show(8, '> ', lines("$base.log"));
}

sub new
{
	my $self = shift->SUPER::new(@_);

	$self->callback(after_test => \&of);
	$self->callback(after_runtests => sub { print @failures });
	return $self;
}

1;
