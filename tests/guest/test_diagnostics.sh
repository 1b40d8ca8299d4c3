#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --smp 1
#
# The man page's table DIAGNOSTICS, line by line: what is wrong, what one sees.
# Runs as root in a guest of the lab; prints TAP.
set -eu

tmp=$(mktemp -d)
. ../lib/tap.sh
so=$(find /usr/lib -name libxt_HALFRST.so)
modules=/lib/modules/$(uname -r)

# says WORDS CMD...: it fails with these
says()
{
	local out

	if out=$("${@:2}" 2>&1); then
		echo "was accepted"
		return 1
	fi
	echo "$out"
	grep -qF -e "$1" <<< "$out"
}

# logs WORDS CMD...: it fails and says "Invalid argument", the kernel says why
logs()
{
	dmesg -c >/dev/null
	says 'Invalid argument' "${@:2}" && dmesg && dmesg | grep -F -e "$1"
}

# ip6tables-legacy 1.8.9 takes any target for this one
wrong_match()
{
	ip6tables-legacy -t mangle -A INPUT -p tcp -j HALFRST --grace 5s &&
	ip6tables-legacy -t mangle -C INPUT -p tcp -j HALFRST --grace 7s &&
	! ip6tables-legacy -t mangle -S INPUT | grep -x -- \
		'-A INPUT -p tcp -j HALFRST --grace 7s' &&
	! ip6tables-legacy -t mangle -D INPUT -p tcp -j HALFRST --grace 7s
	ip6tables-legacy -t mangle -F INPUT
}

# The version is in what both say
versions()
{
	local v

	v=$(iptables -j HALFRST -h |
		sed -n 's/^HALFRST target v\(.*\) options:/\1/p') &&
	[ -n "$v" ] && [ "$v" = "$(cat /sys/module/xt_HALFRST/version)" ] &&
	[ "$v" = "$(modinfo -F version xt_HALFRST)" ] &&
	[ "$v" = "$(modinfo -F version nf_conntrack_halfrst)" ] &&
	[ "$(dmesg | grep -c 'xt_HALFRST: version ')" = 1 ] &&
	dmesg | grep "xt_HALFRST: version $v$"
}

nft_helper()
{
	nft -f - <<-'END'
	table inet halfrst {
		ct helper idle { type "halfrst" protocol tcp; }
	}
	END
}

# no_extension BACKEND: what it says without the extension
no_extension()
{
	if [ "$1" = nft ]; then
		echo "Chain 'HALFRST' does not exist"
	else
		echo "Couldn't load target \`HALFRST'"
	fi
}

without_module()
{
	mv "$modules/updates" "$tmp/away"
	depmod
	for backend in $backends; do
		for family in iptables ip6tables; do
			ipt=$family-$backend
			words='RULE_APPEND failed (No such file or directory)'
			[ "$backend" = nft ] || words='No chain/target/match by that name'
			[ $old = 0 ] || words=$(no_extension "$backend")
			check "$ipt: no module" says "$words" \
				"$ipt" -t mangle -A INPUT -p tcp -j HALFRST
		done
	done
	if [ $old = 0 ]; then
		check 'iptables: no module, a warning' says \
			'Extension HALFRST revision 0 not supported, missing kernel module?' \
			iptables-nft -t mangle -A INPUT -p tcp -j HALFRST
	else
		skip 'iptables: no module, a warning' '1.8.7 has none'
	fi
	check 'nft: no module' \
		says 'Could not process rule: No such file or directory' nft_helper
	mv "$tmp/away/updates" "$modules"
	depmod
}

# Takes a missing module for a missing extension
old=0
! iptables -V | grep -q 'v1\.8\.7' || old=1

legacy=1
iptables-legacy -t mangle -S >/dev/null 2>&1 || legacy=0
backends='nft'
[ $legacy = 0 ] || backends='nft legacy'

mkdir "$tmp/away"
if [ -e /sys/module/xt_HALFRST ]; then
	skip 'no module' 'it is built in'
else
	without_module
fi

mv "$so" "$tmp/away"
for backend in $backends; do
	for family in iptables ip6tables; do
		ipt=$family-$backend
		check "$ipt: no extension" says "$(no_extension "$backend")" \
			"$ipt" -t mangle -A INPUT -p tcp -j HALFRST
		check "$ipt: no extension, an option" says 'unknown option "--grace"' \
			"$ipt" -t mangle -A INPUT -p tcp -j HALFRST --grace 5s
	done
done
mv "$tmp/away/${so##*/}" "$so"

dmesg -c >/dev/null
modprobe xt_HALFRST
if [ -e /sys/module/xt_HALFRST/version ]; then
	check 'one version: extension, both modules, the log, once' versions
else
	skip 'one version' "the module is the kernel's own, and has the kernel's"
fi
for backend in $backends; do
	for family in iptables ip6tables; do
		ipt=$family-$backend
		for proto in '' '-p udp' '! -p tcp'; do
			# shellcheck disable=SC2086 # words
			check "$ipt: \"$proto\", an option" \
				says 'HALFRST: needs -p tcp' "$ipt" -t mangle \
				-A INPUT $proto -j HALFRST --grace 5s
		done
		check "$ipt: no -p tcp, no option" \
			logs 'only valid for protocol 6' \
			"$ipt" -t mangle -A INPUT -j HALFRST
		check "$ipt: wrong chain" logs 'only usable from INPUT' \
			"$ipt" -t mangle -A FORWARD -p tcp -j HALFRST
		check "$ipt: wrong table" logs 'not in nat' \
			"$ipt" -t nat -A INPUT -p tcp -j HALFRST
		check "$ipt: -p tcp behind the options" "$ipt" -t mangle \
			-A INPUT -j HALFRST --grace 5s -p tcp
		"$ipt" -t mangle -F INPUT
		# The kernel says the same thing ten times in five seconds
		sleep 6
	done
done
if [ $legacy = 1 ] && ip6tables-legacy -V | grep -q 'v1\.8\.9'; then
	check 'ip6tables-legacy -C: takes another rule for it' wrong_match
else
	skip 'ip6tables-legacy -C' 'the mistake is that of 1.8.9'
fi
echo "1..$n"
[ $failed -eq 0 ]
