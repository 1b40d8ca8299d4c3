#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --icount
#
# A server with TCP_DEFER_ACCEPT keeps a connection in SYN_RECV until data
# comes.  The same clients with and without the module: the same packets.  A
# server's rule has a grace, so that the server can close by itself.
#
#   client namespace                     server namespace
#   bash, tcpdump ── c0 (veth) s0 ── rule, nginx "listen 80 deferred"
#      192.0.2.2, 2001:db8::2     192.0.2.1, 2001:db8::1
# shellcheck disable=SC2317 # functions that are called by their names
set -eu

tmp=$(mktemp -d)
. ../lib/tap.sh
. ../../scripts/lib/nginx.sh

hosts()
{
	ip netns add server
	ip netns add client
	ip -n server link add s0 type veth peer name c0 netns client
	ip -n server addr add 192.0.2.1/24 dev s0
	ip -n client addr add 192.0.2.2/24 dev c0
	ip -n server addr add 2001:db8::1/64 dev s0 nodad
	ip -n client addr add 2001:db8::2/64 dev c0 nodad
	ip -n server link set s0 up
	ip -n client link set c0 up
	mkdir -p "$tmp/html"
	echo deferred >"$tmp/html/index.html"
	# nginx sends it, and in 1970 each time is of another length
	touch -d 2025-01-01 "$tmp/html/index.html"
	chmod -R a+rX "$tmp"
	nginx_conf "$tmp" <<-END
		access_log off;
		server {
			listen 80 deferred;
			listen [::]:80 deferred ipv6only=on;
			root $tmp/html;
		}
	END
	ip netns exec server nginx -c "$tmp/nginx.conf" -g 'daemon off;' &
	nginx=$!
	until_true listening
}

listening()
{
	[ "$(ip netns exec server ss -tlnH 'sport = 80' | wc -l)" = 2 ]
}

gone()
{
	kill "$nginx"
	wait "$nginx" || :
	ip netns del server
	ip netns del client
}

# The client, in its namespace: $1 is the server's address
close_without_sending()
{
	exec 3<>"/dev/tcp/$1/80"
	exec 3>&-
}

send_later()
{
	exec 3<>"/dev/tcp/$1/80"
	sleep 2
	printf 'GET / HTTP/1.0\r\n\r\n' >&3
	grep -q deferred <&3
	exec 3>&-
}

stall()
{
	exec 3<>"/dev/tcp/$1/80"
	# the client believes in the connection, the server does not yet
	ip netns exec server ss -tnH state syn-recv | grep -q . || exit 1
	sleep 30
	exec 3>&-
}
export -f close_without_sending send_later stall

# What differs from run to run goes: times, ports, absolute numbers, and whether
# TCP acknowledges alone or with what the server sends next, say its FIN: that
# is up to when the server runs. Likewise whose FIN is first where both say it:
# each end's packets are compared with its own.
normal()
{
	sed -E 's/(2\.|::2\.)[0-9]{4,5}( >|:)/\1PORT\2/; s/(2\.|::2\.)[0-9]{4,5}:/\1PORT:/
		s/, options \[[^]]*\]//; /Flags \[S/s/, (seq|ack) [0-9]+//g
		s/^.* (IP6?) /\1 /' | sort -s -k 2,2 | awk '
	{
		match($0, /ack [0-9]+/)
		ack = substr($0, RSTART, RLENGTH)
		alone = /\.80 > .*Flags \[\.\],.* length 0$/
	}
	held && (alone || !/\.80 > / || ack != acks) { print held }
	{ held = "" }
	alone { held = $0; acks = ack; next }
	{ print }
	END { if (held) print held }'
}

# capture FILE SCENARIO ADDRESS
capture()
{
	local dump rc=0

	ip netns exec client tcpdump -Z root -U -nn -i c0 -w "$tmp/pcap" tcp \
		2>"$tmp/tcpdump" &
	dump=$!
	until_true grep -q listening "$tmp/tcpdump" ||
		{ sed 's/^/# /' "$tmp/tcpdump"; return 1; }
	sleep 1		# it says so a moment before it does so
	ip netns exec client bash -ec "$2 $3" || rc=$?
	# until both ends have forgotten the connection, or nearly
	sleep 130
	kill -INT $dump
	wait $dump || :
	tcpdump -Z root -nn -t -r "$tmp/pcap" 2>/dev/null | normal >"$1"
	return $rc
}

scenarios='close_without_sending send_later stall'
addresses='192.0.2.1 2001:db8::1'

for with in without with; do
	hosts
	if [ $with = with ]; then
		for iptables in iptables ip6tables; do
			ip netns exec server $iptables -t mangle -A INPUT \
				-p tcp --tcp-flags FIN FIN -j HALFRST --grace 5s
		done
	fi
	for scenario in $scenarios; do
		for address in $addresses; do
			rc=0
			capture "$tmp/$with.$scenario.$address" "$scenario" \
				"$address" || rc=$?
			result $rc "$scenario to $address, $with the module"
		done
	done
	if [ $with = with ]; then
		rc=0
		# shellcheck disable=SC2016 # awk's variables
		ip netns exec server awk '
			{ n[$1] = $2 }
			END { exit !(n["fins"] > 0 && n["resets"] == 0 &&
				n["watching"] == 0) }' /proc/net/xt_halfrst ||
			rc=1
		[ $rc -eq 0 ] ||
			ip netns exec server sed 's/^/# /' /proc/net/xt_halfrst
		result $rc "FINs were seen and nothing was reset"
	fi
	gone
done

for scenario in $scenarios; do
	for address in $addresses; do
		rc=0
		[ -s "$tmp/with.$scenario.$address" ] || rc=1
		diff "$tmp/without.$scenario.$address" \
			"$tmp/with.$scenario.$address" >"$tmp/diff" || rc=1
		[ $rc -eq 0 ] || sed 's/^/# /' "$tmp/diff"
		result $rc "$scenario to $address: the same packets"
	done
done
rm -rf "$tmp"
echo "1..$n"
exit $failed
