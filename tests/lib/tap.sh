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
	[ -z "${3:-}" ] || tail -n 60 "$3" | sed 's/^/# /'
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

# need NAME CMD...: check, for what the next checks build upon: false if it failed
need()
{
	local before=$failed

	check "$@"
	[ "$failed" -eq "$before" ]
}

# counted STATUS FILE [PREFIX]: a guest's results as this script's own. STATUS is
# lab's, FILE what the guest printed.
counted()
{
	local line why='' seen=0 before=$failed

	while IFS= read -r line || [ -n "$line" ]; do
		case $line in
		'# '*)	why=${line#??}; continue ;;
		'not ok '*' # SKIP '*)	# cmocka's
			skip "${3:-}${line##* # SKIP }" "$why" ;;
		'not ok '*) result 1 "${3:-}${line#* - }" ;;
		'ok '*)	result 0 "${3:-}${line#* - }" ;;
		*)	continue ;;
		esac
		seen=$((seen + 1))
	done <"$2"
	if [ "$1" -gt 1 ] || ! grep -qx "1..$seen" "$2"; then
		result 1 "${3:-}the guest came to its end (status $1)"
	fi
	[ "$failed" -eq "$before" ] || sed 's/^/# /' "$2"
}

# skip_all REASON: instead of everything else
skip_all()
{
	echo "1..0 # SKIP $*"
	exit 0
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
