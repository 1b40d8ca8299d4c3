# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Kernels from Debian's source packages. To be sourced by kernel.
# shellcheck disable=SC2034,SC2154,SC2317 # shared with build.sh; by name

# Sets what is meant by a name
pick()
{
	action=build
	case ${1:-} in
	--prepare|--source) action=${1#--}; shift ;;
	esac
	[ $# -eq 1 ] || usage
	name=$1
	version=6.1
	make=()		# what make is told for another compiler or architecture
	image=arch/x86/boot/bzImage modules=modules
	graft=0 compiler=() spared=()
	# The oldest with CFI as kernels have it since 6.1
	clang=16 cfi=''
	case $name in *-cfi) cfi=1 ;; esac
	# The fragments of kernel.d that make the configuration
	parts='boot x86 net'
	case $name in
	kasan)	parts+=' locks kasan'
		spare
		;;
	kcsan)	parts+=' kcsan' ;;
	rt-lockdep) parts+=' locks rt' version=6.12 ;;
	no-xtables-6.12) version=6.12 without='_XT|_IP6?_NF_|NFT_COMPAT' ;;
	builtin-6.1|builtin-6.1-*|builtin-6.12|builtin-6.12-*|\
	module-6.1|module-6.1-*|module-6.12|module-6.12-*)
		pick_grafted
		;;
	6.1|6.12)
		[ "$action" = source ] || usage
		version=$name
		;;
	*)	usage ;;
	esac
	[ "$version" != 6.1 ] || parts+=' 6.1'
	[ "$action" != prepare ] || [ "$graft" = 1 ] || usage

	here=$top/build/kernel/$name
	tree=$here/tree
	plain=$top/build/kernel/linux-source-$version
	src=$plain
	[ "$graft" = 0 ] || src=$top/build/kernel/grafted-$version
}

# KASAN does not look at the other detectors' own bookkeeping, which is most of what
# this kernel executes; it does at whatever hands them an object. And kmemleak need
# not look for pointers in KASAN's memory.
spare()
{
	local object

	for object in kmemleak lockdep debugobjects stacktrace unwind_frame \
		extable trace_preemptirq; do
		spared+=("KASAN_SANITIZE_$object.o=n")
	done
	make+=("${spared[@]}"
		"CFLAGS_kasan_init_64.o=-include $top/scripts/kernel.d/shadow.h")
}

pick_grafted()
{
	local kind

	graft=1
	version=${name#*-}
	kind=${version#"${version%%-*}"}
	version=${version%%-*}
	compiler=(gcc)
	case $kind in
	'') ;;
	-arm64)
		make=(ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-)
		compiler=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
		;;
	-cfi)
		parts+=' cfi'
		make=("LLVM=-$clang")
		;;
	-arm64-cfi)
		parts+=' cfi android'
		make=(ARCH=arm64 "LLVM=-$clang")
		;;
	*)	usage ;;
	esac
	case $kind in
	-arm64*)
		parts="boot arm64 ${parts#boot x86}"
		image=arch/arm64/boot/Image
		;;
	esac
	[ -z "$cfi" ] || compiler=("clang-$clang" "llvm-$clang" "lld-$clang"
		dwarves)
	parts+=" ${name%%-*}"
}

# unpacked FOLDER COMMAND...: by COMMAND FOLDER.tmp, once for each version of
# the package
unpacked()
{
	local dir=$1 is

	shift
	is=$(package)
	(
		flock 8
		[ "$(cat "$dir.is" 2>/dev/null)" != "$is" ] || exit 0
		rm -rf "$dir" "$dir.tmp"
		"$@" "$dir.tmp"
		mv "$dir.tmp" "$dir"
		echo "$is" >"$dir.is"
	) 8>"$dir.lock"
}

package()
{
	# shellcheck disable=SC2016 # dpkg-query's own variable
	dpkg-query -W -f '${Version}\n' "linux-source-$version"
}

# Less what nothing of ours is made from, which is nearly half
unpack()
{
	mkdir "$1"
	tar -xf "/usr/src/linux-source-$version.tar.xz" -C "$1" \
		--strip-components=1 --exclude='*/drivers/gpu/*.[ch]' \
		--exclude='*/drivers/net/[ew]*/*.[ch]' \
		--exclude='*/sound/*.[ch]' --exclude='*/drivers/media/*.[ch]'
}

# Of hard links: scripts/graft writes new files, and what is built is elsewhere
share()
{
	cp -al "$plain" "$1"
}

configure_debian()
{
	local lacks

	unpacked "$plain" unpack
	[ "$graft" = 0 ] || unpacked "$src" share
	[ "$graft" = 0 ] || flock "$src.lock" "$top/scripts/graft" "$src"
	configure
	# A kernel without what it is for would find nothing, silently.
	lacks=$(missing)
	if [ -n "$lacks" ]; then
		say "$name: not to be had: $(echo "$lacks" | tr '\n' ' ')"
		exit 1
	fi
}

# KASAN finds what SLUB's own checks would, and costs enough.
# A: the cache whose allocations can be made to fail alone.
# While 6.1 looks at its CPU it forgets for a moment that page tables have five
# levels; an interrupt then is a wild access to KASAN.
# RCU's 21 s are a second on real hardware: 10,000 retransmissions of TCP in
# one softirq take longer here.
command_line()
{
	case $name in
	kasan|kcsan|rt-lockdep)
		echo 'no5lvl slub_debug=-;A,halfrst_watch' \
			'rcupdate.rcu_cpu_stall_timeout=180' \
			>"$here/append" ;;
	esac
}

build_grafted()
{
	flock "$src.lock" "$top/scripts/graft" "$src"
	compile_kernel "linux-source-$version"
	collect_grafted
}

build_module()
{
	rm -rf "$here/src" "$here"/out/*.ko
	mkdir "$here/src"
	cp "$top"/kmod/{Kbuild,*.[ch]} "$here/src"
	rm -f "$here"/src/*.mod.c
	say "$name: building the module for $(cat "$here/release")"
	quietly make -C "$tree" M="$here/src" W=1 modules
	no_warnings 'warning:'
	cp "$here"/src/*.ko "$here/out"
}

# All that the kernel itself is made from
recipe()
{
	package
	gcc --version | head -n 1
	[ -z "$cfi" ] || "clang-$clang" --version | head -n 1
	[ -z "${spared[*]}" ] || {
		echo "${spared[@]}"
		cat "$top/scripts/kernel.d/shadow.h"
	}
	wanted
}

# from_debian ARGUMENT...: those of kernel
from_debian()
{
	local recipe sum

	pick "$@"
	"$top/scripts/lab" install gcc make flex bison bc libelf-dev libssl-dev \
		cpio kmod "${compiler[@]}" "linux-source-$version" >&2
	if [ "$action" = source ]; then
		mkdir -p "$top/build/kernel"
		unpacked "$plain" unpack
		echo "$plain"
		return
	fi
	mkdir -p "$here/out"
	exec 9>"$here/lock"
	flock 9
	recipe=$(recipe)
	recipe=$(echo "$recipe" | sha256sum)
	if [ ! -f "$tree/.config" ] ||
	   [ "$recipe" != "$(cat "$here/recipe" 2>/dev/null)" ]; then
		rm -f "$here/recipe" "$here/module.sum"
		configure_debian
		command_line
		[ "$graft" = 1 ] || compile_kernel "linux-source-$version"
		echo "$recipe" >"$here/recipe"
	fi
	if [ "$action" = prepare ]; then
		flock "$src.lock" "$top/scripts/graft" "$src"
		quietly nice make -C "$tree" "${make[@]}" -j"$(nproc)" prepare
		echo "$here"
		return
	fi
	sum=$(cd "$top/kmod" && find . -name '*.[ch]' ! -name '*.mod.c' -print0 |
		sort -z | xargs -0 sha256sum Kbuild Kconfig
		[ "$graft" = 0 ] || cat "$top"/scripts/graft.d/*.sh
		echo "$recipe")
	if [ ! -f "$here/vmlinuz" ] ||
	   [ "$sum" != "$(cat "$here/module.sum" 2>/dev/null)" ]; then
		rm -f "$here/module.sum"
		if [ "$graft" = 1 ]; then
			build_grafted
		else
			build_module
		fi
		echo "$sum" >"$here/module.sum"
	fi
	echo "$here"
}
