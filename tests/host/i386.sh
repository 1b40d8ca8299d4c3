#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# 32-bit user space on a 64-bit kernel: the release's own i386 iptables, with
# an extension built for it, in an amd64 guest. Runs on the host, boots a
# guest; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh
here=$PWD/build/lab/$row
i386=$here/i386
log=$PWD/build/lab/log/$row.i386.log

fail()
{
	result 1 "$*" "$log"
	echo "1..$n"
	exit 1
}

arch=$(row_has 2)
[ "$arch" = amd64 ] || skip_all "$row is $arch, not amd64"
row_built

# 32-bit programs, and their rules through the legacy interface (before 5.14
# there is no option for these: they are always taken)
release=$(cat "$here/release")
config=$here/chroot/usr/src/linux-headers-$release/.config
for option in IA32_EMULATION NETFILTER_XTABLES_COMPAT; do
	! grep -q "^# CONFIG_$option is not set" "$config" ||
		skip_all "$release has no CONFIG_$option"
done

# The row's own suites. Security is left out: its mirrors are at times behind
# with what is not their own architecture, and iptables is not in there.
debs=$tmp/debs
trap 'rm -rf "$tmp" "$here/i386.tar"' EXIT
grep '^deb .*main' "$here/chroot/etc/apt/sources.list" |
	grep -v -- -security >"$debs"
read -r _ site suite _ <"$debs"
/usr/lib/apt/apt-helper download-file "$site/dists/$suite/InRelease" \
	"$debs.release" >"$log" 2>&1 || fail "$suite cannot be reached"
architectures=$(grep '^Architectures:' "$debs.release")
[[ " $architectures " = *' i386 '* ]] || skip_all "$suite has no i386 packages"

if [ ! -e "$i386.made" ]; then
	rm -rf --one-file-system "$i386"
	mmdebstrap --variant=extract --architectures=i386 --format=directory \
		--include=base-files,libc6,libc6-dev,iptables,libxtables-dev \
		"$suite" "$i386" "$debs" >"$log" 2>&1 </dev/null ||
		fail "the i386 packages of $suite cannot be had"
	touch "$i386.made"
fi

# The row's compiler, whose own 32-bit libraries are not installed: the
# extension needs none of gcc's.
libdir=$(sed -n 's/^xtlibdir=//p' "$i386"/usr/lib/*/pkgconfig/xtables.pc)
: "${libdir:=/usr/lib/i386-linux-gnu/xtables}"
scripts/lab chroot "$row" "$i386" gcc -m32 --sysroot=/mnt -O2 -Wall -Wextra \
	-Werror -fPIC -shared -nostdlib -I/src/kmod \
	-o "/mnt$libdir/libxt_HALFRST.so" \
	/src/xtables-ext/libxt_HALFRST.c -lxtables -lc >"$log" 2>&1 ||
	fail "the extension does not build for i386"

mkdir -p "$i386/run"
tar -cf "$here/i386.tar" -C "$i386" --exclude='*.a' --exclude=./usr/include \
	--exclude=./usr/share --exclude=./dev --exclude=./var .
scripts/lab run "$row" --no-build --limit 900 --disk "i386=$here/i386.tar" -- \
	../host/i386.guest.sh
