# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Two namespaces with a rule in the second one, for servers that leak their sockets.
# To be sourced.
#
#   front  f0 (veth) b0  back, rule
#   192.0.2.1            192.0.2.2 port 8080

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
. ../lib/tap.sh
chmod 755 "$tmp"
modprobe -a veth xt_HALFRST

listening()
{
	[ -n "$(ip netns exec "$1" ss -tlnH)" ]
}

# value NAME: of $tmp/run, an account or counters
value()
{
	awk -v name="$1" '$1 == name { print $2 }' "$tmp/run"
}

close_wait()
{
	ip netns exec back ss -tnH state close-wait | wc -l
}

none_left()
{
	[ "$(close_wait)" = 0 ]
}

# hosts OPTIONS: both namespaces, the second with a rule
hosts()
{
	local ns

	for ns in front back; do
		ip netns add $ns
		ip -n $ns link set lo up
	done
	ip -n front link add f0 type veth peer name b0 netns back
	ip -n front addr add 192.0.2.1/24 dev f0
	ip -n back addr add 192.0.2.2/24 dev b0
	ip -n front link set f0 up
	ip -n back link set b0 up
	# shellcheck disable=SC2086 # options are words
	ip netns exec back iptables -t mangle -A INPUT -p tcp --dport 8080 \
		--tcp-flags FIN FIN -j HALFRST $1
}

counters()
{
	ip netns exec back cat /proc/net/xt_halfrst >>"$tmp/run"
}

# gone PID...: these and both namespaces
gone()
{
	kill "$@" || :
	wait "$@" 2>/dev/null || :
	ip netns del front
	ip netns del back
}
