#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Packets, bytes and the server's socket for each dead connection.
#
#	near: client, rules, v0 ──── netem, both ways ──── v1: far, server
#
# Prints RTT_MS|CONTENDER|packets|bytes|freed_ns|next write
set -eu
cd "$(dirname "$0")"
. ./contenders.sh

network()
{
	ip netns add near
	ip netns add far
	ip link add v0 netns near type veth peer v1 netns far
	for end in near:v0:1 far:v1:2; do
		IFS=: read -r ns dev host <<< "$end"
		# no packet but the connection's
		ip netns exec "$ns" sysctl -qw net.ipv6.conf.all.disable_ipv6=1
		ip -n "$ns" link set "$dev" address "02:00:00:00:00:0$host"
		ip -n "$ns" addr add "192.0.2.$host/24" dev "$dev"
		ip -n "$ns" link set lo up
		ip -n "$ns" link set "$dev" up
		tc -n "$ns" qdisc add dev "$dev" root netem delay "$1us"
	done
	ip -n near neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev v0
	ip -n far neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev v1
}

for rtt in 1 50 300; do
	for contender in nothing chain ss bpf halfrst; do
		[ "$contender" != bpf ] || have_bpf || continue
		network $((rtt * 500))
		in_place "$contender" ip netns exec near
		./wire 192.0.2.2 | awk -v OFS='|' -v r="$rtt" \
			-v c="$contender" '{ k = $1; sub(/^[^ ]* /, "")
				v[k] = $0 }
			END { print r, c, v["packets"], v["bytes"],
				v["freed"], v["write"] }'
		removed "$contender"
		ip netns del near
		ip netns del far
	done
done
