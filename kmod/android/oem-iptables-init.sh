#!/system/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# HALFRST's rules for all applications of all users. netd empties mangle INPUT
# whenever it starts and runs /system/bin/oem-iptables-init.sh behind that: copy
# this there, or call it there.
#
# Ends well whatever happens, as netd wants it. Nothing loads a module by
# itself on a phone: without xt_HALFRST, or with an iptables that does not know
# the target, there is no rule, and the log says so.

for iptables in iptables ip6tables; do
	# Not a second time. -w: another process may hold the lock, but netd
	# waits for this script.
	set -- INPUT -p tcp --tcp-flags FIN FIN -j HALFRST ! --uid-owner 0-9999
	"$iptables" -w 2 -t mangle -C "$@" 2>/dev/null ||
		error=$("$iptables" -w 2 -t mangle -A "$@" 2>&1) ||
		log -p w -t halfrst "$iptables: $error" 2>/dev/null || :
done
exit 0
