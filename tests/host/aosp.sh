#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has a workspace of its own
#
# The way into a tree of Android's: clang, the calls of Kleaf and build.sh, the
# samples, symbol lists, what scripts/graft does to a tree for GKI, and the
# extension as a part of Android's iptables.  A workspace like Kleaf's is made of
# Debian's headers.  Runs on the host; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
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

files()
{
	(cd "$1" && find . -type f -exec sha256sum {} + | sort)
}

#
# Kleaf and build.sh
#

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

	sample kmod/android/BUILD.ddk_module kmod HAVE_6_15 >"$tmp/sample" &&
	make -s ddk-defines "KDIR=$work/common" >"$tmp/found" || return
	sed 's/local_defines = \[//; s/\],//; s/[",]//g' "$tmp/found" |
		tr ' ' '\n' | sort | diff - <(tr ' ' '\n' <"$tmp/sample" | sort) ||
		return
	# shellcheck disable=SC2013 # words
	for name in $(cat "$tmp/sample"); do
		grep -q "^#ifdef $name$" kmod/halfrst_compat.h || return
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

#
# Symbol lists
#

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
	check_refuses "$work/own/kmod/xt_HALFRST.ko" "$tmp/staging" &&
	check_refuses "$work/own/kmod/xt_HALFRST.ko" README.md &&
	check_refuses README.md "$tmp/old" &&
	check_refuses "$tmp/nowhere" "$tmp/old" &&
	check_refuses "$tmp/symbols"
}

#
# scripts/graft for such a tree
#

# All that it looks at
small_tree()
{
	local tree=$1 arch

	mkdir -p "$tree"/{net/netfilter,tools/testing/selftests} \
		"$tree"/{bazel,include/uapi/linux/netfilter} \
		"$tree"/arch/{arm64,riscv,x86}/configs
	# what it asks
	ln -s "$work"/common/include/{net,linux} "$tree/include"
	# as 6.1 has it
	ln -s ../../arm64/configs/gki_defconfig "$tree/arch/riscv/configs"
	printf 'VERSION = 6\nPATCHLEVEL = 1\n' >"$tree/Makefile"
	touch "$tree/Kbuild"
	# shellcheck disable=SC2016 # make's own
	echo 'obj-$(CONFIG_NETFILTER_XT_TARGET_HL) += xt_HL.o' \
		>"$tree/net/netfilter/Makefile"
	printf 'config NETFILTER_XT_TARGET_HL\n\ttristate\n' \
		>"$tree/net/netfilter/Kconfig"
	echo 'TARGETS += net/forwarding' \
		>"$tree/tools/testing/selftests/Makefile"
	for arch in arm64 x86; do
		printf 'CONFIG_NETFILTER_XT_TARGET_%s=y\n' CONNSECMARK DSCP \
			IDLETIMER >"$tree/arch/$arch/configs/gki_defconfig"
	done
	# a vendor's own: another option is off there, and it has none of GKI's file
	printf '%s\n' CONFIG_NETFILTER_XT_TARGET_CT=y \
		'# CONFIG_NETFILTER_XT_TARGET_DSCP is not set' \
		CONFIG_NETFILTER_XT_TARGET_IDLETIMER=y \
		>"$tree/arch/arm64/configs/phone_defconfig"
	printf '    "net/%s.ko",\n' mac802154/mac802154 nfc/nfc \
		>"$tree/modules.bzl"
}

# The line behind another one
behind()
{
	[ "$(grep -A1 -xF -e "$2" "$1" | tail -n 1)" = "$3" ]
}

has_option()
{
	local arch

	for arch in arm64 x86; do
		behind "$tree/arch/$arch/configs/gki_defconfig" \
			CONFIG_NETFILTER_XT_TARGET_DSCP=y \
			"CONFIG_NETFILTER_XT_TARGET_HALFRST=$1" &&
		[ "$(grep -c HALFRST \
			"$tree/arch/$arch/configs/gki_defconfig")" = 1 ] || return
	done
}

grafts_module()
{
	scripts/graft --no-tests --gki m "$tree" && has_option m &&
	[ ! -e "$tree/tools/testing/selftests/net" ] &&
	diff -r "$tmp/original/tools" "$tree/tools" &&
	behind "$tree/modules.bzl" '    "net/mac802154/mac802154.ko",' \
		'    "net/netfilter/halfrst/xt_HALFRST.ko",' &&
	LC_ALL=C sort -c "$tree/modules.bzl"
}

grafts_built_in()
{
	scripts/graft --no-tests --gki y "$tree" && has_option y &&
	diff "$tmp/original/modules.bzl" "$tree/modules.bzl"
}

tests_later()
{
	scripts/graft "$tree" && has_option y &&
	[ -f "$tree/tools/testing/selftests/net/halfrst/test_one_packet.c" ] &&
	scripts/graft --no-tests "$tree" &&
	[ -f "$tree/tools/testing/selftests/net/halfrst/test_one_packet.c" ]
}

takes_out()
{
	scripts/graft --remove "$tree" &&
	diff --no-dereference -r "$tmp/original" "$tree" &&
	scripts/graft --gki m "$tree" && scripts/graft --remove "$tree" &&
	diff --no-dereference -r "$tmp/original" "$tree"
}

in_git()
{
	git -C "$tree" -c user.name=Test -c user.email=test@localhost \
		-c init.defaultBranch=main -c commit.gpgSign=false \
		-c core.excludesFile= "$@"
}

# As 6.18 has it: the list is elsewhere, and the file of before hands it on
other_list()
{
	local list=bazel/modules_private.bzl

	mv "$tree/modules.bzl" "$tree/$list" && cp "$tree/$list" "$tmp/list" &&
	echo 'load(":bazel/modules.bzl", "get_gki_modules_list")' \
		>"$tree/modules.bzl" && cp "$tree/modules.bzl" "$tmp/hands_on" &&
	scripts/graft --no-tests --gki m "$tree" &&
	behind "$tree/$list" '    "net/mac802154/mac802154.ko",' \
		'    "net/netfilter/halfrst/xt_HALFRST.ko",' &&
	LC_ALL=C sort -c "$tree/$list" &&
	diff "$tmp/hands_on" "$tree/modules.bzl" &&
	scripts/graft --remove "$tree" && diff "$tmp/list" "$tree/$list" &&
	mv "$tree/$list" "$tree/modules.bzl"
}

# A device's own configuration, and GKI's stays as it is
device()
{
	local file=arch/arm64/configs/phone_defconfig

	scripts/graft --no-tests --gki y --defconfig $file "$tree" &&
	behind "$tree/$file" '# CONFIG_NETFILTER_XT_TARGET_DSCP is not set' \
		CONFIG_NETFILTER_XT_TARGET_HALFRST=y &&
	diff "$tmp/original/arch/x86/configs/gki_defconfig" \
		"$tree/arch/x86/configs/gki_defconfig" &&
	scripts/graft --remove "$tree" &&
	diff --no-dereference -r "$tmp/original" "$tree" || return
	for file in arch/arm64/configs/none_defconfig Makefile; do
		! scripts/graft --gki y --defconfig $file "$tree" \
			2>"$tmp/errors" && grep -q "$file" "$tmp/errors" || return
	done
	diff --no-dereference -r "$tmp/original" "$tree"
}

# Subjects as ACK wants them, a module to review, and a Change-Id by Gerrit's
# hook, which git am does not run
series()
{
	# shellcheck disable=SC2016 # the hook's own
	scripts/graft --patch --no-tests --gki m --subject-prefix ANDROID: \
		"$tree" >"$tmp/series" &&
	diff --no-dereference -r "$tmp/original" "$tree" &&
	[ "$(wc -l <"$tmp/series")" -lt 3500 ] &&
	! grep -q '^+++ b/tools' "$tmp/series" &&
	in_git init -q && in_git add -f . && in_git commit -q -m tree &&
	printf '#!/bin/sh\necho "Change-Id: I0" >>"$1"\n' \
		>"$tree/.git/hooks/commit-msg" &&
	chmod +x "$tree/.git/hooks/commit-msg" &&
	in_git am -q -s "$tmp/series" && has_option m &&
	[ "$(in_git log --format=%s @~4..@ | grep -c '^ANDROID: [a-z]')" = 4 ] &&
	[ "$(in_git log -1 --format=%s)" = 'ANDROID: defconfig: enable HALFRST' ] &&
	! in_git log --format=%b | grep Change-Id &&
	in_git rebase -q -x 'git commit -q --amend --no-edit' @~4 &&
	[ "$(in_git log --format=%b | grep -c '^Change-Id')" = 4 ]
}

no_place()
{
	rm -rf "$tree" && cp -a "$tmp/original" "$tree" &&
	sed -i '/DSCP/d; /CONNSECMARK/d' \
		"$tree/arch/x86/configs/gki_defconfig" &&
	cp -a "$tree" "$tmp/before" &&
	! scripts/graft --gki y "$tree" 2>"$tmp/errors" &&
	grep -q 'x86/configs/gki_defconfig has no line' "$tmp/errors" &&
	diff -r "$tmp/before" "$tree" && rm -r "$tree/arch" &&
	! scripts/graft --gki y "$tree" 2>"$tmp/errors" &&
	grep -q 'no arch/\*/configs/gki_defconfig.*--defconfig' "$tmp/errors"
}

# asked ARG...: these do not go together
asked()
{
	local rc=0

	scripts/graft "$@" "$tree" >"$tmp/out" 2>&1 || rc=$?
	[ $rc = 2 ] && grep -q '^Put HALFRST' "$tmp/out"
}

wrong_usage()
{
	asked --subject-prefix ANDROID && asked --remove --no-tests &&
	asked --gki n && asked --defconfig arch/arm64/configs/phone_defconfig &&
	asked --remove --gki m && asked --remove --patch
}

#
# User space
#

# In AOSP, libxt_*.c go through a filter that gives each function _init() a name
# of its own, and one more file is made that calls all of these.  Neither filter
# is known by more than what it does: by the word, or where it is defined.
ext_init()
{
	local name=$1

	printf 'void %s_init(void);\n' "$name"
	printf 'void init_extensions(void);\nvoid init_extensions(void)\n{\n'
	printf '\t%s_init();\n}\n' "$name"
}

# As AOSP sets them for the extensions
flags=(-O2 -Wall -Werror -Wno-pointer-arith -Wno-sign-compare
	-Wno-unused-parameter -Wno-format -Wno-missing-field-initializers
	-Wno-pointer-bool-conversion -Wno-tautological-pointer-compare
	-DNO_SHARED_LIBS=1 -DXTABLES_INTERNAL -DENABLE_IPV4 -DENABLE_IPV6
	-D_FILE_OFFSET_BITS=64)

# extension FILTER CFLAG...: compiles in $tmp/ext, and has one function to call
extension()
{
	local dir=$tmp/ext name=libxt_HALFRST

	rm -rf "$dir" && mkdir -p "$dir/include" &&
	sed "$1" "xtables-ext/$name.c" >"$dir/$name.c" &&
	cp kmod/xt_HALFRST.h "$dir/include" &&
	ext_init "$name" >"$dir/initext.c" || return
	for f in "$name" initext; do
		"clang-$clang" "${flags[@]}" -I"$dir/include" "${@:2}" \
			-c -o "$dir/$f.o" "$dir/$f.c" || return
	done
	"llvm-nm-$clang" "$dir/$name.o" | grep -q " T ${name}_init$" &&
	! "llvm-objdump-$clang" -h "$dir/$name.o" | grep -E '\.(init_array|ctors)'
}

# Both families' targets register once, by the call of init_extensions() alone
registers()
{
	local dir=$tmp/ext

	cat >"$dir/main.c" <<-'END' &&
	#include <stdio.h>
	#include <xtables.h>

	void init_extensions(void);

	void xtables_register_targets(struct xtables_target *us, unsigned int n)
	{
		while (n--)
			printf("%s/%d\n", us[n].name, us[n].family);
	}

	int main(void)
	{
		puts("main");
		init_extensions();
		return 0;
	}
	END
	"clang-$clang" -o "$dir/main" "$dir/main.c" "$dir"/*.o -lxtables &&
	[ "$("$dir/main" | tr '\n' ' ')" = \
		'main HALFRST/10 HALFRST/2 ' ]
}

# A C library that is not glibc; its headers want the kernel's beside them
with_musl()
{
	local include=$tmp/include name

	mkdir -p "$include" && ln -s /usr/include/{linux,asm-generic} \
		"/usr/include/$(uname -m)-linux-gnu/asm" \
		/usr/include/{xtables.h,xtables-version.h} "$include" &&
	extension "$1" -nostdlibinc -isystem "/usr/include/$(uname -m)-linux-musl" \
		-idirafter "$include" &&
	"clang-$clang" "${flags[@]}" -I"$tmp/ext/include" -nostdlibinc \
		-isystem "/usr/include/$(uname -m)-linux-musl" \
		-idirafter "$include" -M "$tmp/ext/libxt_HALFRST.c" >"$tmp/headers" &&
	grep -q "linux-musl/stdio.h" "$tmp/headers" &&
	! grep '/usr/include/std' "$tmp/headers"
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
check 'make kmi-symbols' lists_symbols
check 'kmi-symbols: of the module for nft as well' lists_both
check 'kmi-symbols: symbols that the kernel does not export' not_exported
check 'kmi-symbols: refused where HALFRST is built in' built_in
check 'kmi-symbols: refused where the module does not compile' compile_error
check 'kmi-symbols: refused where nm fails' nm_fails
check 'kmi-check: what is missing from lists and trees' compares
check 'kmi-check: refuses what is no list or module' compares_nothing
tree=$tmp/tree
small_tree "$tree"
cp -a "$tree" "$tmp/original"
check 'graft --no-tests --gki m' grafts_module
check 'graft --gki y in its place' grafts_built_in
check 'graft adds the tests later, and leaves them' tests_later
check 'graft --remove takes all of it out' takes_out
check 'graft --gki m where the list is another file' other_list
check "graft --defconfig: a device's own" device
check 'graft --patch: subjects, length, Change-Ids' series
check 'graft --gki: refuses where it knows no place' no_place
check 'graft: options that do not go together' wrong_usage
word='s/\<_init\>/libxt_HALFRST_init/g' definition='s/ _init(/ libxt_HALFRST_init(/'
check 'AOSP: the extension, each _init renamed' extension "$word"
check 'AOSP: it registers once, when it is called' registers
check 'AOSP: the extension, the definition renamed' extension "$definition"
check 'AOSP: it registers once, when it is called' registers
check "AOSP: the extension with musl's headers" with_musl "$word"
echo "1..$n"
[ $failed -eq 0 ]
