#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: looks at all rows
#
# Every symbol that the modules need is exported by the kernel of each row
# that has been prepared, and `make kmi-symbols` lists exactly these. Runs on
# the host; prints TAP.
#
# What each row's own build has left is linked once more, where a symbol that is
# missing is only a warning.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh
lab=$PWD/build/lab

# list ROW ARCH: "make kmi-symbols" in the row's chroot, with the options of
# "lab build": nothing is compiled again
list()
{
	local release options=()

	release=$(cat "$lab/$1/chroot/kernel/release")
	[ "$2" != arm64 ] || options=(ARCH=arm64
		CROSS_COMPILE=aarch64-linux-gnu- CC=aarch64-linux-gnu-gcc)
	scripts/lab chroot "$1" "$tmp" make -s -C /src W=1 "${options[@]}" \
		KBUILD_MODPOST_WARN=1 CONFIG_NF_CONNTRACK_HALFRST=m \
		"KDIR=/lib/modules/$release/build" kmi-symbols >"$tmp/list"
}

# A header, and names in order, two blanks before each
well_formed()
{
	[ "$(head -n 1 "$1")" = '[abi_symbol_list]' ] &&
	tail -n +2 "$1" >"$tmp/names" &&
	grep -qx '  xt_register_targets' "$tmp/names" &&
	grep -qx '  nf_conntrack_helpers_register' "$tmp/names" &&
	! grep -vE '^  [A-Za-z_][A-Za-z0-9_]*$' "$tmp/names" &&
	LC_ALL=C sort -uc "$tmp/names"
}

# A line of Module.symvers: CRC, symbol, where it is defined, how exported
all_exported()
{
	local release

	release=$(cat "$lab/$2/chroot/kernel/release") &&
	awk '
	NR == FNR { exported[$2] = 1; next }
	/^ / && !($1 in exported) {
		print $1 " is not exported"
		bad = 1
	}
	END { exit !FNR || bad }' \
	"$lab/$2/chroot/usr/src/linux-headers-$release/Module.symvers" "$1"
}

while read -r row arch _; do
	what="$row: every symbol is exported"
	if [ ! -e "$lab/$row/out/xt_HALFRST.ko" ]; then
		skip "$what" "$row is not prepared; see scripts/lab build"
		continue
	fi
	check "$row: make kmi-symbols" list "$row" "$arch"
	check "$row: that is a symbol list" well_formed "$tmp/list"
	check "$what" all_exported "$tmp/list" "$row"
done < <(scripts/lab rows)
echo "1..$n"
[ $failed -eq 0 ]
