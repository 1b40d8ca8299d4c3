#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --smp 1
#
# Every front end (iptables and ip6tables, legacy and nft) takes, shows,
# saves, restores and refuses HALFRST rules in the same way.
# Runs as root in a guest of the lab; prints TAP.
set -eu

tmp=$(mktemp -d /tmp/frontends.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
. ../lib/tap.sh
export MALLOC_PERTURB_=90	# who reads what it has freed falls

same()
{
	if [ "$1" != "$2" ]; then
		echo "got:  $1"
		echo "want: $2"
		return 1
	fi
}

has()
{
	case $1 in
	*"$2"*)	;;
	*)	echo "got:  $1"
		echo "lack: $2"
		return 1 ;;
	esac
}

rules()
{
	# 1.8.7's nft has a blank behind a rule without a target
	"$ipt" -t mangle -S INPUT | sed -n '/^-A/s/ *$//p'
}

# That another rule is not taken for this one is asked of -D: the -C of
# ip6tables-legacy 1.8.9 compares a few bytes only, for every target.
insert_list_delete()
{
	"$ipt" -t mangle -A INPUT -p tcp -j HALFRST --uid-owner alice \
		--gid-owner 5-9 --grace 90000ms --deadline 120s \
		--reset-with econnreset --dry-run &&
	"$ipt" -t mangle -I INPUT -p tcp -j HALFRST ! --gid-owner bob \
		--reset-with epipe &&
	same "$(rules)" "\
-A INPUT -p tcp -j HALFRST ! --gid-owner 10401 --reset-with epipe
-A INPUT -p tcp -j HALFRST --uid-owner 10400 --gid-owner 5-9 --grace 90s \
--deadline 2m --reset-with econnreset --dry-run" &&
	has "$("$ipt" -t mangle -L INPUT -v -n)" "\
HALFRST uid-owner 10400 gid-owner 5-9 grace 90s deadline 2m \
reset-with econnreset dry-run" &&
	has "$("$ipt" -t mangle -L INPUT -n)" "\
HALFRST ! gid-owner 10401 reset-with epipe" &&
	has "$("$ipt" -t mangle -L INPUT -v)" "\
HALFRST uid-owner alice gid-owner 5-9 grace 90s" &&
	has "$("$ipt" -t mangle -L INPUT)" "HALFRST ! gid-owner bob" &&
	"$ipt" -t mangle -C INPUT -p tcp -j HALFRST ! --gid-owner 10401 \
		--reset-with epipe &&
	! "$ipt" -t mangle -D INPUT -p tcp -j HALFRST ! --gid-owner 10401 &&
	! "$ipt" -t mangle -D INPUT -p tcp -j HALFRST --gid-owner 10401 \
		--reset-with epipe &&
	"$ipt" -t mangle -D INPUT -p tcp -j HALFRST ! --gid-owner bob \
		--reset-with epipe &&
	"$ipt" -t mangle -D INPUT 1 &&
	same "$(rules)" ""
}

# Options of matches stay known behind the target's
among_matches()
{
	"$ipt" -t mangle -A INPUT -p tcp -m mark --mark 1 --sport 443 \
		-j HALFRST --grace 5s --dport 80 -m comment --comment x \
		--tcp-flags FIN FIN --dry-run &&
	same "$(rules)" "\
-A INPUT -p tcp -m mark --mark 0x1 -m tcp --sport 443 --dport 80 \
--tcp-flags FIN FIN -m comment --comment x -j HALFRST --grace 5s \
--reset-with econnreset --dry-run" &&
	"$ipt" -t mangle -F INPUT
}

# saved OPTIONS ARG...: a rule of ARG... is saved with these options, and with
# the error's name behind them where they have none
saved()
{
	local want=$1 rc=0

	case $want in
	*--reset-with*)	;;
	*)		want="${want:+$want }--reset-with econnreset" ;;
	esac
	"$ipt" -t mangle -A INPUT -p tcp -j HALFRST "${@:2}" || return
	same "$(rules)" "-A INPUT -p tcp -j HALFRST $want" || rc=1
	"$ipt" -t mangle -F INPUT
	return "$rc"
}

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

# Every combination of options, in the form that it is saved in
combinations()
{
	local uid gid grace deadline error dry

	for uid in '' ' --uid-owner 10400' ' --uid-owner 5-9' \
		' ! --uid-owner 0' ' ! --uid-owner 0-4294967294'; do
	for gid in '' ' --gid-owner 10401' ' --gid-owner 0-4294967294' \
		' ! --gid-owner 7' ' ! --gid-owner 5-9'; do
	for grace in '' ' --grace 1500ms' ' --grace 2m'; do
	for deadline in '' ' --deadline 121s' ' --deadline 168h'; do
	for error in ' --reset-with epipe' ' --reset-with econnreset' \
		' --reset-with econnaborted' ' --reset-with etimedout'; do
	for dry in '' ' --dry-run'; do
		echo "-A INPUT -p tcp -j HALFRST$uid$gid$grace$deadline$error$dry"
	done; done; done; done; done; done
}

save_restore()
{
	{ echo '*mangle'; cat "$tmp/all"; echo COMMIT; } >"$tmp/in"
	"$cmd-restore" <"$tmp/in" &&
	"$cmd-save" -t mangle >"$tmp/saved1" &&
	grep '^-A' "$tmp/saved1" | diff "$tmp/all" - | head -20 >"$tmp/diff"
	[ -s "$tmp/diff" ] && cat "$tmp/diff" && return 1
	grep '^-A' "$tmp/saved1" | cmp - "$tmp/all" &&
	"$cmd-restore" <"$tmp/saved1" &&
	"$cmd-save" -t mangle | grep '^-A' | cmp - "$tmp/all" &&
	"$ipt" -t mangle -F INPUT
}

# What version 1.0 has saved without an error's name meant epipe, and goes on
# meaning it once the changelog's command has said so
of_an_old_file()
{
	sed '/-j HALFRST/{/--reset-with/!s/$/ --reset-with epipe/}' <<-'END' |
	*mangle
	[1:40] -A INPUT -p tcp -j HALFRST
	-A INPUT -p tcp -j HALFRST --grace 5s --reset-with etimedout
	-A INPUT -p tcp -j HALFRST --uid-owner 5 --dry-run
	-A INPUT -p udp
	COMMIT
	END
	"$cmd-restore" &&
	same "$(rules)" "\
-A INPUT -p tcp -j HALFRST --reset-with epipe
-A INPUT -p tcp -j HALFRST --grace 5s --reset-with etimedout
-A INPUT -p tcp -j HALFRST --uid-owner 5 --reset-with epipe --dry-run
-A INPUT -p udp" &&
	"$ipt" -t mangle -F INPUT
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

translates()
{
	local out

	out=$("$family-translate" -A INPUT -p tcp -j HALFRST --grace 5s) &&
	has "$out" "-A INPUT -p tcp -j HALFRST --grace 5s" &&
	out=$("$family-restore-translate" -f "$tmp/in") &&
	has "$out" "-j HALFRST --uid-owner 10400"
}

help()
{
	local out o

	out=$("$ipt" -j HALFRST -h) &&
	for o in --uid-owner --gid-owner --grace --deadline --reset-with \
		--dry-run; do
		has "$out" "$o" || return
	done
}

each_sees_its_own()
{
	iptables-nft -t mangle -A INPUT -p tcp -j HALFRST --grace 5s &&
	has "$(nft list ruleset)" HALFRST &&
	same "$(iptables-legacy -t mangle -S INPUT)" "-P INPUT ACCEPT" &&
	iptables-nft -t mangle -F &&
	iptables-legacy -t mangle -A INPUT -p tcp -j HALFRST --grace 5s &&
	! nft list ruleset | grep HALFRST &&
	same "$(iptables-nft -t mangle -S INPUT 2>/dev/null)" \
		"-P INPUT ACCEPT" &&
	has "$(iptables-legacy -t mangle -S INPUT)" "-j HALFRST --grace 5s" &&
	iptables-legacy -t mangle -F
}

combinations >"$tmp/all"

backends='legacy nft'
if ! iptables-legacy -t mangle -S >/dev/null 2>&1; then
	backends=nft
	skip 'the legacy front end' 'this kernel has no legacy tables'
fi
for backend in $backends; do
	for family in iptables ip6tables; do
		ipt=$family-$backend
		cmd=$ipt
		loads "$ipt: loads the module" autoload
		check "$ipt: insert, list, check, delete" insert_list_delete
		check "$ipt: among the options of matches" among_matches
		check "$ipt: a name with a dash" \
			saved "--uid-owner $(id -u www-data)" \
			--uid-owner www-data
		check "$ipt: a group's name with a dash" \
			saved "! --gid-owner $(id -g www-data)" \
			! --gid-owner www-data
		check "$ipt: a range of one" \
			saved '--uid-owner 7' --uid-owner 7-7
		check "$ipt: the error is named always, no other default is" \
			saved '--reset-with econnreset' --grace 0ms
		check "$ipt: a save file's rule that names no error" \
			of_an_old_file
		for t in 90000ms=90s 120s=2m 3600000ms=1h 61m=61m \
			604800000ms=168h 1001ms=1001ms; do
			check "$ipt: --grace ${t%=*} is saved as ${t#*=}" \
				saved "--grace ${t#*=}" --grace "${t%=*}"
		done
		check "$ipt: a deadline equal to the grace" \
			saved '--grace 5s --deadline 5s' \
			--deadline 5s --grace 5000ms
		check "$ipt: $(wc -l <"$tmp/all") combinations save and restore" \
			save_restore
		# The words are libxtables' and the extension's; half of
		# the front ends show that each backend and family has them.
		case $ipt in
		iptables-legacy|ip6tables-nft) messages ;;
		esac
		refusals
		check "$ipt: a chain called from INPUT only" user_chain
		check "$ipt: filter, mangle and security" other_tables
		check "$ipt: help" help
	done
done
for family in iptables ip6tables; do
	check "$family-translate" translates
done
[ "$backends" = nft ] ||
	check "each front end shows its own rules" each_sees_its_own
for alias in ipt_HALFRST ip6t_HALFRST; do
	loads "modprobe $alias" alias_loads "$alias"
done

echo "1..$n"
[ "$failed" -eq 0 ]
