#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# iptables' own test program runs libxt_HALFRST.t: for iptables-legacy and
# iptables-nft, with the program of the row's release. Runs on the host, boots
# a guest; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh
row_built
suite=$(row_has 3)
suite=${suite%-backports}	# whose kernel it is; iptables is the release's

prog=$(scripts/lib/fetch-iptables-test "$suite") ||
	skip_all "iptables' source package of $suite cannot be had"

# A guest has tests/ and scripts/ only, and no gzip: the two files travel as an
# argument.
files=$(tar -c -C "$(dirname "$prog")" iptables-test.py \
	-C "$PWD/xtables-ext" libxt_HALFRST.t | base64 -w0)
# shellcheck disable=SC2016 # expanded in the guest
guest='
	cd /tmp && echo "$1" | base64 -d | tar -x
	for backend in legacy nft; do
		iptables-$backend -t mangle -S >/dev/null 2>&1 ||
			{ echo "$backend has no tables"; continue; }
		MALLOC_PERTURB_=90 python3 iptables-test.py --host --$backend ./libxt_HALFRST.t
		echo "$backend status $?"
		grep -v "^command:" /tmp/iptables-test.log | tail -n 20 |
			sed "s/^/log: /"
	done'
rc=0
scripts/lab run "$row" --no-build --limit 900 -- \
	bash -c "$guest" - "$files" >"$tmp/out" 2>&1 || rc=$?

# "legacy: 1 test files, 59 unit tests, 59 passed"
passed()
{
	local tests passed

	cat "$tmp/out"
	read -r tests passed < <(sed -n \
		"s/^$1: .* \([0-9]*\) unit tests, \([0-9]*\) passed.*/\1 \2/p" \
		"$tmp/out")
	[ "$rc" -eq 0 ] && [ "${tests:-0}" -gt 0 ] &&
	[ "$tests" = "$passed" ] && grep -qx "$1 status 0" "$tmp/out"
}

for backend in legacy nft; do
	if [ $backend = legacy ] &&
	   grep -qx 'legacy has no tables' "$tmp/out"; then
		skip iptables-legacy 'this kernel has no legacy tables'
		continue
	fi
	check "iptables-$backend: each rule of libxt_HALFRST.t" passed $backend
done
echo "1..$n"
[ $failed -eq 0 ]
