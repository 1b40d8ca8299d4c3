#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --smp 1
#
# Every front end (iptables and ip6tables, legacy and nft) takes, shows, saves and
# restores HALFRST rules in the same way, and has the same help.
# Runs as root in a guest of the lab; prints TAP.
set -eu

. ../lib/frontends.sh

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
	"$ipt-restore" <"$tmp/in" &&
	"$ipt-save" -t mangle >"$tmp/saved1" &&
	grep '^-A' "$tmp/saved1" | diff "$tmp/all" - | head -20 >"$tmp/diff"
	[ -s "$tmp/diff" ] && cat "$tmp/diff" && return 1
	grep '^-A' "$tmp/saved1" | cmp - "$tmp/all" &&
	"$ipt-restore" <"$tmp/saved1" &&
	"$ipt-save" -t mangle | grep '^-A' | cmp - "$tmp/all" &&
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
	"$ipt-restore" &&
	same "$(rules)" "\
-A INPUT -p tcp -j HALFRST --reset-with epipe
-A INPUT -p tcp -j HALFRST --grace 5s --reset-with etimedout
-A INPUT -p tcp -j HALFRST --uid-owner 5 --reset-with epipe --dry-run
-A INPUT -p udp" &&
	"$ipt" -t mangle -F INPUT
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

of_one()
{
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
	check "$ipt: help" help
}

combinations >"$tmp/all"
each_front_end of_one
for family in iptables ip6tables; do
	check "$family-translate" translates
done
[ "$backends" = nft ] ||
	check "each front end shows its own rules" each_sees_its_own
echo "1..$n"
[ "$failed" -eq 0 ]
