#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: sources are the same everywhere
#
# What tools say about the sources. Runs on the host; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh
chroot=$PWD/build/lab/$row/chroot
man=xtables-ext/libxt_HALFRST.man

# silent CMD...: it succeeds without a word
silent()
{
	local rc=0

	"$@" >"$tmp/said" 2>&1 || rc=$?
	cat "$tmp/said"
	[ $rc -eq 0 ] && [ ! -s "$tmp/said" ]
}

# Everything that is written by hand, and none of what is made from it
sources()
{
	find Makefile Kbuild .ci kmod scripts tests xtables-ext -type f \
		! -name '.*' ! -name '*.mod.c' \( -name '*.[ch]' \
		-o -name '*.sh' -o -name '*.p[ym]' -o -name '*.man' \
		-o -name Makefile -o -name Kbuild -o -name Kconfig \
		-o -path '.ci/*' -o -path 'scripts/*' ! -name '*.*' \
		-o -path 'xtables-ext/service/*' ! -name '*.*' \)
}

without_licence()
{
	sources | xargs grep -L -E 'SPDX-License-Identifier: GPL-2\.0-only( \*/)?$'
}

scripts()
{
	sources | xargs grep -lE -m 1 '^#!.*/(ba)?sh'
}

shell()
{
	scripts | xargs shellcheck -x -P SCRIPTDIR -P tests/bench
}

# longer LINES: the files on standard input that are
longer()
{
	sort -u | xargs wc -l | awk -v most="$1" '$1 > most && $2 != "total"'
}

too_long()
{
	{ scripts; sources | grep '\.sh$'; } | longer 350
	sources | grep '^kmod/.*\.[ch]$' | longer 500
}

# Results are called by it
twice()
{
	printf '%s\n' tests/host/*.sh tests/guest/test_*.{c,sh} |
		grep -v '\.guest\.sh$' |
		sed 's,.*/,,; s,^test_,,; s,\.[a-z]*$,,' | sort | uniq -d
}

# What is built is not committed, and nothing that is committed is ignored
products()
{
	git ls-files | grep -E '(^|/)build/' || :
	git ls-files -ci --exclude-standard
}

# Asks what the kernel has, not how it is called
versions()
{
	local f

	for f in $(sources | grep '\.[ch]$'); do
		[ "$f" = kmod/halfrst_compat.h ] ||
			grep -Hn -e LINUX_VERSION_CODE -e KERNEL_VERSION "$f" ||
			:
	done
}

# The one place is kmod/xt_HALFRST.h; others' formats want it again
one_version()
{
	local v

	v=$(sed -n 's/^#define XT_HALFRST_VERSION[[:space:]]*"\(.*\)"$/\1/p' \
		kmod/xt_HALFRST.h)
	[ -n "$v" ] || echo "no version"
	sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog |
		grep -qxF "$v" || echo "debian/changelog"
	grep -qxF "PACKAGE_VERSION=\"$v\"" dkms.conf || echo "dkms.conf"
	grep -qE "^Version: +$v\$" xtables-ext/*.spec || echo "rpm"
	sed -n '/^%changelog/,$p' xtables-ext/*.spec | grep -q -- " - $v-1$" ||
		echo "rpm, changelog"
	! grep -rlE 'MODULE_VERSION\([^X]' kmod
}

# fits RELEASE: 1 or 0 by kmod/Kbuild, which make asks, and by dkms.conf
fits()
{
	local version=${1%%.*} level=${1#*.} make=1 dkms=1

	make -s -f kmod/Kbuild srctree=/nonexistent "VERSION=$version" \
		"PATCHLEVEL=${level%%.*}" --eval 'all: ;' >/dev/null 2>&1 || make=0
	kernelver=$1 bash -uc '. ./dkms.conf
		[[ $kernel =~ $BUILD_EXCLUSIVE_KERNEL && $AUTOINSTALL ]]' || dkms=0
	echo "$make$dkms"
}

# scripts/graft's are in graft.sh
one_range()
{
	local release

	for release in 2.6.32 3.10.0-1160.el7 4.4.0 4.9.337 4.13.16; do
		[ "$(fits $release)" = 00 ] || echo "$release"
	done
	for release in 4.14.180-perf+ 4.18.0-240.el8.x86_64 4.19.1 4.20.17 \
		5.4.0-150-generic 5.10.168 6.18.32 7.3.4+deb13-cloud-amd64 10.0.1; do
		[ "$(fits $release)" = 11 ] || echo "$release"
	done
}

# No kernel, no libxtables: what to install, in five distributions' words
missing()
{
	local what

	for what in modules ext; do
		! make KDIR=/no PKG_CONFIG=false $what >"$tmp/make" 2>&1 ||
			echo "make $what succeeds"
		for tool in apt dnf pacman apk zypper; do
			grep -q "^  $tool " "$tmp/make" ||
				echo "make $what: $tool"
		done
	done
}

formatted()
{
	man --warnings -l "$man" >"$tmp/man" && [ -s "$tmp/man" ]
}

# The row's compiler and headers, and this host's sparse with its libraries:
# what it says about the kernel's own headers is not ours.
sparse_says()
{
	local release host=/mnt/host

	release=$(cat "$chroot/kernel/release") &&
	mkdir -p "$tmp/sparse/host" &&
	cp -R kmod Kbuild "$tmp/sparse" &&
	cp "$(command -v sparse)" "$tmp/sparse/host" &&
	ldd "$(command -v sparse)" | grep -o '/[^ ]*' |
		xargs cp -L -t "$tmp/sparse/host" &&
	find "$tmp/sparse" -name '*.o' -delete || return
	scripts/lab chroot "$row" "$tmp/sparse" make \
		-C "/lib/modules/$release/build" M=/mnt C=2 \
		CHECK="$host/ld-linux-x86-64.so.2 --library-path $host $host/sparse" \
		modules >"$tmp/make" 2>&1 || { tail "$tmp/make"; return 1; }
	# it ran, on each file
	[ "$(grep -c '^ *CHECK .*/kmod/' "$tmp/make")" = \
		"$(find kmod -name '*.c' ! -name '*.mod.c' | wc -l)" ] ||
		cat "$tmp/make"
	! grep -E '/kmod/.*(warning|error):' "$tmp/make"
}

# TP_STRUCT__entry() and its like are laid out as in every trace header
strict()
{
	local rc=0

	perl "$checkpatch" --no-tree --strict --terse --quiet --no-summary \
		--ignore PARENTHESIS_ALIGNMENT,OPEN_ENDED_LINE \
		-f kmod/halfrst_trace.h || rc=1
	find kmod -name '*.[ch]' ! -name '*.mod.c' ! -name halfrst_trace.h \
		-print0 | xargs -0 perl "$checkpatch" --no-tree --strict \
		--terse --quiet --no-summary -f || rc=1
	return $rc
}

checkpatch=
for f in "$chroot"/usr/src/linux-headers-*/scripts/checkpatch.pl \
	build/kernel/*/scripts/checkpatch.pl; do
	[ ! -e "$f" ] || checkpatch=$f
done

scripts/lab install man-db mandoc shellcheck sparse perl

check 'the man page formats without a warning' silent formatted
check 'mandoc finds nothing in the man page' silent mandoc -T lint "$man"
check 'shellcheck finds nothing in the scripts' silent shell
check 'every source names its licence' silent without_licence
check 'no shell file has more than 350 lines, none of kmod more than 500' \
	silent too_long
check 'no two tests have one name' silent twice
if git rev-parse HEAD >"$tmp/log" 2>&1; then
	check 'nothing that is built is committed' silent products
else
	skip 'nothing that is built is committed' 'not a git checkout'
fi
check 'no kernel version outside of halfrst_compat.h' silent versions
check 'one version: module, extension, packages' silent one_version
check 'from Linux 4.14 on: make and DKMS' silent one_range
check 'make says what is missing' silent missing
why=
if [ "$(uname -m)" != x86_64 ] || [ ! -e "$chroot/kernel/release" ]; then
	why="$row has no compiler here"
elif [ -e "$chroot/usr/bin/aarch64-linux-gnu-gcc" ]; then
	why="$row is cross-compiled"
elif grep -qs checker-valid "$chroot"/usr/src/linux-headers-*/Makefile; then
	why="$row's headers want a newer sparse than Debian 12's"
fi
if [ -z "$why" ]; then
	check 'sparse finds nothing in the module' silent sparse_says
else
	skip 'sparse finds nothing in the module' "$why"
fi
if [ -n "$checkpatch" ]; then
	check 'checkpatch --strict finds nothing in the module' silent strict
else
	skip 'checkpatch --strict finds nothing in the module' \
		'no kernel source with scripts/checkpatch.pl here'
fi
echo "1..$n"
[ $failed -eq 0 ]
