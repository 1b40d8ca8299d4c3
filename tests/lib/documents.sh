# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The project's documents, and the commands in them. To be sourced from the top of
# the repository.

readarray -t documents < <(git ls-files '*.md')

# blocks MARK DIR: each as a file, the document's line on top
blocks()
{
	mkdir -p "$2" &&
	awk -v mark="<!-- $1 -->\$" -v dir="$2" '
	FNR == 1	{ on = 0 }
	$0 ~ mark	{ on = 1; n++; f = sprintf("%s/%02d", dir, n)
			  print "# " FILENAME ":" FNR >f; next }
	on && /^ {4}# in /	{ on = 0 }
	on && /^( {4}|$)/	{ print substr($0, 5) >f; next }
	{ on = 0 }' "${documents[@]}"
}
