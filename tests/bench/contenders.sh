# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The contenders: how to put each in place. To be sourced.

front_end=iptables-legacy
on_fin='-p tcp --tcp-flags FIN FIN'

# rules N CHAIN MATCH...: N equal rules
rules()
{
	local n=$1 i

	shift
	for ((i = 0; i < n; i++)); do
		"$front_end" -w -t mangle -A "$@"
	done
}

# The five rules of the write-up (they need conntrack)
chain()
{
	"$front_end" -w -A INPUT -p tcp --sport 80 \
		--tcp-flags FIN,ACK FIN,ACK -j MARK --set-mark 15
	"$front_end" -w -A INPUT -j CONNMARK --save-mark
	"$front_end" -w -A OUTPUT -j CONNMARK --restore-mark
	"$front_end" -w -A INPUT -j CONNMARK --restore-mark
	"$front_end" -w -A OUTPUT -m mark --mark 15 -p tcp \
		--tcp-flags ACK ACK -j REJECT --reject-with tcp-reset
}

# Every rule and table goes: a namespace of its own for each measurement
alone()
{
	unshare -n bash -eu -c 'ip link set lo up; "$@"' - "$@"
}
