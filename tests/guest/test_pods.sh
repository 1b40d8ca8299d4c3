#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --icount
#
# The command pods, with many network namespaces that are named as those of
# containers, some of which come and go meanwhile; with iptables-nft and
# iptables-legacy; and the metrics of all of them. Real engines are in
# ../host/service/pods.sh. Runs as root in a guest of the lab; prints TAP.
set -eu

many=12 coming=9
[ -z "${HALFRST_LONG:-}" ] || many=500 coming=60
tmp=$(mktemp -d /tmp/pods.XXXXXX)
. ../lib/tap.sh
dir=../../service
etc=/etc/halfrst
export LC_ALL=C

# in_all CMD...: in each namespace of a container
in_all()
{
	local ns

	for ns in $(ip netns list | awk '/^cni-/ { print $1 }'); do
		ip netns exec "$ns" "$@" || { echo "$ns"; return 1; }
	done
}

# loaded NAMESPACE
loaded()
{
	ip netns exec "$1" iptables -t mangle -S >"$tmp/rules" &&
	diff <(grep HALFRST-PODS "$tmp/rules") - <<-END
	-N HALFRST-PODS
	-A INPUT -p tcp -m tcp --tcp-flags FIN FIN -j HALFRST-PODS
	-A HALFRST-PODS -p tcp -m tcp --dport 8080 -j HALFRST ${grace:+--grace $grace }--reset-with econnreset
	END
}

not_loaded()
{
	! ip netns exec "$1" iptables -t mangle -S | grep HALFRST-PODS
}

all_loaded()
{
	local ns

	for ns in $(ip netns list | awk '/^cni-/ { print $1 }'); do
		loaded "$ns" || { echo "$ns"; return 1; }
	done
}

none_loaded()
{
	in_all sh -c '! iptables-save | grep HALFRST-PODS &&
		! ip6tables-save | grep HALFRST-PODS && ! nft list ruleset | grep halfrst'
}

# Those of an admin (vpn), and a pod that has rules of its own
made()
{
	local i

	ip netns add vpn && ip netns add cni-own &&
	ip netns exec cni-own sh -euc '
		iptables -A INPUT -p tcp --dport 22 -j ACCEPT
		iptables -t mangle -N HALFRST-INPUT
		iptables -t mangle -A INPUT -p tcp -j HALFRST-INPUT
		iptables -t mangle -A INPUT -p udp -j MARK --set-mark 1
		ip6tables -t mangle -A INPUT -p udp -j ACCEPT' &&
	ip netns exec cni-own iptables-save | grep -v '^#' >"$tmp/own" &&
	ip netns exec vpn iptables-save >"$tmp/vpn" && iptables-save >"$tmp/node" &&
	for ((i = 0; i < many; i++)); do
		ip netns add cni-$i || return
	done &&
	ip netns add 01234567-89ab-cdef-0123-456789abcdef
}

reload()
{
	"$dir/pods" reload 2>"$tmp/said" && cat "$tmp/said" &&
	grep -x "Loaded into $1 network namespaces." "$tmp/said"
}

nobody_elses()
{
	diff <(ip netns exec vpn iptables-save) "$tmp/vpn" &&
	diff <(iptables-save) "$tmp/node" &&
	diff <(ip netns exec cni-own iptables-save | grep -v -e '^#' \
		-e HALFRST-PODS | sed 's/\[.*\]//') \
		<(sed 's/\[.*\]//' "$tmp/own")
}

# A connection in a pod: its server does not close
resets()
{
	ip -n cni-7 link set lo up &&
	ip netns exec cni-7 python3 -c '
import socket
s = socket.create_server(("127.0.0.1", 8080))
c = socket.create_connection(("127.0.0.1", 8080))
p = s.accept()[0]
c.close()
while p.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 7:
    pass' && ip netns exec cni-7 grep -x 'resets 1' /proc/net/xt_halfrst
}

refused()
{
	echo '-A HALFRST-PODS -j HALFRST' >$etc/pods.v6
	! "$dir/pods" reload 2>"$tmp/said" && cat "$tmp/said" &&
	grep "$etc/pods.v6 was not loaded" "$tmp/said" &&
	echo '-A INPUT -j DROP' >$etc/pods.v6 &&
	! "$dir/pods" reload 2>"$tmp/said" && cat "$tmp/said" &&
	grep 'has to begin with "-A HALFRST-PODS"' "$tmp/said" &&
	: >$etc/pods.v6 && all_loaded
}

metrics()
{
	sh "$dir/metrics" "$tmp" && grep -v cni- "$tmp/halfrst.prom" &&
	grep -x 'xt_halfrst_resets_total{netns="cni-7",pod=""} 1' \
		"$tmp/halfrst.prom" &&
	grep -x 'xt_halfrst_watching{netns="cni-9",pod=""} 0' \
		"$tmp/halfrst.prom" &&
	grep -x 'xt_halfrst_resets_total 0' "$tmp/halfrst.prom" &&
	grep -x "xt_halfrst_namespaces $1" "$tmp/halfrst.prom" &&
	grep -x "xt_halfrst_namespaces_left_out $2" "$tmp/halfrst.prom" &&
	[ "$(grep -c '^xt_halfrst_fins_total{' "$tmp/halfrst.prom")" = \
		$(($1 - $2)) ] &&
	! grep vpn "$tmp/halfrst.prom" &&
	# a family is in one piece, and its sockets are of it
	[ -z "$(awk '/^#/ { next } { sub(/[{ ].*/, "") }
		$1 != last && $1 in seen { print } { seen[$1]; last = $1 }' \
		"$tmp/halfrst.prom")" ]
}

# It sleeps but for what comes; seconds are the guest's own
comes()
{
	local start

	start=$(date +%s)
	ip netns add "$1" && until_true loaded "$1" &&
	[ $(($(date +%s) - start)) -le 10 ]
}

# Half a minute without a namespace that comes or goes: hardly a process is made
sleeps()
{
	local before

	before=$(awk '/^processes/ { print $2 }' /proc/stat)
	sleep 30
	[ $(($(awk '/^processes/ { print $2 }' /proc/stat) - before)) -lt 60 ]
}

# Those that come while others are being loaded, and go
come_and_go()
{
	local i

	for ((i = 0; i < coming; i++)); do
		ip netns add "cni-go-$i" &&
		if [ $((i % 3)) = 1 ]; then
			ip netns del "cni-go-$((i - 1))"
		fi || return
	done
	until_true all_loaded
}

# gone PATTERN: the namespaces that are called so, which would be loaded each time
gone()
{
	local ns

	for ns in $(ip netns list | awk -v name="$1" '$1 ~ name { print $1 }'); do
		ip netns del "$ns" || return
	done
}

says_nothing()
{
	[ ! -s "$tmp/watch" ] || { cat "$tmp/watch"; return 1; }
}

# A process of it has to run for a container to have a name
left_out()
{
	printf '%s\n' '# a remark' 'cni-1?' >$etc/pods.skip
	"$dir/pods" reload && not_loaded cni-10 && not_loaded cni-11 &&
	loaded cni-9 && loaded cni-2 &&
	ip netns add cni-1x && ip netns add cni-new &&
	until_true loaded cni-new && not_loaded cni-1x &&
	rm $etc/pods.skip && "$dir/pods" reload && loaded cni-10
}

# A pod of Kubernetes has its name by the control group and the kubelet's folder
kubernetes()
{
	local uid=01234567-89ab-cdef-0123-456789abcdef group=$tmp/cgroup

	mkdir -p "$group" && mount -t cgroup2 none "$group" &&
	group=$group/kubepods.slice/kubepods-burstable-pod${uid//-/_}.slice &&
	group=$group/cri-containerd-$(printf '%064d' 7).scope &&
	mkdir -p "$group" "/var/log/pods/shop_web-1_$uid" || return
	ip netns exec cni-5 sleep 100000 &
	pod=$!
	echo $pod >"$group/cgroup.procs" &&
	"$dir/pods" list | grep -x "/run/netns/cni-5 $pod shop/web-1" &&
	loaded cni-5 && echo 'shop/*' >$etc/pods.skip && "$dir/pods" reload &&
	not_loaded cni-5 && loaded cni-6 && rm $etc/pods.skip &&
	"$dir/pods" reload && loaded cni-5 && kill $pod
}

nft_rules()
{
	cat >$etc/pods.nft <<-'END'
	ct helper leak { type "halfrst-5m" protocol tcp; }
	chain input {
		type filter hook input priority 0;
		tcp dport 8080 ct helper set "leak"
	}
	END
	"$dir/pods" reload &&
	ip netns exec cni-3 nft list table inet halfrst_pods | grep halfrst-5m &&
	: >$etc/pods.nft && "$dir/pods" reload &&
	! ip netns exec cni-3 nft list table inet halfrst_pods
}

changed()
{
	grace=7s
	sed -i 's/HALFRST$/HALFRST --grace 7s/' $etc/pods.v4
	"$dir/pods" reload && all_loaded
}

# stopped ends the watch, too, and a namespace that comes has none
stopped()
{
	kill "$watch" && wait "$watch"
	"$dir/pods" stop && none_loaded && nobody_elses &&
	diff <(ip netns exec cni-own iptables-save | grep -v '^#' |
		sed 's/\[.*\]//') <(sed 's/\[.*\]//' "$tmp/own") &&
	! pgrep findmnt
}

# Where there are no rules for them, iptables-legacy makes no table either
legacy_makes_no_table()
{
	PATH=$tmp/bin:$PATH
	ip netns add cni-empty && "$dir/pods" reload && "$dir/pods" stop &&
	[ -z "$(ip netns exec cni-empty cat /proc/net/ip_tables_names)" ]
}

legacy()
{
	PATH=$tmp/bin:$PATH
	ip netns exec cni-own iptables -t mangle -A INPUT -p udp -j ACCEPT &&
	ip netns exec cni-own iptables-save | grep -v '^#' >"$tmp/own" &&
	"$dir/pods" reload && loaded cni-1 && loaded cni-own &&
	[ "$(ip netns exec cni-own iptables-save | grep -c HALFRST-PODS)" = 3 ] &&
	"$dir/pods" reload && loaded cni-1 &&
	"$dir/pods" stop && in_all sh -c '! iptables-save | grep HALFRST-PODS' &&
	diff <(ip netns exec cni-own iptables-save | grep -v '^#' |
		sed 's/\[.*\]//') <(sed 's/\[.*\]//' "$tmp/own")
}

mkdir -p $etc "$tmp/bin"
echo '-A HALFRST-PODS -p tcp --dport 8080 -j HALFRST' >$etc/pods.v4
check "$many namespaces" made
total=$((many + 2))
check 'loaded into all of them' reload $total
check 'each has the rule' all_loaded
check 'nobody else has' nobody_elses
check 'a connection in a pod is reset' resets
check 'metrics of all, in bounds' metrics $total $((total > 250 ? total - 250 : 0))
check 'a mistake: nothing changes' refused
"$dir/pods" watch >"$tmp/watch" 2>&1 &
watch=$!
check 'one comes' comes cni-new-1
check 'and another' comes cni-new-2
check 'it sleeps meanwhile' sleeps
check "$coming come, and some go" come_and_go
check 'all of these go' gone '^cni-(go|new)-'
check 'without a word' says_nothing
check 'some are left out' left_out
check 'the rules are changed' changed
check 'a pod of Kubernetes, by its name' kubernetes
check 'pods.nft' nft_rules
check 'stopped: out of all' stopped

gone '^cni-([0-9][0-9]+|new)$'
if iptables-legacy -S >/dev/null 2>&1; then
	for c in iptables ip6tables; do
		for what in '' -restore -save; do
			ln -s "$(command -v $c-legacy$what)" "$tmp/bin/$c$what"
		done
	done
	rules=$(cat $etc/pods.v4)
	: >$etc/pods.v4
	check 'iptables-legacy: no rules, no table' legacy_makes_no_table
	echo "$rules" >$etc/pods.v4
	check 'iptables-legacy: loaded, and stopped' legacy
else
	skip 'iptables-legacy' 'it has no tables here'
fi
echo "1..$n"
[ "$failed" -eq 0 ]
