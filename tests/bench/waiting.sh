#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# N sockets under --grace 60s: what their watches cost while they wait.
# Prints NAME|VALUE: object (bytes of one watch), slab and table (bytes of
# all), looks (for each socket), busy (instructions for each socket, its
# peer's close() and its reset included), done (ns from the last FIN until the
# last is reset).
# waiting.sh N
set -eu
cd "$(dirname "$0")"
. ./contenders.sh
t=/sys/kernel/tracing

n=$1
sysctl -qw fs.nr_open=8000000 net.ipv4.tcp_max_orphans=4000000
modprobe xt_HALFRST
# counts; records nothing
echo 'p:halfrst_look halfrst_look' >"$t/kprobe_events"
echo 'common_pid == 0' >"$t/events/kprobes/halfrst_look/filter"
echo 1 >"$t/events/kprobes/halfrst_look/enable"
# shellcheck disable=SC2016 # awk's own
alone grace ./storm -q -w 120 -x 'sleep 1
	awk '\''/^halfrst_watch/ { print "object", $4; print "slab", $15 * $6 * 4096 }
	'\'' /proc/slabinfo
	awk '\''/bucket_table_alloc/ { s += $2 } END { if (s) print "table", s }'\'' \
		/proc/vmallocinfo
	awk '\''$1 == "watching" { print }'\'' /proc/net/xt_halfrst' "$n" |
	awk -v n="$n" '
		$1 == "drain" { print "done|" $2; next }
		$1 == "busy" { print "busy|" $2 / n; next }
		$1 == "object" || $1 == "slab" || $1 == "table" ||
		$1 == "watching" || $1 == "left" { print $1 "|" $2 }'
awk -v n="$n" '/halfrst_look/ { print "looks|" $2 / n }' "$t/kprobe_profile"
