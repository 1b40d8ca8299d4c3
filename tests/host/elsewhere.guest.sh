#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest of elsewhere.sh: an extension that was built with another
# iptables' headers takes no rule and says why; rules that are there can be
# listed, but for iptables-nft since 1.8.10, where it says why. Prints TAP.
set -eu

tmp=$(mktemp -d /tmp/elsewhere.XXXXXX)
. ../lib/tap.sh
dirs=(/usr/lib/*/xtables)
options='-j HALFRST --uid-owner 10400 --grace 5m --deadline 6m --reset-with epipe --dry-run'

# with NAME COMMAND...: that extension, and the guest's for all else
with()
{
	XTABLES_LIBDIR=/halfrst/with/$1:${dirs[0]} "${@:2}"
}

listed()
{
	[ "$(with "$1" "$ipt" -t mangle -S INPUT | tail -n 1)" = \
		"-A INPUT -p tcp $options" ]
}

# iptables-nft since 1.8.10 prepares the extension for what it lists, too
prepares()
{
	local version

	version=$("$ipt" -V | sed 's/.* v\([0-9.]*\).*/\1/')
	[[ $ipt = *nft ]] &&
	printf '%s\n' 1.8.10 "$version" | sort -CV
}

# listed_or_said NAME: the former, but for those
listed_or_said()
{
	local rc=0

	listed "$1" 2>"$tmp/said" || rc=$?
	cat "$tmp/said"
	prepares || return $rc
	[ $rc -ne 0 ] &&
	grep -q 'headers of another version of iptables' "$tmp/said"
}

taken()
{
	# shellcheck disable=SC2086 # options are words
	with same "$ipt" -t mangle -A INPUT -p tcp $options && listed same
}

# refused NAME OPTION...
refused()
{
	local rc=0

	with "$1" "$ipt" -t mangle -A INPUT -p tcp -j HALFRST "${@:2}" \
		>"$tmp/said" 2>&1 || rc=$?
	cat "$tmp/said"
	[ $rc -eq 1 ] &&
	grep -q 'headers of another version of iptables' "$tmp/said" &&
	listed same
}

# Without an option, with the first, and with one that is not seen
all_refused()
{
	refused "$1" && refused "$1" --uid-owner 10400 &&
	refused "$1" --grace 5m && refused "$1" --dry-run
}

for ipt in iptables-legacy ip6tables-legacy iptables-nft ip6tables-nft; do
	if ! "$ipt" -t mangle -L >/dev/null 2>&1; then
		skip "$ipt" 'this kernel has no tables for it'
		continue
	fi
	check "$ipt: with its own headers a rule is taken" taken
	for name in longer shorter; do
		check "$ipt, entries $name: no rule is taken, and it says why" \
			all_refused $name
		check "$ipt, entries $name: what is there is listed, or it says why" \
			listed_or_said $name
	done
	"$ipt" -t mangle -F
done
echo "1..$n"
[ "$failed" -eq 0 ]
