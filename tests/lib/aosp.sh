# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What the tests of host/aosp_*.sh begin with: clang, and room for a workspace like
# Kleaf's. To be sourced from the top of the repository.
# shellcheck disable=SC2034 # for who sources it

top=$PWD
chroot=$top/build/lab/${ROW:-bookworm}/chroot
mkdir -p build
tmp=$(mktemp -d "$top/build/aosp.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
. tests/lib/tap.sh
. tests/lib/clang.sh
[ "${ROW:-bookworm}" = bookworm ] ||
	skip_all "the headers of $ROW want another host; see bookworm"
work=$tmp/work
kdir=$work/out/common
llvm=(LLVM="-$clang" "-j$(nproc)")

scripts/lab install "clang-$clang" "llvm-$clang" "lld-$clang" binutils \
	make git python3 libxtables-dev musl-dev pkg-config 2>"$tmp/log" ||
	skip_all "no clang-$clang here"

checkout()
{
	mkdir -p "$1/kmod" &&
	cp Makefile Kbuild "$1" && cp kmod/{Kbuild,*.[ch]} "$1/kmod" &&
	rm -f "$1"/kmod/*.mod.c
}

# no_warning CMD...: the compiler's being another one is what we want
no_warning()
{
	"$@" >"$tmp/make" 2>&1 || { tail -n 40 "$tmp/make"; return 1; }
	! grep -i 'warning:' "$tmp/make" | grep -v 'the compiler differs'
}

# Made by clang, all of it
by_clang()
{
	"llvm-readelf-$clang" -p .comment "$1" | tee "$tmp/comment" &&
	grep -q "clang version $clang" "$tmp/comment" &&
	! grep -q GCC "$tmp/comment"
}
