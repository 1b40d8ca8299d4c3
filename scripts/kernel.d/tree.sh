# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A kernel from anybody's tree. To be sourced by kernel.
# shellcheck disable=SC2034,SC2154 # shared with build.sh

# Of hard links, and without what was built there: make and scripts/graft write
# new files, and what is built is elsewhere
link_tree()
{
	rm -rf "$src"
	mkdir -p "$src"
	(cd "$from" && find . -name .git -prune -o -print0 |
		cpio -0 --quiet -pdml "$src")
	if [ -e "$src/.config" ] || [ -e "$src/include/config" ] ||
	   ls -d "$src"/arch/*/include/generated >/dev/null 2>&1; then
		quietly make -C "$src" "${make[@]}" mrproper
	fi
}

# Old trees and the host tools of today: variables that are one with the host
# compiler's new default, and warnings that a newer compiler has thought of
tools()
{
	local prefix=''

	make=("ARCH=$arch")
	# without -fcommon dtc has a variable twice
	make+=('HOSTCFLAGS=-O2 -w -fcommon' 'KCFLAGS=-Wno-error')
	[ "$arch" != arm64 ] || prefix=aarch64-linux-gnu-
	case " ${given[*]}" in
	*' LLVM='*)
		[ -z "$prefix" ] || make+=("CROSS_COMPILE=$prefix")
		;;
	*)	# vendors' trees name compilers of their own
		make+=("CROSS_COMPILE=$prefix" "CC=${prefix}gcc" HOSTCC=gcc
			"LD=${prefix}ld" "AR=${prefix}ar" "NM=${prefix}nm"
			"OBJCOPY=${prefix}objcopy" "OBJDUMP=${prefix}objdump"
			"STRIP=${prefix}strip")
		;;
	esac
	make+=("${given[@]}")
}

# Compilers that the host is to have
compilers()
{
	local v

	[ "$arch" != arm64 ] ||
		echo gcc-aarch64-linux-gnu libc6-dev-arm64-cross
	for v in "${given[@]}"; do
		case $v in
		LLVM=-*) v=${v#LLVM=}; echo "clang$v llvm$v lld$v" ;;
		LLVM=1)	echo clang llvm lld ;;
		esac
	done
}

# A line of what the tree has not, and nothing of what it has but HALFRST
left_out()
{
	local lacks

	lacks=$(missing)
	if echo "$lacks" | grep -q HALFRST; then
		say "$name: HALFRST itself is not to be had, see $here/config"
		exit 1
	fi
	[ -z "$lacks" ] || say "$name: left out, as this tree lacks it:" \
		"$(echo "$lacks" | sed 's/^CONFIG_//; s/=y$//' | tr '\n' ' ')"
}

# from_tree DIR OPTION...: those of kernel --tree
from_tree()
{
	local from=${1:-} kind=builtin arch=x86_64 given=() packages options=()

	[ $# -gt 0 ] || usage "--tree wants a folder"
	shift
	name=''
	while [ $# -gt 0 ]; do
		case $1 in
		--module) kind=module ;;
		--arm64) arch=arm64 ;;
		--name)	[ $# -gt 1 ] || usage "--name wants a name"
			name=$2; shift ;;
		CONFIG_*=*) options+=("$1") ;;
		[A-Za-z_]*=*) given+=("$1") ;;
		*)	usage "--tree: no option $1" ;;
		esac
		shift
	done
	from=$(cd "$from" && pwd) || exit
	if [ ! -f "$from/Kbuild" ] || [ ! -f "$from/Makefile" ]; then
		say "$from is no kernel tree"
		exit 1
	fi
	: "${name:=tree-${from##*/}}"
	case $arch in
	x86_64)	parts='boot x86 net' image=arch/x86/boot/bzImage ;;
	arm64)	parts='boot arm64 net' image=arch/arm64/boot/Image ;;
	esac
	parts+=" $kind" tools=tree modules=modules
	# vendors have modules that no option leaves out
	[ "$kind" = module ] || modules=''
	here=$top/build/kernel/$name
	tree=$here/tree
	src=$here/source
	tools
	read -r -a packages <<< "$(compilers | tr '\n' ' ')"
	"$top/scripts/lab" install gcc make flex bison bc libelf-dev libssl-dev \
		libdw-dev cpio kmod perl python3 "${packages[@]}" >&2
	mkdir -p "$here/out"
	exec 9>"$here/lock"
	flock 9
	link_tree
	"$top/scripts/graft" --no-tests "$src"
	configure
	left_out
	compile_kernel "$from"
	collect_grafted
	echo "$here"
}
