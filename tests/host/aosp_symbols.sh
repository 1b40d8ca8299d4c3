#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has a workspace of its own
#
# Symbol lists for a tree of Android's: what make kmi-symbols prints and refuses, and
# what scripts/kmi-check compares. Runs on the host; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/aosp.sh

kmi()
{
	make -s -C "$work/own" kmi-symbols "KDIR=$kdir" "${llvm[@]}" "$@" \
		>"$tmp/list" 2>"$tmp/errors"
}

# refused WORDS [ARG...]: fails, says why, and prints nothing that looks like a list
refused()
{
	if kmi "${@:2}"; then
		return 1
	fi
	cat "$tmp/list" "$tmp/errors"
	[ ! -s "$tmp/list" ] && grep -q "$1" "$tmp/errors"
}

lists_symbols()
{
	checkout "$work/own" && kmi && cp "$tmp/list" "$tmp/symbols" &&
	by_clang "$work/own/kmod/xt_HALFRST.ko" &&
	[ "$(head -n 1 "$tmp/list")" = '[abi_symbol_list]' ] &&
	sed 1d "$tmp/list" | LC_ALL=C sort -uc &&
	! sed 1d "$tmp/list" | grep -vE '^  [A-Za-z_][A-Za-z0-9_]*$' &&
	grep -qx '  sock_gen_put' "$tmp/list" &&
	! grep nf_conntrack "$tmp/list"
}

# nft's module as well: what one of the two has is nothing to ask the kernel for
lists_both()
{
	kmi CONFIG_NF_CONNTRACK_HALFRST=m && by_clang \
		"$work/own/kmod/nf_conntrack_halfrst.ko" &&
	grep -qx '  nf_conntrack_helpers_register' "$tmp/list" &&
	! grep -vxFf "$tmp/list" "$tmp/symbols" && ! grep halfrst "$tmp/list"
}

# The kernel does not export two of them: that is what the list is for
not_exported()
{
	local symvers=$kdir/Module.symvers rc=0

	cp "$symvers" "$tmp/symvers" &&
	sed -i -E '/\t(xt_register_targets|sock_gen_put)\t/d' "$symvers" || return
	kmi && diff "$tmp/symbols" "$tmp/list" &&
	grep -q '"sock_gen_put" .* undefined' "$tmp/errors" || rc=1
	mv "$tmp/symvers" "$symvers"
	return $rc
}

built_in()
{
	local config=$kdir/include/config/auto.conf rc=0

	cp "$config" "$tmp/config" &&
	echo CONFIG_NETFILTER_XT_TARGET_HALFRST=y >>"$config" || return
	refused 'built into this kernel' || rc=1
	mv "$tmp/config" "$config"
	return $rc
}

compile_error()
{
	echo '#error on purpose' >>"$work/own/kmod/halfrst_tls.c" &&
	refused 'on purpose' && cp kmod/halfrst_tls.c "$work/own/kmod"
}

# It reads the kernel's build what that asks for, but no module
nm_fails()
{
	cat >"$tmp/nm" <<-END &&
	#!/bin/sh
	for last; do :; done
	case \$last in *.ko) exit 1 ;; esac
	exec llvm-nm-$clang "\$@"
	END
	chmod +x "$tmp/nm" && refused 'cannot read the module' "NM=$tmp/nm"
}

# kmi-check FILE [LIST...] finds exactly these
missing()
{
	local rc=0

	scripts/kmi-check "${@:2}" >"$tmp/missing" 2>"$tmp/errors" || rc=$?
	cat "$tmp/errors"
	echo "exit status $rc"
	[ "$(tr '\n' ' ' <"$tmp/missing")" = "$1" ] &&
	case $1 in '') [ $rc = 0 ] ;; *) [ $rc = 1 ] ;; esac
}

compares()
{
	local ko=$work/own/kmod/xt_HALFRST.ko old=$tmp/old new=$tmp/new

	mkdir -p "$old/android" "$new/gki/aarch64/symbols" &&
	grep -vE ' (sock_gen_put|skb_put)$' "$tmp/symbols" \
		>"$old/android/abi_gki_aarch64_one" &&
	{
		echo '# of a vendor'
		echo '[abi_symbol_list]'
		echo '# required by some.ko'
		echo '  sock_gen_put # twice'
	} >"$old/android/abi_gki_aarch64_two" &&
	# representations lie beside them
	echo 'version: 0x00000002' >"$old/android/abi_gki_aarch64.stg" &&
	echo skb_put >>"$old/android/abi_gki_aarch64.stg" &&
	cp "$old/android/abi_gki_aarch64_one" "$new/gki/aarch64/symbols/base" &&
	missing 'skb_put ' "$ko" "$old" &&
	missing 'skb_put sock_gen_put ' "$ko" "$new" &&
	missing 'skb_put sock_gen_put ' "$tmp/symbols" \
		"$old/android/abi_gki_aarch64_one" &&
	missing 'skb_put ' "$tmp/symbols" "$old"/android/abi_gki_aarch64_{one,two} &&
	missing '' "$tmp/symbols" "$old/android/abi_gki_aarch64_one" "$tmp/symbols"
}

# check_refuses ARG...: that is a mistake, not "nothing is missing"
check_refuses()
{
	local rc=0

	scripts/kmi-check "$@" || rc=$?
	[ $rc = 2 ]
}

compares_nothing()
{
	check_refuses "$work/own/kmod/xt_HALFRST.ko" "$work/own" &&
	check_refuses "$work/own/kmod/xt_HALFRST.ko" README.md &&
	check_refuses README.md "$tmp/old" &&
	check_refuses "$tmp/nowhere" "$tmp/old" &&
	check_refuses "$tmp/symbols"
}

check 'a workspace for clang' workspace "$chroot" "$work"
check 'make kmi-symbols' lists_symbols
check 'kmi-symbols: of the module for nft as well' lists_both
check 'kmi-symbols: symbols that the kernel does not export' not_exported
check 'kmi-symbols: refused where HALFRST is built in' built_in
check 'kmi-symbols: refused where the module does not compile' compile_error
check 'kmi-symbols: refused where nm fails' nm_fails
check 'kmi-check: what is missing from lists and trees' compares
check 'kmi-check: refuses what is no list or module' compares_nothing
echo "1..$n"
[ $failed -eq 0 ]
