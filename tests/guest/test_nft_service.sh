#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --icount
#
# nftables.service with a ruleset that names HALFRST, with and without the module.
# Prints TAP.
# shellcheck disable=SC2317 # functions that are called by their names
set -eu

. ../lib/nft.sh

conf=/etc/nftables.conf
own=/etc/halfrst.nft

# service VERB: what the unit and our addition run, in systemd's order; a "-"
# before the program says that it may fail
service()
{
	local key line

	case $1 in
	start)	key='ExecStart ExecStartPost' ;;
	reload)	key='ExecReload' ;;
	esac
	for key in $key; do
		while read -r line; do
			case $line in
			-*)	${line#-} || echo "(may fail)" ;;
			*)	$line || return ;;
			esac
		done < <(sed -n "s/^$key=//p" \
			/usr/lib/systemd/system/nftables.service "$tmp/drop-in")
	done
}

# A firewall as Debian's example has it
firewall()
{
	cat <<-'END'
	#!/usr/sbin/nft -f
	flush ruleset
	table inet filter {
		chain input {
			type filter hook input priority 0; policy drop;
			iif lo accept
			ct state established,related accept
		}
	}
	END
}

# The README's lines
cat >"$tmp/drop-in" <<END
[Service]
ExecStartPost=-/usr/sbin/nft -f $own
ExecReload=-/usr/sbin/nft -f $own
END

up()
{
	nft list chain inet filter input | grep -q 'policy drop'
}

# One file, which is all or nothing
one_file()
{
	{ firewall; ruleset inet halfrst; } >"$conf" &&
	: >"$own" && nft flush ruleset && service start && up &&
	idle 127.0.0.1 80 "$reset" && service reload && up &&
	idle 127.0.0.1 80 "$reset"
}

# Without the module, that is what makes it dangerous: nothing comes up
one_file_without_module()
{
	! service start 2>"$tmp/said" && cat "$tmp/said" &&
	grep -q "$no_such" "$tmp/said" && [ -z "$(nft list ruleset)" ]
}

# The way to write it: a file of its own, which may fail
two_files()
{
	firewall >"$conf" && ruleset inet halfrst >"$own" &&
	nft flush ruleset && service start && up &&
	idle 127.0.0.1 80 "$reset" && service reload && up &&
	idle 127.0.0.1 80 "$reset" &&
	[ "$(nft list ruleset | grep -c 'ct helper set')" = 1 ]
}

two_files_without_module()
{
	firewall >"$conf" && ruleset inet halfrst >"$own" &&
	nft flush ruleset && service start && up && service reload && up &&
	! nft list ruleset | grep halfrst
}

# As after an upgrade of the kernel for which nothing was built
hide_module()
{
	unload && mv "$ko" "$tmp"
}

module_back()
{
	mv "$tmp/${ko##*/}" "$ko"
}

cp "$conf" "$tmp/conf"
ko=$(modinfo -n nf_conntrack_halfrst 2>/dev/null) || ko=
check 'nftables.service: in one file, started and reloaded' one_file
check 'nftables.service: in a file of its own, started and reloaded' two_files
case $ko in
/*)
	check 'the module is taken away' hide_module
	{ firewall; ruleset inet halfrst; } >"$conf"
	check 'one file without the module: no firewall at all' \
		one_file_without_module
	check 'a file of its own without the module: the firewall is up' \
		two_files_without_module
	check 'the module is there again' module_back
	;;
*)
	skip 'nftables.service without the module' 'it is built in'
	;;
esac
check 'reloaded with the module, it is at work' two_files
cp "$tmp/conf" "$conf"
rm "$own"

echo "1..$n"
[ $failed -eq 0 ]
