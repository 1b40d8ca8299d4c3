#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# iptables' own test program runs libxt_HALFRST.t: for iptables-legacy and
# iptables-nft, with the program of the row's release. Runs on the host, boots
# a guest; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
row=${ROW:-bookworm}
fresh=()
[ -z "${ROW:-}" ] || fresh=(--no-build)
suite=$(scripts/lab rows | awk -v row="$row" '$1 == row { print $3 }')
suite=${suite%-backports}	# whose kernel it is; iptables is the release's

if ! prog=$(scripts/lib/fetch-iptables-test "$suite"); then
	echo "1..0 # SKIP iptables' source package of $suite cannot be had"
	exit 0
fi

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
		python3 iptables-test.py --host --$backend ./libxt_HALFRST.t
		echo "$backend status $?"
		grep -v "^command:" /tmp/iptables-test.log | tail -n 20 |
			sed "s/^/log: /"
	done'
out=$(scripts/lab run "$row" "${fresh[@]}" --limit 900 -- \
	bash -c "$guest" - "$files" 2>&1) && rc=0 || rc=$?

n=0
failed=0
for backend in legacy nft; do
	n=$((n + 1))
	if [ $backend = legacy ] && echo "$out" | grep -qx 'legacy has no tables'; then
		echo "ok $n - iptables-$backend # SKIP this kernel has no legacy tables"
		continue
	fi
	# "legacy: 1 test files, 59 unit tests, 59 passed"
	read -r tests passed <<< "$(echo "$out" |
		sed -n "s/^$backend: .* \([0-9]*\) unit tests, \([0-9]*\) passed.*/\1 \2/p")"
	if [ "$rc" -eq 0 ] && [ "${tests:-0}" -gt 0 ] &&
	   [ "$tests" = "$passed" ] &&
	   echo "$out" | grep -qx "$backend status 0"; then
		echo "ok $n - iptables-$backend: $tests rules"
	else
		failed=1
		echo "not ok $n - iptables-$backend"
	fi
done
echo "1..$n"
[ $failed -eq 0 ] || echo "${out//$'\n'/$'\n'# }" | sed '1s/^/# /'
exit $failed
