#!/bin/bash
# lab: --icount --erms
# SPDX-License-Identifier: GPL-2.0-only
#
# A segment and a reset cost no more instructions than they did: at most 5 %
# above what cost.recorded says for this kernel.  TAP on stdout.
# "test_cost.sh record" prints what to record.
set -eu
cd "$(dirname "$0")/../bench"
# shellcheck source=tests/bench/contenders.sh
. ./contenders.sh
recorded=../guest/cost.recorded
# 6.1-cloud-amd64: neither the patch level nor Debian's own revision
release=$(uname -r |
	sed -E 's/^([0-9]+\.[0-9]+)[^a-z]*(deb[0-9]+-)?/\1-/')

# figure NAME: measures it, with the legacy front end
figure()
{
	local values

	case $1 in
	segment)	# that passes the recommended rule
		values=$(alone halfrst ./packets)
		echo "${values%% *}" ;;
	target)		# that HALFRST looks at
		values=$(alone bare-halfrst ./packets)
		echo "${values%% *}" ;;
	reset)		# from the peer's close() to the end of poll()
		values=$(alone halfrst ./resets 51)
		echo "${values%% *}" ;;
	esac
}

figures='segment target reset'
if [ "${1:-}" = record ]; then
	for f in $figures; do
		echo "$release $f $(figure "$f")"
	done
	exit
fi

echo 1..3
i=0 failed=0
for f in $figures; do
	i=$((i + 1))
	was=$(awk -v r="$release" -v f="$f" '$1 == r && $2 == f { print $3 }' \
		"$recorded")
	if ! grep -q nokaslr /proc/cmdline; then
		echo "ok $i - $f # SKIP instructions are not counted here"
		continue
	fi
	if [ -z "$was" ]; then
		echo "ok $i - $f # SKIP nothing recorded for Linux $release"
		continue
	fi
	is=$(figure "$f")
	echo "# $f: $is instructions, recorded $was"
	if awk -v is="$is" -v was="$was" \
		'BEGIN { exit !(is > 0 && is <= was * 1.05) }'; then
		echo "ok $i - $f"
	else
		echo "not ok $i - $f"
		failed=1
	fi
done
exit $failed
