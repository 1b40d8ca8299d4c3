#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has a workspace of its own
#
# Builds in a tree of Android's: the calls of Kleaf and of build.sh, by clang, and the
# samples of kmod/android. The workspace is made of Debian's headers. Runs on the host; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/aosp.sh

files()
{
	(cd "$1" && find . -type f -exec sha256sum {} + | sort)
}

# kleaf TARGET...: M relative to the kernel's source, what is made elsewhere
kleaf()
{
	make -C "$work/halfrst" M=../halfrst "O=$kdir" \
		"KERNEL_SRC=$work/common" "${llvm[@]}" W=1 "$@"
}

kleaf_builds()
{
	checkout "$work/halfrst" && mkdir -p "$work/out/halfrst" &&
	files "$work/halfrst" >"$tmp/sources" &&
	no_warning kleaf modules &&
	by_clang "$work/out/halfrst/kmod/xt_HALFRST.ko" &&
	[ "$(find "$work/out/halfrst" -name '*.ko' | wc -l)" = 1 ] &&
	files "$work/halfrst" | diff "$tmp/sources" -
}

# There is neither a key nor depmod's System.map: the copy is what counts
kleaf_installs()
{
	kleaf INSTALL_MOD_PATH="$tmp/staging" INSTALL_MOD_DIR=extra/halfrst \
		DEPMOD=true modules_install &&
	[ "$(cd "$tmp/staging/lib/modules" && find . -name '*.ko' |
		cut -d/ -f3-)" = extra/halfrst/kmod/xt_HALFRST.ko ]
}

# build.sh's first call names no target
kleaf_default()
{
	kleaf >"$tmp/make" && ! grep -E ' (CC|LD) ' "$tmp/make"
}

kleaf_cleans()
{
	kleaf clean && [ -z "$(find "$work/out/halfrst" -type f)" ] &&
	files "$work/halfrst" | diff "$tmp/sources" -
}

# own ARG...: this checkout's own make, whose words go to $tmp/errors
own()
{
	make -C "$work/halfrst" "$@" modules >"$tmp/make" 2>"$tmp/errors" ||
		{ cat "$tmp/make" "$tmp/errors"; return 1; }
}

# No package of this host's would help
unprepared()
{
	! own KDIR=/no LLVM=1 ARCH=arm64 &&
	grep '^  make ARCH=arm64 LLVM=1 gki_defconfig modules_prepare$' \
		"$tmp/errors" && ! grep 'apt ' "$tmp/errors"
}

# Says what helps, and it does
prepared_only()
{
	local hint='make KBUILD_MODPOST_WARN=1' rc=0

	mv "$kdir/Module.symvers" "$tmp/symvers" || return
	{ own "KDIR=$kdir" "${llvm[@]}" || :; } && grep "$hint" "$tmp/errors" &&
	rm -f "$work"/halfrst/kmod/*.ko &&
	own "KDIR=$kdir" "${llvm[@]}" KBUILD_MODPOST_WARN=1 &&
	! grep "$hint" "$tmp/errors" &&
	[ -s "$work/halfrst/kmod/xt_HALFRST.ko" ] || rc=1
	mv "$tmp/symvers" "$kdir/Module.symvers"
	own "KDIR=$kdir" "${llvm[@]}" && ! grep "$hint" "$tmp/errors" || rc=1
	return $rc
}

# Evaluates a sample of Starlark, which is Python as far as it goes there
sample()
{
	python3 - "$@" <<-'END'
	import glob, os, sys

	rules = []

	def rule(kind):
	    return lambda **attrs: rules.append((kind, attrs))

	path, folder = sys.argv[1:3]
	names = {"load": lambda *what: None, "glob": lambda patterns: sum(
	    (glob.glob(p, root_dir=folder) for p in patterns), [])}
	for kind in "kernel_module", "ddk_module":
	    names[kind] = rule(kind)
	exec(compile(open(path).read(), path, "exec"), names)
	(kind, attrs), = rules
	for src in attrs["srcs"]:
	    assert os.path.isfile(os.path.join(folder, src)), src
	assert attrs["kernel_build"] == "//common:kernel_aarch64"
	for arg in sys.argv[3:]:
	    value = names[arg] if arg in names else attrs[arg]
	    print(" ".join([value] if isinstance(value, str) else value))
	END
}

# Everything that the rule names is there, and everything that is built is named
kernel_module_sample()
{
	sample kmod/android/BUILD.kernel_module "$work/halfrst" outs srcs \
		>"$tmp/sample" &&
	[ "$(head -n 1 "$tmp/sample")" = xt_HALFRST.ko ] &&
	sed 1d "$tmp/sample" | tr ' ' '\n' | sort |
		diff - <(cd "$work/halfrst" && find . -type f ! -path ./Makefile \
			-printf '%P\n' | sort)
}

# The DDK's own Kbuild out of the rule, with the fewest defines, and the module.
# Android has no nft.
ddk_module_sample()
{
	local dir=$work/ddk srcs defines includes

	sample kmod/android/BUILD.ddk_module kmod out srcs local_defines \
		includes >"$tmp/sample" &&
	readarray -t sample <"$tmp/sample" &&
	[ "${sample[0]}" = xt_HALFRST.ko ] || return
	srcs=${sample[1]} defines=${sample[2]} includes=${sample[3]}
	# shellcheck disable=SC2086 # words
	[ "$(printf '%s\n' $srcs | sort)" = "$(cd kmod &&
		find . -maxdepth 1 -name '*.[ch]' ! -name '*.mod.c' \
			! -name halfrst_helper.c -printf '%P\n' | sort)" ] &&
	mkdir "$dir" && (cd kmod && cp $srcs "$dir") &&
	{
		echo 'obj-m := xt_HALFRST.o'
		echo "xt_HALFRST-y := $(printf '%s\n' $srcs |
			sed -n 's/\.c$/.o/p' | tr '\n' ' ')"
		# shellcheck disable=SC2016 # make's own
		echo "ccflags-y := ${defines//HALFRST_/-DHALFRST_}" \
			"-I\$(src)/$includes"
	} >"$dir/Kbuild" &&
	no_warning make -C "$kdir" "M=$dir" "${llvm[@]}" W=1 modules &&
	by_clang "$dir/xt_HALFRST.ko"
}

# What is said of the newest of these kernels is what is found in this one, which
# has backports; and halfrst_compat.h asks for all of it
defines()
{
	local name

	sample kmod/android/BUILD.ddk_module kmod LACKS_6_1 >"$tmp/sample" &&
	make -s ddk-defines "KDIR=$work/common" >"$tmp/found" || return
	sed 's/local_defines = \[//; s/\],//; s/[",]//g' "$tmp/found" |
		tr ' ' '\n' | sort | diff - <(tr ' ' '\n' <"$tmp/sample" | sort) ||
		return
	# shellcheck disable=SC2013 # words
	for name in $(cat "$tmp/sample"); do
		grep -Eq "^#ifn?def $name$" kmod/halfrst_compat.h || return
	done
}

# One line, of an option that is there
fragment()
{
	local option

	option=$(sed -n 's/^CONFIG_\(.*\)=y$/\1/p' kmod/android/gki.fragment) &&
	[ "$(grep -cv '^#' kmod/android/gki.fragment)" = 1 ] &&
	grep -qx "config $option" kmod/Kconfig
}

check 'a workspace for clang' workspace "$chroot" "$work"
check 'Kleaf: modules, by clang, without a warning' kleaf_builds
check 'Kleaf: once more, without a target' kleaf_default
check 'Kleaf: modules_install' kleaf_installs
check 'Kleaf: the sample of kernel_module() names what is there' \
	kernel_module_sample
check 'Kleaf: clean leaves nothing, and the sources' kleaf_cleans
check 'Kleaf: the sample of ddk_module() builds' ddk_module_sample
check 'make ddk-defines finds what the sample says' defines
check 'the configuration fragment names the option' fragment
check 'make: a tree that is not prepared' unprepared
check 'make: a tree that is prepared, and not built' prepared_only
echo "1..$n"
[ $failed -eq 0 ]
