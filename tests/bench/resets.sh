#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# From the peer's close() to the dead local socket, in instructions.
# Prints FRONT_END|CONTENDER|VISIBLE|RST|CLOSE|DEAD|TRIED: VISIBLE is what the
# application sees (close() to the return of poll()); RST and CLOSE are counted from
# the peer's socket leaving ESTABLISHED to the tracepoints of the RST and of the
# local socket's state CLOSE, less what the tracepoints between cost.
set -eu
cd "$(dirname "$0")"
. ./contenders.sh
t=/sys/kernel/tracing

# The server's sockets have port 80. What left before the client's socket was
# dead is the RST: its own, or the one that kills it.
exact()
{
	awk -v cost="$1" '
	function field(name, s) {
		s = $0
		sub(".*[ ]" name "=", "", s)
		sub(" .*", "", s)
		return s
	}
	function median(v, n, i, j, x) {
		for (i = 2; i <= n; i++) {
			x = v[i]
			for (j = i - 1; j && v[j] > x; j--)
				v[j + 1] = v[j]
			v[j + 1] = x
		}
		return n ? v[int((n + 1) / 2)] : -1
	}
	/^#/ { next }
	{
		match($0, / [0-9]+: /)
		now = substr($0, RSTART + 1, RLENGTH - 3)
	}
	/inet_sock_set_state:/ && field("sport") == 80 &&
	field("oldstate") == "TCP_ESTABLISHED" {
		start = now
		events = 0
		next
	}
	!start { next }
	{ events++ }
	/net_dev_start_xmit:/ { sent = now - start - events * cost }
	/inet_sock_set_state:/ && field("dport") == 80 &&
	field("newstate") == "TCP_CLOSE" {
		rst[++n] = sent
		close_[n] = now - start - events * cost
		start = 0
		if (events > most)
			most = events
	}
	END { printf "%d|%d|%d\n", median(rst, n), median(close_, n), most }
	' "$t/trace"
}

trace()
{
	echo "$1" >"$t/tracing_on"
	echo "$1" >"$t/events/net/net_dev_start_xmit/enable"
	echo "$1" >"$t/events/sock/inet_sock_set_state/enable"
}

# A tracepoint's own cost: the difference that all of them together make to
# what the application sees, shared out.
measure()
{
	local name=$1 contender=$2 median dead n with events cost=0
	shift 2

	read -r median _ _ dead n <<< "$(alone "$contender" ./resets "$@")"
	if [ "$dead" = 0 ]; then
		echo "${front_end#iptables-}|$name|-1|-1|-1|0|$n"
		return
	fi
	echo >"$t/trace"
	trace 1
	read -r with _ <<< "$(alone "$contender" ./resets "$@")"
	trace 0
	IFS='|' read -r _ _ events <<< "$(exact 0)"
	[ "$with" -lt "$median" ] || cost=$(((with - median) / (events + 1)))
	IFS='|' read -r rst closed _ <<< "$(exact "$cost")"
	echo "${front_end#iptables-}|$name|$median|$rst|$closed|$dead|$n"
}

trace 0
echo x86-tsc >"$t/trace_clock"
echo 'name == "lo"' >"$t/events/net/net_dev_start_xmit/filter"
echo 'sport == 80 || dport == 80' \
	>"$t/events/sock/inet_sock_set_state/filter"

n=${1:-101}
for front_end in iptables-legacy iptables-nft; do
	measure floor nothing -r "$n"
	measure floor-rule rule -r "$n"
	measure halfrst halfrst "$n"
	measure floor-rule-alert rule -r -a "$n"
	measure halfrst-alert halfrst -a "$n"
	measure owner owner "$n"
	measure tracked-halfrst tracked-halfrst "$n"
	measure chain chain "$n"
	measure ss ss 5
	measure nothing nothing -w 1000 2
done

front_end=native
measure tracked tracked -r "$n"
measure helper helper "$n"
