# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What a test of host/ begins with: $row, the row of scripts/lab that it is for, as
# check names it; a folder $tmp that goes when the script ends; and tap.sh. To be
# sourced from the top of the repository.

row=${ROW:-bookworm}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
. tests/lib/tap.sh

# row_has N: a word of its line in `scripts/lab rows`: 2 is the architecture, 3 the suite
row_has()
{
	scripts/lab rows | awk -v row="$row" -v n="$1" '$1 == row { print $n }'
}

# As the sources are now; check has seen to it before
row_built()
{
	[ -n "${ROW:-}" ] || scripts/lab build "$row"
}
