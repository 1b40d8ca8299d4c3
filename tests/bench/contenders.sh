# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The contenders, and how to put each in place. To be sourced; $front_end is
# iptables-legacy or iptables-nft, or what is printed in their place; $table is where
# HALFRST's rules go.

front_end=${front_end:-iptables-legacy}
table=${table:-mangle}
killer=
# not below /sys, which "ip netns exec" mounts anew
iterator=/run/bpf/close_wait

# in_place CONTENDER [COMMAND...]: COMMAND runs things in the namespace
#	nothing
#	rule[N]		N times (once) the recommended rule without its target
#	halfrst[N]	the recommended rule
#	bare[N]		a rule that matches every segment, without a target
#	bare-mark[N]	with a target that does nothing: MARK --or-mark 0
#	bare-halfrst[N]	with HALFRST, which looks for the FIN itself
#	owner		HALFRST --uid-owner
#	grace		HALFRST --grace 60s
#	tracked		nftables: conntrack follows every connection
#	tracked-halfrst	and the recommended rule on top, by $front_end
#	helper		tracked, and gives it the helper
#	sane		a helper of conntrack's own, for another protocol
#	chain		the five rules of the write-up
#	ss		ss -K each second
#	bpf		the iterator of bpf/close_wait.bpf.c each second
in_place()
{
	local contender=$1 n=1 i fin='-p tcp --tcp-flags FIN FIN' what

	shift
	case $contender in
	*[0-9])	n=${contender##*[a-z]} ;;
	esac
	case ${contender%"$n"} in
	nothing)	return ;;
	rule)		what=$fin ;;
	halfrst)	what="$fin -j HALFRST" ;;
	bare)		what='-p tcp' ;;
	bare-mark)	what='-p tcp -j MARK --or-mark 0' ;;
	bare-halfrst)	what='-p tcp -j HALFRST' ;;
	owner)		what="$fin -j HALFRST --uid-owner 0" ;;
	grace)		what="$fin -j HALFRST --grace 60s" ;;
	tracked)	followed counter "$@"; return ;;
	tracked-halfrst) followed counter "$@" && what="$fin -j HALFRST" ;;
	helper)		followed 'ct helper set "idle"' "$@"; return ;;
	sane)		helper=sane followed 'ct helper set "idle"' "$@"; return ;;
	chain)		chain "$@"; return ;;
	ss)
		while sleep 1; do
			"$@" ss -HK state close-wait >/dev/null
		done &
		killer=$!
		return ;;
	bpf)
		while sleep 1; do
			"$@" cat "$iterator" >/dev/null
		done &
		killer=$!
		return ;;
	*)
		echo "no contender $contender" >&2
		return 2 ;;
	esac
	for ((i = 0; i < n; i++)); do
		# shellcheck disable=SC2086 # $what is words
		"$@" "$front_end" -w -t "$table" -A INPUT $what
	done
}

# followed STATEMENT [COMMAND...]: for the first packet of each connection
followed()
{
	"${@:2}" nft -f - <<-END
	table inet t {
		ct helper idle { type "${helper:-halfrst}" protocol tcp; }
		chain c {
			type filter hook output priority 0
			ct state new meta l4proto tcp $1
		}
	}
	END
}

removed()
{
	case $1 in
	ss|bpf)	;;
	*)	return 0 ;;
	esac
	kill "$killer"
	wait "$killer" || :
}

# Pin the iterator, whose object file is in $CLOSE_WAIT_BPF as base64, where
# the kernel has what it needs
have_bpf()
{
	[ ! -e "$iterator" ] || return 0
	[ -n "${CLOSE_WAIT_BPF:-}" ] || return
	grep -q ' bpf_sock_destroy$' /proc/kallsyms || return
	mkdir -p "${iterator%/*}"
	mount -t bpf bpf "${iterator%/*}"
	echo "$CLOSE_WAIT_BPF" | base64 -d >/tmp/close_wait.bpf.o
	bpftool iter pin /tmp/close_wait.bpf.o "$iterator"
}

chain()
{
	"$@" "$front_end" -w -A INPUT -p tcp --sport 80 \
		--tcp-flags FIN,ACK FIN,ACK -j MARK --set-mark 15
	"$@" "$front_end" -w -A INPUT -j CONNMARK --save-mark
	"$@" "$front_end" -w -A OUTPUT -j CONNMARK --restore-mark
	"$@" "$front_end" -w -A INPUT -j CONNMARK --restore-mark
	"$@" "$front_end" -w -A OUTPUT -m mark --mark 15 -p tcp \
		--tcp-flags ACK ACK -j REJECT --reject-with tcp-reset
}

# alone CONTENDER COMMAND...: in a network namespace of its own, so that no
# table is left over from one measurement to the next
alone()
{
	local contender=$1 rc=0

	shift
	ip netns add alone
	ip -n alone link set lo up
	ip netns exec alone sysctl -qw \
		net.ipv4.ip_local_port_range='1024 65001' \
		net.ipv4.tcp_max_tw_buckets=4000000
	in_place "$contender" ip netns exec alone
	sleep 1		# the last namespace is still being cleaned up
	ip netns exec alone "$@" || rc=$?
	removed "$contender"
	ip netns del alone
	return $rc
}
