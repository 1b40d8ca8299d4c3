#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# slow: other people's tests, each three times
#
# Other people's tests as bystanders: without a rule, with a catch-all rule of
# grace 10m and with one of grace 0. With 10m no test may change; those that
# change with 0 are in tests/host/peers/expected. Runs on the host, boots guests;
# prints TAP. Leaves a table, peers.md, beside its output, of all suites that have
# run on the row, each with its date. PEERS="python libuv" runs these suites only.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh
here=$PWD/build/peers/$row/passes
table=build/check/$row/peers.md
peers_modules=()	# all
. tests/host/peers/suites.sh

all='selftests tls mptcp python go node libevent libuv late'
prepare
for name in ${PEERS:-$all}; do
	suite "$name"
done
{
	echo "Linux $(cat "build/lab/$row/release")"
	echo
	echo '| suite | date | tests | without | grace 0 | grace 10m |'
	echo '|---|---|---|---|---|---|'
	for name in $all; do
		[ ! -e "$here/$name.line" ] || cat "$here/$name.line"
	done
} >"$table"
echo "1..$n"
[ $failed -eq 0 ]
