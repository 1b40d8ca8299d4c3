# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A workspace as Android's Kleaf has it, out of the headers that Debian gives a
# row, and clang in place of gcc.  To be sourced.

clang=16

# A row's compiler has gone into its headers' configuration: say clang instead,
# with what Kconfig would find out about it.
configured_for_clang()
{
	local config=include/config/auto.conf header=include/generated/autoconf.h

	sed -i -E -e '/^CONFIG_(CC_IS_GCC|GCC_[A-Z_]*|LD_IS_BFD|(CLANG|LLD)_VERSION)=/d' \
		-e '/^CONFIG_(GCC10_NO_ARRAY_BOUNDS|FTRACE_MCOUNT_USE_CC)=/d' \
		-e 's/^(CONFIG_CC_IMPLICIT_FALLTHROUGH=).*/\1"-Wimplicit-fallthrough"/' \
		"$config" &&
	printf '%s\n' CONFIG_CC_IS_CLANG=y "CONFIG_CLANG_VERSION=${clang}0006" \
		CONFIG_LD_IS_LLD=y "CONFIG_LLD_VERSION=${clang}0006" >>"$config" &&
	sed -i -E -e '/ CONFIG_(CC_IS_GCC|GCC_[A-Z_]*|CLANG_VERSION) /d' \
		-e '/ CONFIG_FTRACE_MCOUNT_USE_CC /d' "$header" &&
	printf '#define CONFIG_%s\n' 'CC_IS_CLANG 1' 'LD_IS_LLD 1' \
		"CLANG_VERSION ${clang}0006" >>"$header" &&
	# Debian's says which gcc
	grep -E '^override (ARCH|KERNELRELEASE)' .kernelvariables >.kernelvariables.new &&
	mv .kernelvariables.new .kernelvariables
}

# workspace CHROOT FOLDER: common/ has the source (of it the headers), out/common
# what was built.  Hard links: sed and mv write new files.
workspace()
{
	local chroot=$1 to=$2 release headers common kbuild dir

	release=$(cat "$chroot/kernel/release") &&
	headers=$chroot/usr/src/linux-headers-$release &&
	common=$(sed -n 's,^include \(.*\)/Makefile$,\1,p' "$headers/Makefile") &&
	kbuild=$(readlink "$chroot$common/scripts") &&
	kbuild=$chroot/usr/lib/$(basename "$(dirname "$kbuild")") &&
	mkdir -p "$to/out" &&
	cp -al "$chroot$common" "$to/common" &&
	cp -al "$headers" "$to/out/common" &&
	cp -al "$kbuild" "$to/kbuild" || return
	for dir in scripts tools; do
		ln -sfn "../kbuild/$dir" "$to/common/$dir" &&
		ln -sfn "../../kbuild/$dir" "$to/out/common/$dir" || return
	done
	rm "$to/out/common/Makefile" &&
	echo "include $to/common/Makefile" >"$to/out/common/Makefile" &&
	(cd "$to/out/common" && configured_for_clang)
}
