#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --icount
#
# HALFRST in rulesets of nftables: without iptables, listed and loaded again,
# names that do not exist, and the same helpers by iptables' CT.  Prints TAP.
# shellcheck disable=SC2317 # functions that are called by their names
set -eu

. ../lib/nft.sh

names='halfrst halfrst-1s halfrst-10s halfrst-1m halfrst-5m halfrst-30m halfrst-dry'

# Nothing but nft: no program, no extension, no other module of iptables'
without_iptables()
{
	local f

	mkdir "$tmp/away" &&
	for f in $(type -P -a iptables ip6tables iptables-nft iptables-legacy \
		xtables-nft-multi xtables-legacy-multi); do
		[ ! -e "$f" ] || mv "$f" "$tmp/away" || return
	done
	! type iptables && ! type xtables-nft-multi && [ ! -e "$module/refcnt" ] &&
	ruleset inet halfrst >"$tmp/six" && nft -f "$tmp/six" &&
	idle 127.0.0.1 80 "$reset" && idle ::1 80 "$reset" &&
	idle 127.0.0.1 81 "$kept" &&
	grep -qx 'resets 2' /proc/net/xt_halfrst &&
	! grep -E '^(ip_tables|ip6_tables|nft_compat) ' /proc/modules
}

iptables_back()
{
	mv "$tmp/away"/* /usr/sbin
}

goes_and_comes()
{
	[ -e "$module/refcnt" ] || return 0	# built in
	! rmmod nf_conntrack_halfrst && unload && [ ! -e "$module" ] &&
	nft -f "$tmp/six" && [ -e "$module" ] && idle 127.0.0.1 80 "$reset"
}

# identity COMMAND...: prints what is listed, can be loaded, and is the same
identity()
{
	nft list ruleset >"$tmp/one" && [ -s "$tmp/one" ] &&
	cat "$tmp/one" && nft flush ruleset && nft -f "$tmp/one" &&
	nft list ruleset | diff "$tmp/one" -
}

all_names()
{
	local family name

	for family in ip ip6 inet; do
		echo "table $family t {"
		for name in $names; do
			echo "ct helper h-$name { type \"$name\" protocol tcp; }"
		done
		echo 'chain c { type filter hook output priority 0; policy accept;'
		for name in $names; do
			echo "meta skuid alice ct helper set \"h-$name\""
		done
		echo '}'
		echo '}'
	done >"$tmp/all" &&
	nft flush ruleset && nft -f "$tmp/all" && identity &&
	[ "$(grep -c 'type "halfrst' "$tmp/one")" = 21 ]
}

# The service's own way to save: a script that flushes, and what is listed
saved()
{
	nft flush ruleset && nft -f "$tmp/six" &&
	{ echo 'flush ruleset'; nft list ruleset; } >"$tmp/saved" &&
	nft list ruleset >"$tmp/one" &&
	nft -f "$tmp/saved" && nft -f "$tmp/saved" &&
	nft list ruleset | diff "$tmp/one" - &&
	idle 127.0.0.1 80 "$reset"
}

# Each in a chain of a set or map, as large rulesets are written
by_map()
{
	cat >"$tmp/map" <<-'END' &&
	table inet t {
		ct helper idle { type "halfrst" protocol tcp; }
		ct helper slow { type "halfrst-5m" protocol tcp; }
		chain c {
			type filter hook output priority 0;
			ct helper set tcp dport map { 80 : "idle", 81 : "slow" }
		}
	}
	END
	nft flush ruleset && nft -f "$tmp/map" && identity &&
	idle 127.0.0.1 80 "$reset" && idle 127.0.0.1 81 "$kept"
}

# refused WORDS TEXT: nft says WORDS and where; the ruleset stays as it was
refused()
{
	nft list ruleset >"$tmp/one"
	printf '%b\n' "$2" >"$tmp/bad"
	! nft -f "$tmp/bad" 2>"$tmp/said" && cat "$tmp/said" &&
	grep -q "$1" "$tmp/said" && grep -q '\^' "$tmp/said" &&
	nft list ruleset | diff "$tmp/one" -
}

of_type()
{
	echo "table $1 b { ct helper h { type \"$2\" protocol $3; }; }"
}

# by_ct COMMAND ADDRESS
by_ct()
{
	nft flush ruleset &&
	"$1" -t raw -A OUTPUT -p tcp --dport 80 -j CT --helper halfrst &&
	"$1" -t raw -S OUTPUT | grep -xF -e \
		'-A OUTPUT -p tcp -m tcp --dport 80 -j CT --helper halfrst' &&
	idle "$2" 80 "$reset" && idle "$2" 81 "$kept" &&
	"$1" -t raw -D OUTPUT -p tcp --dport 80 -j CT --helper halfrst
}

# ct_refuses COMMAND ARGS...
ct_refuses()
{
	! "$@"
}

check 'without iptables: nft -f of six lines, and idle connections are reset' \
	without_iptables
check 'the module goes when no ruleset names it, and comes again' goes_and_comes
iptables_back
check 'a listed ruleset with every name is loaded again, the same' all_names
check 'a saved one with "flush ruleset", twice' saved
check 'helpers out of a map' by_map
nft flush ruleset
nft -f "$tmp/six"
check 'refused: a name that does not exist' \
	refused "$no_such" "$(of_type inet halfrst-2m tcp)"
check 'refused: UDP' refused "$no_such" "$(of_type ip halfrst udp)"
check 'refused: a name that is too long' \
	refused 'invalid name\|too long' "$(of_type ip halfrst-30minutes tcp)"
check 'refused: another family than the table has' refused 'Invalid argument' \
	'table ip6 b {\nct helper h { type "halfrst" protocol tcp; l3proto ip; }\n}'
check 'refused: with a good table before it, both are' refused "$no_such" \
	"$(of_type ip halfrst tcp | sed 's/ b / a /')\n$(of_type ip halfrst-x tcp)"
check 'refused: a table of arp' refused '' "$(of_type arp halfrst tcp)"
check 'a wrong name leaves nothing behind' identity


for cmd in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy; do
	address=127.0.0.1
	[ "${cmd#ip6}" = "$cmd" ] || address=::1
	if ! "$cmd" -t raw -S >/dev/null 2>&1 ||
	   ! modprobe -q xt_CT; then
		skip "$cmd -j CT --helper halfrst" 'not in this kernel'
		continue
	fi
	check "$cmd -j CT --helper halfrst" by_ct "$cmd" "$address"
	[ "${cmd#ip6}" = "$cmd" ] || continue	# says the same
	check "$cmd -j CT refuses a name that does not exist" \
		ct_refuses "$cmd" -t raw -A OUTPUT -p tcp -j CT --helper halfrst-2m
	check "$cmd -j CT refuses UDP" \
		ct_refuses "$cmd" -t raw -A OUTPUT -p udp -j CT --helper halfrst
	check "$cmd -j CT refuses a rule without a protocol" \
		ct_refuses "$cmd" -t raw -A OUTPUT -j CT --helper halfrst
done
echo "1..$n"
[ $failed -eq 0 ]
