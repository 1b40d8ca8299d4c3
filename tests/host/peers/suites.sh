# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Other people's tests as bystanders. To be sourced, after tests/lib/row.sh, by a
# test of host/ that has $here (a folder) and peers_modules (those of Python's modules
# that are wanted, or none for all).
# shellcheck disable=SC2034,SC2154 # shared with who sources it

# prepare: builds the row; ends with a skip if it is not for these tests
prepare()
{
	local arch why=

	arch=$(row_has 2)
	case "$arch $row" in
	"amd64 bullseye") why='autotools of this release are not those that build' ;;
	amd64*)	;;
	*)	why="built for amd64 only, not for $arch" ;;
	esac
	[ -z "$why" ] || skip_all "$why"
	row_built
	mkdir -p "$here"
}

# passes SUITE FOLDER PASS...: a guest that runs them, what it leaves in FOLDER
passes()
{
	local suite=$1 out=$2 name=$1 here options=(--icount --mem 1536) set=()

	shift 2
	here=$(tests/host/peers/build.sh "$row" "$suite") || return
	cp "$here/is" "$out.is"
	case $suite in
	python*)
		set=(--root "$(basename "$(readlink \
			"build/lab/$row/root/usr/bin/python3")")")
		printf '%s\n' "${peers_modules[@]}" >"$here/install/modules"
		name=python
		options=(--icount --mem 2048)
		;;
	node)	set=(--root node) ;;
	selftests|tls|mptcp) options=(--icount --mem 3072) ;;
	esac
	rm -rf "$out"
	scripts/lab run "$row" "${set[@]}" "${options[@]}" --limit 7200 \
		--out "$out" --log "build/lab/log/$row.peers-$suite.log" \
		--disk "peers=$here/install" -- \
		../host/peers/guest.sh "$name" "$@"
}

# compared SUITE WHAT...: see compare.py
compared()
{
	python3 tests/host/peers/compare.py "$row" "$1" "$here/$1" "${@:2}"
}

# A difference may be the test's own: once more without a rule
steady()
{
	passes "$1" "$here/$1.again" none &&
	cp "$here/$1/1.none.results" "$here/$1.again/0.none.results" &&
	python3 tests/host/peers/compare.py "$row" "$1" "$here/$1.again" steady
}

# suite SUITE: three passes, compared; SUITE.line is for a table
suite()
{
	local suite=$1 before why rc=0

	passes "$suite" "$here/$suite" none 10m 0 >"${tmp:?}/log" 2>&1 || rc=$?
	if [ $rc -eq 121 ] &&
	   why=$(grep -m 1 '^E: Failed to fetch' "$tmp/log"); then
		skip "$suite" "its source cannot be had: $why"
		return
	fi
	result $rc "$suite runs, and the kernel says nothing" "$tmp/log"
	[ $rc -eq 0 ] || return 0
	for grace in 10m 0; do
		check "$suite, grace $grace: it ran to its end" \
			compared "$suite" ran $grace
		check "$suite, grace $grace: the counters" \
			compared "$suite" counters $grace
		head -n 1 "${tmp:?}/log"
	done
	before=$failed
	check "$suite, grace 10m: no test changes" compared "$suite" changes 10m
	check "$suite, grace 0: those that are known to change" \
		compared "$suite" changes 0
	if [ "$failed" -ne "$before" ]; then
		check "$suite without a rule: no test changes" steady "$suite"
	fi
	compared "$suite" row "$(cat "$here/$suite.is")" >"$here/$suite.line"
}
