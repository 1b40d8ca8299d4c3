# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# TAP from a shell script.  To be sourced; wants a folder $tmp.  Afterwards the
# script prints "1..$n" and fails if $failed is not 0.

n=0
failed=0

# result STATUS NAME [FILE]: one TAP line; FILE says why it failed
result()
{
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $n - $2"
	[ -z "${3:-}" ] || head -n 60 "$3" | sed 's/^/# /'
}

# check NAME CMD...: what CMD printed is shown if it fails.
# Function bodies run with set -e switched off in here: say && instead.
check()
{
	local name=$1 rc=0

	shift
	"$@" >"${tmp:?}/log" 2>&1 || rc=$?
	result $rc "$name" "$tmp/log"
}

# skip NAME REASON
skip()
{
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

# until_true CMD...: five minutes at most, which is generous. Its last try may say
# why.
until_true()
{
	local i

	for ((i = 0; i < 350; i++)); do
		! "$@" >/dev/null 2>&1 || return 0
		sleep $((i / 50 ? 1 : 0)).1
	done
	"$@" && return
	echo "# not within five minutes: $*"
	return 1
}
