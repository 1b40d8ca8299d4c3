#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# N idle connections whose server, at the other end of a link, closes all of them.
# Prints CONTENDER|N|open|close|drain|busy|late|memory|left, as storm.c says.
# storm.sh N [CONTENDER...]; behind a contender may stand @lo: on loopback; @filter:
# its rules are in that table; @nft, the last: by iptables-nft
set -eu
cd "$(dirname "$0")"
. ./contenders.sh

n=$1
shift
sysctl -qw fs.nr_open=8000000 net.ipv4.tcp_max_orphans=4000000

# linked COMMAND...: in the client's namespace, with another one for the server.
# Not on loopback, which has no early demux: what is not TCP looks for a segment's
# socket itself there.
linked()
{
	local rc=0

	ip netns add server
	ip link add client0 type veth peer name server0 netns server
	ip addr add 198.19.0.1/15 dev client0
	ip link set client0 up
	ip netns exec server sysctl -qw net.ipv4.tcp_max_tw_buckets=4000000
	ip -n server link set lo up
	ip -n server link set server0 up
	ip -n server route add 198.19.0.0/16 dev server0
	ip -n server route add local 198.18.0.0/16 dev lo
	SERVER_NETNS=server "$@" || rc=$?
	ip netns del server
	return $rc
}
export -f linked

directly()
{
	"$@"
}
export -f directly

for contender in "${@:-halfrst}"; do
	over=linked
	front_end=iptables-legacy
	table=mangle
	case $contender@ in *@filter@*) table=filter ;; esac
	case $contender@ in *@lo@*) over=directly ;; esac
	case $contender in *@nft) front_end=iptables-nft ;; esac
	case ${contender%%@*} in
	nothing) what=(nothing ./storm -w 1) ;;
	# one sweep, as soon as the last FIN has come
	sweep)	what=(nothing ./storm -w 1 \
			-x 'ss -HK state close-wait >/dev/null') ;;
	bpf)	have_bpf || continue
		what=(nothing ./storm -w 1 -x "cat $iterator >/dev/null") ;;
	*)	what=("${contender%%@*}" ./storm) ;;
	esac
	# shellcheck disable=SC2016 # that shell's own
	alone "${what[0]}" bash -ec '"$@"' - $over "${what[@]:1}" "$n" |
		awk -v OFS='|' -v c="$contender" -v n="$n" '
		{ v[$1] = $2 }
		END { print c, n, v["open"], v["close"], v["drain"],
			v["busy"], v["late"], v["memory"], v["left"] }'
done
