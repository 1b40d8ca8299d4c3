#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has a kernel of its own
# slow: builds a kernel
#
# A kernel without xtables, as RHEL 10 and OpenWrt have it: one module, with the
# core inside, all that nft is tested by, and the service. Runs on the host, boots
# guests; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh
which=no-xtables-6.12

[ "$row" = bookworm ] || skip_all "the kernel is x86-64's, with bookworm's user space"
[ "$(uname -m)" = x86_64 ] || skip_all "the kernel is built for x86-64 here"
row_built

kernel()
{
	here=$(scripts/kernel "$which") &&
	! grep -E '^CONFIG_(NETFILTER_XTABLES|NFT_COMPAT)=' "$here/tree/.config"
}

# It wants nothing of xtables, nor of another module of ours
one_module()
{
	local ko

	ko=$(cd "$here/out" && ls -- *.ko) && [ "$ko" = nf_conntrack_halfrst.ko ] &&
	nm -u "$here/out/$ko" >"$tmp/wanted" &&
	grep -q nf_conntrack_helpers_register "$tmp/wanted" &&
	! grep -E ' (xt_|halfrst_)' "$tmp/wanted"
}

# guest FILE [ENV...]
guest()
{
	local rc=0

	scripts/lab run "$row" --no-build --icount --limit 1800 \
		--kernel "$here" -- env CMOCKA_MESSAGE_OUTPUT=TAP "${@:2}" "./$1" \
		>"$tmp/guest" 2>&1 || rc=$?
	counted $rc "$tmp/guest" "$1: "
}

scripts/lab install binutils
if need 'a kernel without xtables' kernel; then
	check 'its module is one, and complete' one_module
	guest test_nft
	guest test_nft_rulesets.sh
	guest ../host/no_xtables.guest.sh
	for test in one_packet no_byte_lost counters netns; do
		guest test_$test HALFRST_BY=helper
	done
fi
echo "1..$n"
[ $failed -eq 0 ]
