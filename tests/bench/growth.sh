#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What a segment and a reset cost while N connections are open, a reset when
# all of them are closed at once, and closing, watching for a minute and
# resetting each of them.  Prints N|FIGURE|INSTRUCTIONS, and N|watch|BYTES.
# growth.sh N
set -eu
cd "$(dirname "$0")"
. ./contenders.sh

n=$1
sysctl -qw fs.nr_open=8000000 net.ipv4.tcp_max_orphans=4000000
alone halfrst ./beside "$n" sh -c './packets && ./resets 51' |
	awk -v n="$n" '{ print n "|" (NR == 1 ? "packet" : "reset") "|" $1 }'
# closing the connections is not the reset's cost: less that of an idle close
./storm.sh "$n" nothing halfrst | awk -F'|' -v n="$n" '
	$1 == "nothing" { idle = $4 }
	$1 == "halfrst" {
		printf "%d|storm|%.0f\n", n, ($6 - idle) / n
		print n "|drain|" $5
		print n "|late|" $7
		print n "|memory|" $8
	}'
./waiting.sh "$n" | awk -F'|' -v n="$n" '
	$1 == "busy" { print n "|waiting|" $2 }
	$1 == "slab" { print n "|watch|" $2 / n }'
