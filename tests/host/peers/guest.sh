#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: guest.sh SUITE PASS... runs other people's tests, which come as
# a disk, once for each pass: "none" (no rule), or a grace for a catch-all rule
# of both families. A pass has a network namespace of its own, and so have its
# connections, rules and counters. In /out stay, for the N-th pass:
#
#   N.PASS.results     a line for each test: name, tab, ok, FAIL, skip or hang
#   N.PASS.counters    /proc/net/xt_halfrst of every namespace the suite used
#   N.PASS.log         what the suite printed
set -eu

here=$(cd "$(dirname "$0")" && pwd)
suite=$1
shift
# shellcheck source=tests/lib/disk.sh
. ../lib/disk.sh
disk=$(disk peers)
mkdir /tmp/peers /tmp/bin
# without times: the clock of --icount is behind
tar -xmf "$disk" -C /tmp/peers
ip=$(command -v ip)

# The suite's own "ip": a namespace that it makes has the pass's rules, and its
# counters are read before it goes.
cat >/tmp/bin/ip <<END
#!/bin/bash
case "\$1 \${2:-}" in
"netns del"|"netns delete")
	for ns in "\${@:3}"; do
		$ip netns exec "\$ns" cat /proc/net/xt_halfrst \
			>>"\$PEERS_COUNTERS" 2>/dev/null || :
	done
	;;
esac
$ip "\$@" || exit
case "\$1 \${2:-}" in
"netns add")
	[ -z "\$PEERS_TARGET" ] || for family in iptables ip6tables; do
		$ip netns exec "\$3" \$family -w -t mangle -A INPUT -p tcp \
			\$PEERS_TARGET || exit
	done
	;;
esac
END
chmod 755 /tmp/bin/ip

# certificates of Go 1.19's tests were good until 2025 began
[ "$suite" != go ] || date -s 2024-06-01 >/dev/null

# libevent asks for the time of day 6 s after a boot, and its event_pending wants it
sleep 6

n=0
for pass; do
	n=$((n + 1))
	ns=pass$n
	out=/out/$n.$pass
	case $pass in
	none)	target= ;;
	0)	target='-j HALFRST' ;;
	*)	target="-j HALFRST --grace $pass" ;;
	esac
	: >"$out.counters"
	export PEERS_COUNTERS=$out.counters PEERS_TARGET=$target
	# Passes of the same kind are not to meet the same timer ticks, not
	# even in another guest with other passes.
	sleep 0.$((100 + ($# * 7 + n) * 137 % 900))
	/tmp/bin/ip netns add $ns
	ip -n $ns link set lo up
	PATH=/tmp/bin:$PATH ip netns exec $ns python3 "$here/run.py" \
		"$suite" /tmp/peers "$out.results" >"$out.log" 2>&1 </dev/null
	/tmp/bin/ip netns del $ns
	echo "$pass: $(wc -l <"$out.results") results"
done
