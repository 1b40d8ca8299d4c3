#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A chapter of service.sh: containers of Docker and Podman, whose rules are
# made from the node, by the node's iptables. Prints TAP.
#
#   outside (namespace) --- node --- bridge --- pod: a server that never closes
set -eu

cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
. ../lib/tap.sh
. ../lib/box.sh
rule=(INPUT -p tcp --dport 8080 --tcp-flags FIN FIN -j HALFRST --grace 100ms)

# counter NAME PID: of the namespace of that process
counter()
{
	awk -v name="$1" '$1 == name { print $2 }' "/proc/$2/net/xt_halfrst"
}

is()
{
	[ "$(counter "$1" "$2")" = "$3" ]
}

# half_closed N: the pod has so many
half_closed()
{
	[ "$(nsenter -t "$pid" -n ss -Htn state close-wait |
		wc -l)" = "$1" ]
}

# The FIN passes through FORWARD here
node_sees_nothing()
{
	local fins

	fins=$(counter fins 1)
	client "$(address)" && until_true half_closed 1 && sleep 2 &&
	half_closed 1 && is fins 1 "$fins"
}

own_namespace()
{
	[ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/1/ns/net)" ]
}

# What was half-closed before the rule stays
rule_from_the_node()
{
	nsenter -t "$pid" -n iptables -t mangle -A "${rule[@]}" &&
	client "$(address)" && until_true is resets "$pid" 1 && half_closed 1
}

seen_from_inside()
{
	"$1" exec pod cat /proc/net/xt_halfrst | grep -x 'resets 1' &&
	is resets 1 0
}

side_car()
{
	"$1" run --rm --network container:pod box cat /proc/net/xt_halfrst |
		grep -x 'resets 1'
}

outside()
{
	ip netns add outside &&
	ip link add out0 type veth peer name out1 netns outside &&
	ip addr add 192.0.2.1/24 dev out0 && ip link set out0 up &&
	ip -n outside addr add 192.0.2.2/24 dev out1 &&
	ip -n outside link set out1 up &&
	ip -n outside route add default via 192.0.2.1
}

# published ADDRESS COMMAND...: the port of the node
published()
{
	local resets

	resets=$(counter resets "$pid")
	export -f client
	"${@:2}" bash -c "client $1" &&
	until_true is resets "$pid" $((resets + 1))
}

# Each pod of the node by one loop, and again: what is there is not doubled
all_pods()
{
	local ns

	echo '-A HALFRST-INPUT -p tcp --dport 8080 -j HALFRST --grace 100ms' \
		>/etc/halfrst/rules.v4
	for _ in 1 2; do
		for ns in /run/netns/* /run/docker/netns/*; do
			[ ! -e "$ns" ] || nsenter --net="$ns" \
				/usr/libexec/halfrst/rules reload || :
		done
	done
	[ "$(nsenter -t "$pid" -n iptables -t mangle -S |
		grep -c HALFRST)" = 4 ] &&
	# which was among them; it says that the pod still has the module
	{ ip netns exec outside /usr/libexec/halfrst/rules stop || :; }
}

host_network()
{
	local resets

	pod hostpod "$1" --network host &&
	[ "$(readlink "/proc/$pid/ns/net")" = "$(readlink /proc/1/ns/net)" ] &&
	iptables -t mangle -A "${rule[@]}" && resets=$(counter resets 1) &&
	client 127.0.0.1 && until_true is resets 1 $((resets + 1)) &&
	iptables -t mangle -D "${rule[@]}" && "$1" rm -f hostpod
}

# Rules, counters and watches: the module is free when the kernel has taken the
# namespace down
dies_with_it()
{
	"$1" rm -f pod && /usr/libexec/halfrst/rules stop
	until_true modprobe -r xt_HALFRST
}

restarted()
{
	"$1" restart -t 1 pod &&
	pid=$("$1" inspect -f '{{.State.Pid}}' pod) &&
	! nsenter -t "$pid" -n iptables -t mangle -S | grep HALFRST
}

systemctl is-system-running --wait || :
check 'a place outside' outside
for engine in docker podman; do
	# Docker drops what it does not forward itself
	case $engine in
	docker)	systemctl start docker ;;
	podman)	systemctl stop docker docker.socket
		iptables -P FORWARD ACCEPT ;;
	esac
	: >/etc/halfrst/rules.v4
	: >/etc/halfrst/rules.v6
	systemctl restart halfrst
	modprobe xt_HALFRST
	iptables -t mangle -A "${rule[@]}"
	check "$engine: an image" image $engine
	check "$engine: a pod with a published port" pod pod $engine -p 8080:8080
	check "$engine: it has a network namespace of its own" own_namespace
	check "$engine: the node's rule sees none of its FINs" node_sees_nothing
	iptables -t mangle -D "${rule[@]}"
	check "$engine: a rule by nsenter from the node" rule_from_the_node
	check "$engine: counted inside, and not outside" seen_from_inside $engine
	check "$engine: a side-car's counters are the pod's" side_car $engine
	check "$engine: by the published port" \
		published 192.0.2.1 ip netns exec outside
	check "$engine: by the published port, from the node" \
		published 127.0.0.1
	check "$engine: all pods by one loop" all_pods
	check "$engine: a restarted pod is a new namespace" restarted $engine
	check "$engine: what dies with the pod" dies_with_it $engine
	check "$engine: with the node's network the node's rule counts" \
		host_network $engine
	rm -rf "$tmp/box" "$tmp/box.tar"
done
echo "1..$n"
[ $failed -eq 0 ]
