#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has clients of Debian 12
#
# Nothing gets worse for real clients of real servers: scripts/clients, judged
# row by row. Runs on the host, boots guests; prints TAP. HALFRST_LONG=1 runs
# all of them.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh
out=build/clients
rows=$out/rows.tsv
log=build/lab/log/$row.clients.log

[ "$row" = bookworm ] || skip_all "the clients are Debian 12's, not $row's"

# A client of each kind: one that does not look at its connection, one that
# does, one that is told, one that is busy, one that loses; each way to close
short='httpclient/nginx/http httpclient/nginx/tls12 httpclient/haproxy/tls13
	httpclient/mute/tls13 urllib3/nginx/http urllib3/nginx/tls13
	curl/nginx/tls13 curl/nginx/h2 haproxy/nginx/tls13 node-busy/nginx/tls13
	aiohttp-idiom/nginx/tls13'
[ -z "${HALFRST_LONG:-}" ] || short=

# shellcheck disable=SC2086 # names are words
if ! scripts/clients --out "$out" $short >"$log" 2>&1 </dev/null; then
	result 1 'the clients run' "$log"
	echo 1..1
	exit 1
fi

# What gets worse, by name.  Three repeat after an end of file only, and what they
# get is the error of a write.  The fourth is stopped for longer than the second
# that an unread GOAWAY is waited for.
worse()
{
	case $client/$protocol/$method in
	aiohttp-idiom/*/GET|hyper-busy/*/GET|pymemcache/*/append) ;;
	go-stopped/h2/*) ;;
	*)	return 1 ;;
	esac
}

# A row is client, server, protocol, method, rounds, resets, and of each figure
# two, without and with HALFRST: lost, shown, silent, twice, void, packets,
# bytes, ms, life, errors
while IFS=$'\t' read -r client server protocol method rounds resets \
	lost lost_with shown shown_with silent silent_with \
	twice twice_with void void_with packets packets_with bytes \
	bytes_with _ _ life life_with _ error_with; do
	name="$client, $server, $protocol, $method"
	before=$failed
	result "$((rounds < 3 || (packets + resets + lost + silent == 0)))" \
		"$name: the server closed $rounds times"
	if worse; then
		result "$((shown > 0 || shown_with != rounds ||
			lost_with != rounds))" \
			"$name: gets worse, $rounds of $rounds, as expected"
	else
		result "$((lost_with > lost))" "$name: no more errors are shown"
		result "$((shown_with > shown))" \
			"$name: nor if they are handled as documented"
	fi
	result "$((silent_with > silent))" "$name: no more is lost silently"
	result "$((twice_with > twice))" "$name: nothing more is sent twice"
	result "$((void_with > void))" "$name: no more is written to nobody"
	result "$((packets_with > packets || bytes_with > bytes))" \
		"$name: no more packets, no more bytes"
	case $protocol in
	tls*)
		result "$((void_with > 0))" \
			"$name: nothing is written to nobody"
		result "$((life_with > 200))" \
			"$name: the server's socket is free after a round trip"
		;;
	h2)	result "$((life_with > 1200))" \
			"$name: the server's socket is free after a second"
		;;
	esac
	if [ $failed -ne "$before" ]; then
		echo "# lost $lost $lost_with shown $shown $shown_with" \
			"silent $silent $silent_with twice $twice" \
			"$twice_with void $void $void_with packets $packets" \
			"$packets_with bytes $bytes $bytes_with," \
			"socket $life $life_with ms, resets $resets," \
			"$error_with"
	fi
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

# shellcheck disable=SC2016 # awk's fields
{
check 'http.client, which does not look, loses POSTs only without HALFRST' \
	every '$1 == "httpclient" && $4 == "POST"' '$7 == 3 && $8 == 0'
check 'so it is with HTTPS' \
	better '$1 == "httpclient" && $3 ~ /^tls/ && $4 == "POST" &&
		$7 == 3 && $8 == 0 && $15 > 0 && $16 == 0'
check 'urllib3, which looks, is left with one packet' \
	every '$1 == "urllib3" && $2 == "nginx"' '$17 > 1 && $18 == 1'
# it wants the default's very error
check "Node's documented idiom repeats" \
	every '$1 == "node-busy" && $3 == "tls13"' '$9 == 0 && $10 == 0'
}

[ -n "${HALFRST_LONG:-}" ] ||
	skip 'all others' 'slow, HALFRST_LONG=1 runs them'
echo "1..$n"
[ $failed -eq 0 ]
