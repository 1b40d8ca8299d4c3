# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# TAP from a shell script.  To be sourced; wants a folder $tmp.  Afterwards the
# script prints "1..$n" and fails if $failed is not 0.

n=0
failed=0

# check NAME CMD...: one TAP line; what CMD printed is shown if it fails.
# Function bodies run with set -e switched off in here: say && instead.
check()
{
	local name=$1

	shift
	n=$((n + 1))
	if "$@" >"${tmp:?}/log" 2>&1; then
		echo "ok $n - $name"
	else
		failed=$((failed + 1))
		echo "not ok $n - $name"
		head -n 60 "${tmp:?}/log" | sed 's/^/# /'
	fi
}

# skip NAME REASON
skip()
{
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}
