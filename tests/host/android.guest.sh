#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# android.guest.sh WHY    in the guest of android.sh, which gives it the
#                         static programs as a disk; WHY, if it is not empty,
#                         is why the kernel takes none of 32 bits
#
# The programs run where there is little more than on a phone: no libraries, no
# /etc, Android's lock file, and modules that somebody else has loaded. Prints
# TAP.
set -eu

why_not=$1
phone=/phone
tmp=$(mktemp -d)
. ../lib/tap.sh
. ../lib/disk.sh

unpack()
{
	local disk

	disk=$(disk android) &&
	mkdir -p "$phone"/{proc,system/etc} &&
	tar -xf "$disk" -C "$phone" &&
	touch "$phone/system/etc/xtables.lock" &&
	mount -t proc proc "$phone/proc" &&
	modprobe -a iptable_mangle ip6table_mangle xt_tcpudp xt_HALFRST
}

# The guest's own iptables and extensions are not there to be used by mistake
only_iptables()
{
	rm -rf /usr/sbin/*tables* /usr/lib/*/xtables &&
	! find / -xdev -name '*HALFRST*.so' | grep . &&
	! command -v iptables
}

# The fifth byte of an ELF file: 1 for 32 bits, 2 for 64
runs()
{
	local multi=$arch/xtables-legacy-multi

	[ "$(od -An -tu1 -j4 -N1 "$phone/$multi" | tr -d ' ')" = "$1" ] &&
	[ "$(chroot "$phone" "/$multi" ip6tables -V)" = \
		"$(with "$arch" ip6tables -V)" ]
}

# with ARCH PROGRAM ARG...
with()
{
	chroot "$phone" "/$1/$2" "${@:3}"
}

# The lock's file is where Android has it, or where one says
locks()
{
	with "$arch" iptables -t mangle -F &&
	! flock "$phone/system/etc/xtables.lock" \
		chroot "$phone" "/$arch/iptables" -w 1 -t mangle -F \
		2>"$tmp/error" &&
	grep -q 'holding the xtables lock' "$tmp/error" &&
	flock "$phone/system/etc/xtables.lock" env XTABLES_LOCKFILE=/lock \
		chroot "$phone" "/$arch/iptables" -w 1 -t mangle -F
}

# The rule in the chain as its options say, or nothing
chain()
{
	with "$1" "$family" -t mangle -S INPUT | sed -n 's/^-A INPUT //p'
}

# In the form that they are saved in
default='--reset-with econnreset'
options="$default
--uid-owner 10400 $default
--uid-owner 10000-19999 $default
! --uid-owner 5-9 $default
--gid-owner 10401 $default
! --gid-owner 0-4294967294 $default
--grace 1500ms $default
--grace 2m $default
--deadline 168h $default
--reset-with epipe
--reset-with econnaborted
--reset-with etimedout
$default --dry-run
--uid-owner 1 ! --gid-owner 2 --grace 3s --deadline 4m --reset-with econnaborted --dry-run"

one_rule()
{
	with "$arch" "$family" -t mangle -I INPUT "$@" &&
	[ "$(chain "$arch")" = "$*" ] &&
	with "$arch" "$family" -t mangle -C INPUT "$@" &&
	with "$arch" "$family" -t mangle -L INPUT -v -n >"$tmp/list" &&
	[ "$(grep -c HALFRST "$tmp/list")" = 1 ] &&
	with "$arch" "$family" -t mangle -D INPUT "$@" &&
	[ -z "$(chain "$arch")" ]
}

one_by_one()
{
	local line

	with "$arch" "$family" -t mangle -A INPUT -p tcp -j HALFRST &&
	[ "$(chain "$arch")" = "-p tcp -j HALFRST $default" ] &&
	with "$arch" "$family" -t mangle -D INPUT -p tcp -j HALFRST || return
	while read -r line; do
		# shellcheck disable=SC2086 # options are words
		one_rule -p tcp -j HALFRST $line ||
			{ echo "with: $line"; return 1; }
	done <<< "$options"
}

# All of them at once, in the form that they are saved in
all_rules()
{
	local line

	echo '*mangle'
	while read -r line; do
		echo "-A INPUT -p tcp -j HALFRST $line"
	done <<< "$options"
	echo COMMIT
}

# saved ARCH: the whole text but the time of day and what programs differ in
saved()
{
	with "$1" "$family-save" -t mangle | grep '^-A'
}

# exchanged TO: what this one has written and saved is read and saved by TO
exchanged()
{
	all_rules >"$tmp/all" &&
	with "$arch" "$family-restore" <"$tmp/all" &&
	with "$arch" "$family-save" -t mangle >"$tmp/saved" &&
	grep '^-A' "$tmp/saved" | diff <(grep '^-A' "$tmp/all") - &&
	with "$arch" "$family" -t mangle -F && [ -z "$(chain "$arch")" ] &&
	with "$1" "$family-restore" <"$tmp/saved" &&
	saved "$1" | diff <(grep '^-A' "$tmp/all") - &&
	saved "$arch" | diff <(grep '^-A' "$tmp/all") - &&
	with "$1" "$family" -t mangle -F && [ -z "$(chain "$arch")" ]
}

# refused WORDS ARG...: in these words
refused()
{
	! with "$arch" "$family" -t mangle "${@:2}" 2>"$tmp/error" &&
	cat "$tmp/error" && grep -q "$1" "$tmp/error" &&
	[ -z "$(chain "$arch")" ]
}

refusals()
{
	refused 'integer with a unit' -A INPUT -p tcp -j HALFRST --grace 5 &&
	refused 'unknown option' -A INPUT -p tcp -j HALFRST --frobnicate &&
	refused 'Invalid argument' -A INPUT -p udp -j HALFRST &&
	refused 'Invalid argument' -A OUTPUT -p tcp -j HALFRST
}

# The error is the one that the rule chose, and the kernel counted one reset
resets()
{
	with "$arch" "$family" -t mangle -A INPUT -p tcp --sport 8080 \
		--tcp-flags FIN FIN \
		-j HALFRST --uid-owner 0 --reset-with etimedout &&
	../lib/one_reset.py "$1" 8080 ETIMEDOUT &&
	with "$arch" "$family" -t mangle -L INPUT -v -n -x | tee "$tmp/list" &&
	[ "$(awk '/HALFRST/ { print $1 }' "$tmp/list")" = 1 ] &&
	with "$arch" "$family" -t mangle -F
}

# The one rule of one program is the same to the other
programs()
{
	local bits=$1 other=$3
	arch=$2

	check "$bits bits: runs by name and by first argument" \
		runs $((bits / 32))
	check "$bits bits: locks what Android locks" locks
	for family in iptables ip6tables; do
		check "$bits bits, $family: insert, list, check, delete" \
			one_by_one
		check "$bits bits, $family: save and restore" exchanged "$arch"
		[ -n "$why_not" ] || check \
			"$bits bits, $family: the other width reads what it saved" \
			exchanged "$other"
		check "$bits bits, $family: refusals" refusals
	done
	family=iptables
	check "$bits bits, $family: resets" resets 127.0.0.1
	family=ip6tables
	check "$bits bits, $family: resets" resets ::1
}

check 'unpacks the programs' unpack
check 'no other iptables is here' only_iptables
programs 64 arm64 armhf
if [ -z "$why_not" ]; then
	programs 32 armhf arm64
else
	n=$((n + 1))
	echo "ok $n - 32 bits # SKIP $why_not"
fi
echo "1..$n"
[ $failed -eq 0 ]
