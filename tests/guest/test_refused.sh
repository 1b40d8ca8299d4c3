#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What every front end (iptables and ip6tables, legacy and nft) refuses, and the
# kernel behind them, and in which words; where a rule may stand; and that a rule, or
# a target's alias, loads the module.
# Runs as root in a guest of the lab; prints TAP.
set -eu

. ../lib/frontends.sh

# refused TEXT ARG...: the options are refused, and the first line of the
# message, behind the program's name, is TEXT
refused()
{
	local out

	if out=$("$ipt" -t mangle -A INPUT -p tcp -j HALFRST "${@:2}" 2>&1)
	then
		echo "was accepted"
		"$ipt" -t mangle -F INPUT
		return 1
	fi
	out=${out%%$'\n'*}
	same "${out#*): }" "$1"
}

TIME0='want an integer with a unit (ms, s, m or h), 0ms to 168h'
TIME1='want an integer with a unit (ms, s, m or h), 1ms to 168h'
UIDS='want a user, or uid or uid-uid, 0 to 4294967294'
GIDS='want a group, or gid or gid-gid, 0 to 4294967294'

messages()
{
	local v

	for v in 5 5d s 1.5s -5s '5 s' 1S 0x5s 169h 10081m 604801s \
		604800001ms 4294967297ms 18446744073709551616s ''; do
		check "$ipt: refuses --grace \"$v\"" refused \
			"HALFRST: --grace: bad value \"$v\": $TIME0" \
			--grace "$v"
	done
	for v in 60 0ms 0h 169h; do
		check "$ipt: refuses --deadline \"$v\"" refused \
			"HALFRST: --deadline: bad value \"$v\": $TIME1" \
			--deadline "$v"
	done
	for v in no-such 5- -5 5:9 5-9-11 4294967295 0-4294967295 0x10 ''; do
		check "$ipt: refuses --uid-owner \"$v\"" refused \
			"HALFRST: --uid-owner: bad value \"$v\": $UIDS" \
			--uid-owner "$v"
		check "$ipt: refuses --gid-owner \"$v\"" refused \
			"HALFRST: --gid-owner: bad value \"$v\": $GIDS" \
			--gid-owner "$v"
	done
	check "$ipt: refuses an upside-down range of uids" refused \
		'HALFRST: --uid-owner: bad value "9-5": want the lower end of the range first' \
		--uid-owner 9-5
	check "$ipt: refuses an upside-down range of gids" refused \
		'HALFRST: --gid-owner: bad value "9-5": want the lower end of the range first' \
		--gid-owner 9-5
	check "$ipt: refuses a deadline shorter than the grace" refused \
		'HALFRST: --deadline: bad value "90s": want no less than --grace, which is 2m' \
		--deadline 90000ms --grace 120s
	for v in eof EPIPE ''; do
		check "$ipt: refuses --reset-with \"$v\"" refused \
			"HALFRST: --reset-with: bad value \"$v\": want epipe, econnreset, econnaborted or etimedout" \
			--reset-with "$v"
	done
	# These three are libxtables' words.
	check "$ipt: refuses ! --grace" refused \
		'HALFRST: option "--grace" cannot be inverted.' ! --grace 5s
	check "$ipt: refuses ! --dry-run" refused \
		'HALFRST: option "--dry-run" cannot be inverted.' ! --dry-run
	check "$ipt: refuses an option given twice" refused \
		'HALFRST: option "--uid-owner" can only be used once.' \
		--uid-owner 1 --uid-owner 2
}

# said TEXT ARG...: the kernel refuses the rule, and says TEXT in one line
said()
{
	local text=$1 lines

	shift
	echo "frontends: $n" >/dev/kmsg
	if "$ipt" "$@"; then
		echo "was accepted"
		"$ipt" "${@/-A/-D}"
		return 1
	fi
	lines=$(dmesg | sed "1,/frontends: $n\$/d" | grep HALFRST || :)
	[ -n "$lines" ] && [ "$(echo "$lines" | wc -l)" -eq 1 ] &&
		has "$lines" "$text" && return 0
	echo "log: $lines"
	return 1
}

refusals()
{
	# The kernel says the same thing at most ten times in five seconds.
	sleep 6
	check "$ipt: no -p tcp" said 'only valid for protocol 6' \
		-t mangle -A INPUT -j HALFRST
	check "$ipt: -p udp" said 'only valid for protocol 6' \
		-t mangle -A INPUT -p udp -j HALFRST
	check "$ipt: ! -p tcp" said 'only valid for protocol 6' \
		-t mangle -A INPUT ! -p tcp -j HALFRST
	for chain in PREROUTING FORWARD OUTPUT POSTROUTING; do
		check "$ipt: $chain" said 'only usable from INPUT' \
			-t mangle -A "$chain" -p tcp -j HALFRST
	done
	# It sees the first packet of a connection, which is no FIN
	check "$ipt: table nat" said ' nat' \
		-t nat -A INPUT -p tcp -j HALFRST
}

# The kernel lets go of an nft rule's target a little after the rule
unload()
{
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ -d /sys/module/xt_HALFRST ] || return 0
		rmmod xt_HALFRST 2>"$tmp/rmmod" || sleep 0.3
	done
	cat "$tmp/rmmod"
	return 1
}

autoload()
{
	unload && [ ! -d /sys/module/xt_HALFRST ] &&
	"$ipt" -t mangle -A INPUT -p tcp -j HALFRST &&
	[ -d /sys/module/xt_HALFRST ] &&
	"$ipt" -t mangle -F INPUT
}

# loads NAME CMD...: where there is something to load
loads()
{
	if [ -d /sys/module/xt_HALFRST ] &&
	   [ ! -e /sys/module/xt_HALFRST/refcnt ]; then
		n=$((n + 1))
		echo "ok $n - $1 # SKIP HALFRST is built in"
	else
		check "$@"
	fi
}

alias_loads()
{
	unload && modprobe "$1" && [ -d /sys/module/xt_HALFRST ]
}

# As xtables-ext/README.md says it, no rule loads it then; those of /etc/halfrst come
# with it, by its name
forbidden()
{
	local modprobe=/etc/modprobe.d/halfrst.conf etc=/etc/halfrst rc=0

	mkdir -p "${modprobe%/*}" $etc && unload &&
	printf 'blacklist %s\n' xt_HALFRST nf_conntrack_halfrst >$modprobe &&
	! iptables -t mangle -A INPUT -p tcp -j HALFRST &&
	[ ! -d /sys/module/xt_HALFRST ] &&
	echo '-A HALFRST-INPUT -p tcp -j HALFRST' >$etc/rules.v4 &&
	../../service/rules start &&
	iptables -t mangle -S HALFRST-INPUT | grep -e '-j HALFRST' &&
	../../service/rules stop && rm $etc/rules.v4 &&
	cat >$etc/rules.nft <<-'END' &&
	ct helper idle { type "halfrst" protocol tcp; }
	END
	../../service/rules start && nft list table inet halfrst &&
	../../service/rules stop || rc=1
	rm -rf $modprobe $etc
	return $rc
}

user_chain()
{
	"$ipt" -t mangle -N closing &&
	"$ipt" -t mangle -A closing -p tcp -j HALFRST --grace 5s &&
	"$ipt" -t mangle -A INPUT -p tcp -j closing &&
	! "$ipt" -t mangle -A OUTPUT -p tcp -j closing &&
	"$ipt" -t mangle -F && "$ipt" -t mangle -X closing
}

other_tables()
{
	local t

	for t in filter mangle security; do
		"$ipt" -t "$t" -A INPUT -p tcp -j HALFRST &&
		"$ipt" -t "$t" -D INPUT -p tcp -j HALFRST || return
	done
}

of_one()
{
	loads "$ipt: loads the module" autoload
	# The words are libxtables' and the extension's; half of
	# the front ends show that each backend and family has them.
	case $ipt in
	iptables-legacy|ip6tables-nft) messages ;;
	esac
	refusals
	check "$ipt: a chain called from INPUT only" user_chain
	check "$ipt: filter, mangle and security" other_tables
}

each_front_end of_one
for alias in ipt_HALFRST ip6t_HALFRST; do
	loads "modprobe $alias" alias_loads "$alias"
done
loads 'the host forbids that: the rules of /etc/halfrst load it' forbidden

echo "1..$n"
[ "$failed" -eq 0 ]
