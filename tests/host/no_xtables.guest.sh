#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guests of no_xtables.sh: HALFRST's service and its page where there is no
# xtables. Prints TAP.
set -eu

. ../lib/nft.sh
PATH+=:$PWD/../../service

helper=$(ruleset inet halfrst | sed '1d; $d')

# They are loaded, and their module by that
start()
{
	mkdir -p /etc/halfrst && echo "$helper" >/etc/halfrst/rules.nft &&
	[ ! -e $module ] && rules start >"$tmp/said" 2>&1 &&
	grep "module $(modinfo -F version nf_conntrack_halfrst)\.$" "$tmp/said" &&
	[ ! -e /sys/module/xt_HALFRST ] && idle 127.0.0.1 80 "$reset"
}

# before: the module may be had; after: it is loaded
page()
{
	local version

	version=$(modinfo -F version nf_conntrack_halfrst) &&
	halfrst-status >"$tmp/page" 2>&1 && cat "$tmp/page" &&
	case $1 in
	before)	grep "loaded no, installed $version;" "$tmp/page" &&
		grep 'loaded with the first rule' "$tmp/page" ;;
	after)	grep "loaded $version, installed $version;" "$tmp/page" ;;
	esac && ! grep 'There is no module' "$tmp/page"
}

# The switch for all is this module's
switch()
{
	echo 0 >$module/parameters/max_watches &&
	idle 127.0.0.1 80 "$kept" &&
	halfrst-status | grep 'max_watches is 0' &&
	echo 1048576 >$module/parameters/max_watches &&
	idle 127.0.0.1 80 "$reset"
}

stop()
{
	rules stop && [ ! -e $module ] && ! nft list tables | grep halfrst
}

# A rule for iptables says what is missing, and so does one for nft
says_no_module()
{
	local ko

	echo '-A HALFRST-INPUT -j HALFRST' >/etc/halfrst/rules.v4 &&
	! rules start >"$tmp/said" 2>&1 && cat "$tmp/said" &&
	grep 'There is no module xt_HALFRST' "$tmp/said" &&
	rm /etc/halfrst/rules.v4 && rules stop &&
	ko=$(modinfo -n nf_conntrack_halfrst) && mv "$ko" "$tmp/ko" &&
	! rules start >"$tmp/said" 2>&1 && cat "$tmp/said" &&
	mv "$tmp/ko" "$ko" &&
	grep 'There is no module nf_conntrack_halfrst' "$tmp/said"
}

check 'halfrst-status: the module is there to be loaded' page before
check 'rules start: loads it, and says so' start
check 'halfrst-status: it is loaded' page after
check 'max_watches' switch
check 'rules stop: nothing is left' stop
check 'rules start: what is missing' says_no_module
echo "1..$n"
[ $failed -eq 0 ]
