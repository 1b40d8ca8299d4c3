#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --icount
#
# kmod/android/oem-iptables-init.sh as netd runs it: behind a flush of mangle
# INPUT, with no module, no extension, no iptables, and the lock taken.  Uses
# iptables-legacy, as Android does.  Runs as root in a guest of the lab; prints
# TAP.
set -eu

tmp=$(mktemp -d /tmp/oem.XXXXXX)
# shellcheck disable=SC1091 # beside it
. ../lib/tap.sh
script=$PWD/oem-iptables-init.sh
lock=/run/xtables.lock
legacy=/usr/sbin/xtables-legacy-multi
rule='-A INPUT -p tcp -m tcp --tcp-flags FIN FIN -j HALFRST ! --uid-owner 0-9999 --reset-with econnreset'

mkdir "$tmp/bin" "$tmp/only" "$tmp/lib"
for name in iptables ip6tables iptables-restore ip6tables-restore; do
	ln -s "$legacy" "$tmp/bin/$name"
done
# Android's log, for both
cat >"$tmp/bin/log" <<-END
	#!/bin/sh
	echo "\$*" >>$tmp/said
	END
chmod +x "$tmp/bin/log"
cp "$tmp/bin/log" "$tmp/only"
PATH=$tmp/bin:$PATH

if ! modprobe -aq iptable_mangle ip6table_mangle xt_tcpudp ||
   ! iptables -t mangle -S >/dev/null 2>&1; then
	skip_all 'this kernel has no tables for iptables-legacy'
fi

# as_netd [CMD...]: the script, by CMD; what it says goes to $tmp/said.  netd
# starts nothing before it has ended.
as_netd()
{
	: >"$tmp/said"
	timeout 60 "$@" /bin/sh "$script"
}

rules()
{
	"$1" -t mangle -S INPUT | grep -v '^-P'
}

# Both families have the rule, once, and the log is empty
set_once()
{
	for family in iptables ip6tables; do
		if [ "$(rules $family | grep -c HALFRST)" != 1 ] ||
		   ! rules $family | grep -qxF -e "$rule"; then
			rules $family
			return 1
		fi
	done
	cat "$tmp/said"
	[ ! -s "$tmp/said" ]
}

# not_set WORDS: no family has it, and the log says why for both
not_set()
{
	cat "$tmp/said"
	for family in iptables ip6tables; do
		if rules $family | grep HALFRST; then
			return 1
		fi
		grep -A3 "^-p w -t halfrst $family: " "$tmp/said" |
			grep -q "$1" || return
	done
}

sets()
{
	as_netd && set_once
}

flush()
{
	iptables -t mangle -F && ip6tables -t mangle -F
}

# What netd does to mangle whenever it starts, in short
netd_starts()
{
	for family in iptables ip6tables; do
		"$family-restore" --noflush -w <<-'END' || return
		*mangle
		-F INPUT
		:wakeupctrl_mangle_INPUT -
		:routectrl_mangle_INPUT -
		-A INPUT -j wakeupctrl_mangle_INPUT
		-A INPUT -j routectrl_mangle_INPUT
		COMMIT
		END
		if rules $family | grep HALFRST; then
			return 1
		fi
	done
}

# Behind what netd has put there
sets_again()
{
	sets && [ "$(rules iptables | tail -n 1)" = "$rule" ] &&
	[ "$(rules iptables | wc -l)" = 3 ]
}

# The kernel asks for nothing, as on a phone
no_module()
{
	local rc=0 modprobe words='No chain/target/match\|unknown target\|incompatible'

	# Takes a missing module for a missing extension
	! iptables -V | grep -q 'v1\.8\.7' || words='unknown option'
	modprobe=$(cat /proc/sys/kernel/modprobe)
	rmmod xt_HALFRST 2>/dev/null || :
	echo /nowhere >/proc/sys/kernel/modprobe
	as_netd && not_set "$words" || rc=1
	echo "$modprobe" >/proc/sys/kernel/modprobe
	return $rc
}

no_extension()
{
	cp /usr/lib/*/xtables/libxt_tcp.so "$tmp/lib" &&
	as_netd env XTABLES_LIBDIR="$tmp/lib" && not_set 'unknown option'
}

no_iptables()
{
	as_netd env PATH="$tmp/only" && not_set 'not found'
}

busy()
{
	flush && as_netd flock $lock && not_set lock
}

# Somebody else has it for a moment
not_for_long()
{
	flush || return
	flock $lock sleep 1 &
	while flock -n $lock true; do :; done
	sets
	wait
}

# reset UID ADDRESS: is a connection of that user's reset?
reset()
{
	setpriv --reuid "$1" --clear-groups python3 - "$2" <<-'END'
	import errno, socket, sys, time

	def counts():
	    with open("/proc/net/xt_halfrst") as f:
	        n = dict(l.split() for l in f)
	    return int(n["resets"]), int(n["other_owner"])

	before = counts()
	family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
	with socket.create_server((sys.argv[1], 8080), family=family) as s:
	    c = socket.create_connection(s.getsockname()[:2])
	    p = s.accept()[0]
	    p.send(b"b")
	    c.recv(1)
	    p.close()
	    # without a rule nobody counts
	    for i in range(600):
	        if counts() != before:
	            break
	        time.sleep(0.1)
	try:
	    c.send(b"x")
	    sys.exit(1)
	except OSError as e:
	    sys.exit(e.errno != errno.ECONNRESET)
	END
}

# Applications of the first and of another user, and no system process
whose()
{
	for address in 127.0.0.1 ::1; do
		reset 10400 $address && reset 1010400 $address || return
		if reset 1000 $address; then
			return 1
		fi
	done
}

if [ -e /sys/module/xt_HALFRST ] && [ ! -e /sys/module/xt_HALFRST/initstate ]; then
	skip 'without the module: exit status 0, no rule, a word' 'it is built in'
else
	check 'without the module: exit status 0, no rule, a word' no_module
fi
modprobe xt_HALFRST
check 'with an iptables that does not know the target' no_extension
check 'without iptables' no_iptables
check 'sets the rule, for IPv4 and IPv6' sets
check 'once more: still one' sets
check 'netd starts again: the rule is gone' netd_starts
check 'and back, behind its chains' sets_again
check 'resets what belongs to applications' whose
check 'the lock is taken: exit status 0, no rule, a word' busy
check 'the lock is taken for a second: waits' not_for_long
echo "1..$n"
[ $failed -eq 0 ]
