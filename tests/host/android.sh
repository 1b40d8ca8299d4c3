#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has a row of its own
# slow: cross-compiles iptables twice, boots arm64
#
# Android's user space: the extension as a part of iptables itself, in one
# static program for arm64 and one for 32-bit arm. Builds them here, and the
# module by clang for arm64, then boots an arm64 guest that has no other
# iptables; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
guest=bookworm-arm64
mkdir -p build
tmp=$(mktemp -d "$PWD/build/android.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
why_not=
. tests/lib/tap.sh

fail()
{
	result 1 "$*" "$tmp/log"
	echo "1..$n"
	exit 1
}

case ${ROW:-$guest} in
bookworm|"$guest") ;;
*)	skip_all "the guest is $guest's whatever the row is, see bookworm" ;;
esac

scripts/lab install binutils
for arch in arm64 armhf; do
	prog=$(scripts/android-iptables $arch 2>"$tmp/log") ||
		fail "no static iptables for $arch"
	mkdir -p "$tmp/disk/$arch"
	cp "$prog" "$tmp/disk/$arch"
	for name in iptables iptables-save iptables-restore \
		ip6tables ip6tables-save ip6tables-restore; do
		ln -s xtables-legacy-multi "$tmp/disk/$arch/$name"
	done
	readelf -l "$prog" >"$tmp/log"
	! grep -q INTERP "$tmp/log" || fail "$arch: not a static program"
done

scripts/lab build "$guest"
. tests/lib/clang.sh
scripts/lab install "clang-$clang" "lld-$clang" "llvm-$clang" make
{
	workspace "$PWD/build/lab/$guest/chroot" "$tmp/work" &&
	mkdir -p "$tmp/own/kmod" && cp Makefile Kbuild "$tmp/own" &&
	cp kmod/{Kbuild,*.[ch]} "$tmp/own/kmod" &&
	rm -f "$tmp"/own/kmod/*.mod.c &&
	make -C "$tmp/own" LLVM="-$clang" ARCH=arm64 W=1 "-j$(nproc)" \
		"KDIR=$tmp/work/out/common" modules
} >"$tmp/log" 2>&1 || fail "the module does not compile with clang for arm64"
! grep -i 'warning:' "$tmp/log" | grep -v 'the compiler differs' ||
	fail "clang for arm64 warns"
"llvm-readelf-$clang" -hp .comment "$tmp/own/kmod/xt_HALFRST.ko" >"$tmp/log"
if ! grep -q 'Machine: *AArch64' "$tmp/log" ||
   ! grep -q "clang version $clang" "$tmp/log" || grep -q GCC "$tmp/log"; then
	fail "the module is not clang's, for arm64"
fi
release=$(cat "build/lab/$guest/release")
config=build/lab/$guest/chroot/usr/src/linux-headers-$release/.config
for option in COMPAT NETFILTER_XTABLES_COMPAT; do
	grep -qx "CONFIG_$option=y" "$config" ||
		why_not="$release has no CONFIG_$option"
done

scripts/lab run "$guest" --no-build --limit 1200 --disk "android=$tmp/disk" \
	-- ../host/android.guest.sh "$why_not"
