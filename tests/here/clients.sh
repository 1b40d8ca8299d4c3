#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has clients of Debian 12
#
# Nothing gets worse for real clients of real servers: scripts/clients, judged
# row by row. Runs on the host, boots guests; prints TAP. HALFRST_LONG=1 runs
# all of them.
set -eu

cd "$(dirname "$0")/../.."
row=${ROW:-bookworm}
out=build/clients
rows=$out/rows.tsv
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

skip()
{
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

# A client of each kind: one that does not look at its connection, one that
# does, one that is told, one that is busy; each way to close
short='httpclient/nginx/http httpclient/nginx/tls12 httpclient/haproxy/tls13
	httpclient/mute/tls13 urllib3/nginx/http urllib3/nginx/tls13
	curl/nginx/tls13 curl/nginx/h2 haproxy/nginx/tls13 node-busy/nginx/tls13'
[ -z "${HALFRST_LONG:-}" ] || short=

# shellcheck disable=SC2086 # names are words
if ! scripts/clients --out "$out" $short >"$log" 2>&1 </dev/null; then
	sed 's/^/# /' "$log"
	echo 'not ok 1 - the clients run'
	echo 1..1
	exit 1
fi

# Idioms that repeat after an end of file only, which no reset is
idioms=' pymemcache hyper-busy '

# Told of close_notify by their event loops or threads, these answer it with
# their own, which may leave before the FIN is there.
told=' haproxy node fetch aiohttp go hyper java '

# A row is client, server, protocol, method, rounds, resets, and of each figure
# two, without and with HALFRST: lost, shown, silent, twice, void, packets,
# bytes, ms, life, errors
while IFS=$'\t' read -r client server protocol method rounds resets \
	lost lost_with shown shown_with silent silent_with \
	twice twice_with void void_with packets packets_with bytes \
	bytes_with _ _ life life_with _ error_with; do
	name="$client, $server, $protocol, $method"
	before=$failed
	failed=0
	ok "$((rounds < 3 || (packets < 1 && resets < 1 && silent < 1)))" \
		"$name: the server closed $rounds times"
	ok "$((lost_with > lost))" "$name: no more errors are shown"
	[[ $idioms = *" $client "* ]] || ok "$((shown_with > shown))" \
		"$name: nor if they are handled as documented"
	ok "$((silent_with > silent))" "$name: no more is lost silently"
	ok "$((twice_with > twice))" "$name: nothing more is sent twice"
	ok "$((void_with > void))" "$name: no more is written to nobody"
	ok "$((packets_with > packets || bytes_with > bytes))" \
		"$name: no more packets, no more bytes"
	case $protocol in
	tls*)	# HTTP/2 says more than close_notify before it closes
		[[ $told = *" $client "* ]] ||
			ok "$((void_with > 0))" \
				"$name: nothing is written to nobody"
		ok "$((life_with > 200))" \
			"$name: the server's socket is free after a trip"
		;;
	esac
	if [ $failed -ne 0 ]; then
		echo "# lost $lost $lost_with shown $shown $shown_with" \
			"silent $silent $silent_with twice $twice" \
			"$twice_with void $void $void_with packets $packets" \
			"$packets_with bytes $bytes $bytes_with," \
			"socket $life $life_with ms, resets $resets," \
			"$error_with"
	fi
	failed=$((before | failed))
done <"$rows"

# better CONDITION: what HALFRST is for, in awk's words. There are rows that
# fulfil it.
better()
{
	awk -F'\t' "$1"' { good = 1 } END { exit !good }' "$rows"
}

# every CONDITION UNLESS: each row of these does
every()
{
	better "$1" && awk -F'\t' "$1 && !($2)"' { bad = 1 } END { exit bad }' \
		"$rows"
}

rc=0
# shellcheck disable=SC2016 # awk's fields
every '$1 == "httpclient" && $4 == "POST"' '$7 == 3 && $8 == 0' || rc=1
ok $rc 'http.client, which does not look, loses POSTs only without HALFRST'
rc=0
# shellcheck disable=SC2016
better '$1 == "httpclient" && $3 ~ /^tls/ && $4 == "POST" && $7 == 3 &&
	$8 == 0 && $15 > 0 && $16 == 0' || rc=1
ok $rc 'so it is with HTTPS'
rc=0
# shellcheck disable=SC2016
every '$1 == "urllib3" && $2 == "nginx"' '$17 > 1 && $18 == 1' || rc=1
ok $rc 'urllib3, which looks, is left with one packet'

# Node's documented idiom wants the default's very error
rc=0
# shellcheck disable=SC2016
every '$1 == "node-busy" && $3 == "tls13"' '$9 == 0 && $10 == 0' || rc=1
ok $rc "Node's documented idiom repeats"

[ -n "${HALFRST_LONG:-}" ] ||
	skip 'all others' 'slow, HALFRST_LONG=1 runs them'
echo "1..$n"
exit $failed
