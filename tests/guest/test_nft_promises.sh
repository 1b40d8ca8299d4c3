#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --icount
#
# The promises' tests once more, by helper: rules.c makes a table of nftables
# of each rule with the target.  With HALFRST_LONG all of them, otherwise one.
# Prints TAP.
set -eu

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
. ../lib/tap.sh
export HALFRST_BY=helper
quick=no_byte_lost
all="one_packet $quick half_close tcp_decides which_fin claims fin_filter no_wasted_request
bystanders nat netns counters handshake grace tls_alert trace connect unread
unread_ways layers devices reset_segment mptcp_listener"

tests=$quick
[ -z "${HALFRST_LONG:-}" ] || tests=$all
for t in $tests; do
	rc=0
	"./test_$t" >"$tmp/said" 2>&1 || rc=$?
	counted "$rc" "$tmp/said" "$t: "
done
echo "1..$n"
[ "$failed" -eq 0 ]
