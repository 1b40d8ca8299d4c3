#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --icount
#
# The promises' tests once more, by helper: rules.c makes a table of nftables
# of each rule with the target.  With HALFRST_LONG all of them, otherwise one.
# Prints the TAP of each, one after the other.
set -eu

export HALFRST_BY=helper
quick=no_byte_lost
all="one_packet $quick half_close tcp_decides no_wasted_request bystanders
nat netns counters handshake grace tls_alert trace"

tests=$quick
[ -z "${HALFRST_LONG:-}" ] || tests=$all
rc=0
for t in $tests; do
	echo "# by helper: $t"
	"./test_$t" || rc=1
done
exit $rc
