#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has a row of its own
# slow: cross-compiles iptables twice, boots arm64
#
# Android's user space: the extension as a part of iptables itself, in one
# static program for arm64 and one for 32-bit arm. Builds them here, then boots
# an arm64 guest that has no other iptables; prints TAP.
set -eu

cd "$(dirname "$0")/.."
guest=bookworm-arm64
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
why_not=

fail()
{
	sed 's/^/# /' "$tmp/log"
	echo "not ok 1 - $*"
	echo 1..1
	exit 1
}

case ${ROW:-$guest} in
bookworm|"$guest") ;;
*)	echo "1..0 # SKIP the guest is $guest's whatever the row is, see bookworm"
	exit 0 ;;
esac

scripts/lab install binutils
for arch in arm64 armhf; do
	prog=$(scripts/android-iptables $arch 2>"$tmp/log") ||
		fail "no static iptables for $arch"
	mkdir "$tmp/$arch"
	cp "$prog" "$tmp/$arch"
	for name in iptables iptables-save iptables-restore \
		ip6tables ip6tables-save ip6tables-restore; do
		ln -s xtables-legacy-multi "$tmp/$arch/$name"
	done
	readelf -l "$prog" >"$tmp/log"
	! grep -q INTERP "$tmp/log" || fail "$arch: not a static program"
done

scripts/lab build "$guest"
release=$(cat "build/lab/$guest/release")
config=build/lab/$guest/chroot/usr/src/linux-headers-$release/.config
for option in COMPAT NETFILTER_XTABLES_COMPAT; do
	grep -qx "CONFIG_$option=y" "$config" ||
		why_not="$release has no CONFIG_$option"
done

tar -cf "$tmp/disk" -C "$tmp" arm64 armhf
truncate -s %1M "$tmp/disk"	# a disk has whole sectors
scripts/lab run "$guest" --no-build --limit 1200 --qemu "\
-drive file=$tmp/disk,format=raw,if=none,id=android,readonly=on \
-device virtio-blk-pci,drive=android,serial=android,romfile=" \
	-- ./guest_android.sh "$why_not"
