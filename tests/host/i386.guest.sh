#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest of i386.sh, which gives it a root file system of 32-bit
# programs as a disk: what these write, the 64-bit ones read, and back. Prints
# TAP.
set -eu

tmp=$(mktemp -d /tmp/i386.XXXXXX)
. ../lib/tap.sh
. ../lib/disk.sh
export MALLOC_PERTURB_=90	# who reads what it has freed falls

unpack()
{
	local disk

	disk=$(disk i386) && mkdir /i386 && tar -xf "$disk" -C /i386
}

# narrow PROGRAM ARG... is the 32-bit one, wide the guest's own
narrow()
{
	local program=$1

	shift
	chroot /i386 "/usr/sbin/$program" "$@"
}

wide()
{
	"$@"
}

# The fifth byte of an ELF file: 1 for 32 bits, 2 for 64
class()
{
	od -An -tu1 -j4 -N1 "$1" | tr -d ' '
}

really_32_bit()
{
	[ "$(class /i386/usr/sbin/xtables-legacy-multi)" = 1 ] &&
	[ "$(class /i386/usr/lib/i386-linux-gnu/xtables/libxt_HALFRST.so)" = 1 ] &&
	[ "$(class "$(readlink -f /usr/sbin/xtables-legacy-multi)")" = 2 ] &&
	[ "$(uname -m)" = x86_64 ]
}

# Every combination of options, in the form that it is saved in
combinations()
{
	printf -- '-A INPUT -p tcp -j HALFRST%s\n' \
{'',' --uid-owner 10400',' --uid-owner 5-9',' ! --uid-owner 0',' ! --uid-owner 0-4294967294'}\
{,' --gid-owner 10401',' --gid-owner 0-4294967294',' ! --gid-owner 7',' ! --gid-owner 5-9'}\
{,' --grace 1500ms',' --grace 2m'}\
{,' --deadline 121s',' --deadline 168h'}\
{' --reset-with epipe',' --reset-with econnreset',' --reset-with econnaborted',' --reset-with etimedout'}\
{,' --dry-run'}
}

# load WIDTH < rules: in place of those that are there
load()
{
	{ echo '*mangle'; cat; echo COMMIT; } | "$1" "$family-restore"
}

# The whole text but the time of day
saved()
{
	"$1" "$family-save" -t mangle | grep -v '^#'
}

empty()
{
	local rules

	rules=$(narrow "$family" -t mangle -S INPUT) &&
		[ "$rules" = '-P INPUT ACCEPT' ] && return
	head -n 5 <<< "$rules"
	return 1
}

# written WIDTH: by this one, shown alike by both
written()
{
	load "$1" <"$tmp/all" &&
	saved narrow >"$tmp/narrow" && saved wide >"$tmp/wide" &&
	grep '^-A' "$tmp/wide" | diff "$tmp/all" - &&
	diff "$tmp/wide" "$tmp/narrow" &&
	narrow "$family" -t mangle -S INPUT | grep '^-A' | diff "$tmp/all" -
}

# Both read the other's file
exchanged()
{
	"$1" "$family-restore" <"$tmp/$2" && saved "$2" | diff "$tmp/$2" -
}

# deleted WIDTH: by what they look like, all 1800 of them
deleted()
{
	{
		echo '*mangle'
		sed 's/^-A/-D/' "$tmp/all"
		echo COMMIT
	} | "$1" "$family-restore" --noflush && empty
}

one_rule()
{
	narrow "$family" -t mangle -A INPUT "$@" &&
	[ "$(narrow "$family" -t mangle -S INPUT | tail -n 1)" = \
		"-A INPUT $*" ] &&
	wide "$family" -t mangle -C INPUT "$@" &&
	[ "$(narrow "$family" -t mangle -L INPUT -n | wc -l)" = 3 ] &&
	narrow "$family" -t mangle -D INPUT "$@" && empty
}

# A command for each, as a script would
one_by_one()
{
	local error='--reset-with econnreset' options

	for options in "$error" "--uid-owner 10400 $error" \
		"! --uid-owner 5-9 $error" "--gid-owner 10401 $error" \
		"! --gid-owner 0-4294967294 $error" "--grace 1500ms $error" \
		"--deadline 168h $error" '--reset-with etimedout' \
		"$error --dry-run" '--uid-owner 1 ! --gid-owner 2 --grace 3s
			--deadline 4m --reset-with econnaborted --dry-run'; do
		# shellcheck disable=SC2086 # options are words
		set -- -p tcp -j HALFRST $options
		if ! one_rule "$@"; then
			echo "with: $options"
			return 1
		fi
	done
	# the default is the same for both
	# shellcheck disable=SC2086 # an option and its value
	narrow "$family" -t mangle -A INPUT -p tcp -j HALFRST &&
	wide "$family" -t mangle -D INPUT -p tcp -j HALFRST \
		--reset-with econnreset && empty
}

# The kernel's own words are for both
refused()
{
	! narrow "$family" -t mangle -A INPUT -p udp -j HALFRST &&
	! narrow "$family" -t mangle -A OUTPUT -p tcp -j HALFRST && empty
}

# A rule out of 32 bits does what it says: the error is the one chosen
resets()
{
	narrow "$family" -t mangle -A INPUT -p tcp --sport 8080 \
		-j HALFRST --uid-owner 0 --reset-with etimedout &&
	../lib/one_reset.py "$1" 8080 ETIMEDOUT &&
	narrow "$family" -t mangle -F
}

check 'unpacks the 32-bit programs' unpack
check 'they are 32-bit programs on a 64-bit kernel' really_32_bit
combinations >"$tmp/all"
all=$(wc -l <"$tmp/all")
for cmd in iptables ip6tables; do
	family=$cmd-legacy
	wide "$family" -t mangle -F	# loads the table
	check "$family: one rule at a time" one_by_one
	check "$family: $all combinations by 32 bits" written narrow
	check "$family: what 64 bits saved is taken by 32" \
		exchanged narrow wide
	check "$family: what 32 bits saved is taken by 64" \
		exchanged wide narrow
	check "$family: 32 bits delete all of them" deleted narrow
	check "$family: $all combinations by 64 bits" written wide
	check "$family: 64 bits delete all of them" deleted wide
	check "$family: refusals reach 32 bits" refused
done
family=iptables-legacy
check "$family: resets" resets 127.0.0.1
family=ip6tables-legacy
check "$family: resets" resets ::1
echo "1..$n"
[ "$failed" -eq 0 ]
