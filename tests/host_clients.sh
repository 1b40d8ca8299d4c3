#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has clients of Debian 12
#
# Nothing gets worse for real clients of real servers: scripts/clients, judged
# row by row. Runs on the host, boots guests; prints TAP. JVMs take their time
# and want HALFRST_LONG=1.
set -eu

cd "$(dirname "$0")/.."
row=${ROW:-bookworm}
rows=build/clients/rows.tsv
log=build/lab/log/$row.clients.log
n=0
failed=0

if [ "$row" != bookworm ]; then
	echo "1..0 # SKIP the clients are Debian 12's, not $row's"
	exit 0
fi

# ok STATUS NAME
ok()
{
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		failed=1
	fi
}

slow=okhttp,java
fast=$(scripts/clients --list | sed 's/:.*//' | grep -vwE "${slow/,/|}")
chosen=$fast
[ -z "${HALFRST_LONG:-}" ] || chosen+=" ${slow/,/ }"

# shellcheck disable=SC2086 # names are words
if ! scripts/clients $chosen >"$log" 2>&1 </dev/null; then
	sed 's/^/# /' "$log"
	echo 'not ok 1 - the clients run'
	echo 1..1
	exit 1
fi

# A row is client, server, method, rounds, resets, and of each figure two,
# without and with HALFRST: lost, twice, void, packets, bytes, ms, life, errors
while IFS=$'\t' read -r client server method rounds resets lost lost_with \
	twice twice_with void void_with packets packets_with bytes \
	bytes_with _ _ life life_with _ error_with; do
	name="$client, $server, $method"
	ok "$((rounds < 3 || packets < 1))" \
		"$name: the server closed $rounds times"
	ok "$((lost_with > lost))" "$name: no more errors are shown"
	ok "$((twice_with > twice))" "$name: nothing more is sent twice"
	ok "$((void_with > void))" "$name: no more is written to nobody"
	ok "$((packets_with > packets || bytes_with > bytes))" \
		"$name: no more packets, no more bytes"
	if [ $failed -ne 0 ]; then
		echo "# lost $lost $lost_with twice $twice $twice_with" \
			"void $void $void_with packets $packets $packets_with" \
			"bytes $bytes $bytes_with, socket $life $life_with ms," \
			"resets $resets, $error_with"
	fi
done <"$rows"

# better CONDITION: what HALFRST is for, in awk's words
better()
{
	awk -F'\t' "$1"' { good = 1 } END { exit !good }' "$rows"
}
rc=0
# shellcheck disable=SC2016 # awk's fields
better '$1 == "httpclient" && $3 == "POST" && $6 > 0 && $7 == 0' || rc=1
ok $rc 'http.client, which does not look, loses POSTs only without HALFRST'
rc=0
# shellcheck disable=SC2016
better '$1 == "urllib3" && $2 == "nginx" && $12 > 1 && $13 == 1' || rc=1
ok $rc 'urllib3, which looks, is left with one packet'

for client in okhttp java; do
	[ -n "${HALFRST_LONG:-}" ] && continue
	n=$((n + 1))
	echo "ok $n - $client # SKIP slow, HALFRST_LONG=1 runs it"
done
echo "1..$n"
exit $failed
