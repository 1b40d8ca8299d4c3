# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What every kernel is built by. To be sourced by kernel.
#
# A caller sets: name, here (build/kernel/NAME), tree (what is built, O=), src
# (the source), parts (fragments of kernel.d), make (what make is told), image;
# perhaps tools (a fragment that nobody asks for afterwards), without (a pattern).
# shellcheck disable=SC2154 # the caller has these

say()
{
	echo "kernel: $*" >&2
}

quietly()
{
	if ! "$@" >"$here/make.log" 2>&1 </dev/null; then
		# with -j the reason is far above the end
		grep -m 20 -E 'error: |undefined reference|\*\*\* ' \
			"$here/make.log" >&2 || tail -n 40 "$here/make.log" >&2
		say "$name could not be built, see $here/make.log"
		exit 1
	fi
}

# The options that have to be in the kernel in the end
wanted()
{
	local part

	for part in $parts; do
		grep -vE "^#${without:+|$without}" \
			"$top/scripts/kernel.d/$part.config"
	done
}

# What other options are there is the tree's business
configure()
{
	rm -f "$here/vmlinuz"
	mkdir -p "$tree"	# make knows what of an old one to build again
	quietly make -C "$src" O="$tree" "${make[@]}" tinyconfig
	wanted >"$here/wanted"
	# Debian's certificates and the module signing are not ours.
	{
		sed -E '/^CONFIG_(CC_OPTIMIZE_FOR_SIZE|PREEMPT_NONE|HZ_[0-9]+|KERNEL_XZ|SLOB|SLUB_TINY|EMBEDDED|LTO_NONE|DEBUG_INFO_NONE)=/d' \
			"$tree/.config"
		echo '# CONFIG_DEBUG_INFO_BTF is not set'
		cat "$here/wanted"
		[ -z "${tools:-}" ] || cat "$top/scripts/kernel.d/$tools.config"
		echo 'CONFIG_KERNEL_GZIP=y'
		echo 'CONFIG_LOCALVERSION="-'"$name"'"'
		echo 'CONFIG_SYSTEM_TRUSTED_KEYS=""'
		[ -z "${options[*]:-}" ] || printf '%s\n' "${options[@]}"
	} >"$here/config"
	cp "$here/config" "$tree/.config"
	quietly make -C "$tree" "${make[@]}" olddefconfig
}

# What is wanted and not to be had; what is not wanted (=n) only takes time
missing()
{
	grep -v '=n$' "$here/wanted" | grep -vxFf "$tree/.config" || :
}

compile_kernel()
{
	local f

	say "$name: building $1 on $(nproc) CPUs"
	quietly make -C "$tree" "${make[@]}" -j"$(nproc)" \
		"${image##*/}" $modules
	# before 5.7 or so made with the modules
	[ -f "$tree/modules.builtin" ] ||
		quietly make -C "$tree" "${make[@]}" modules.builtin
	make -s -C "$tree" "${make[@]}" kernelrelease >"$here/release"
	mkdir -p "$here/modules"
	# the last one is not before 5.2
	for f in modules.order modules.builtin modules.builtin.modinfo; do
		[ ! -f "$tree/$f" ] || cp "$tree/$f" "$here/modules"
	done
	cp "$tree/$image" "$here/vmlinuz"
}

# What is in the tree already is built with it.
collect_grafted()
{
	local ko

	no_warnings 'halfrst.*warning:'
	rm -f "$here"/out/*.ko
	for ko in "$tree"/net/netfilter/halfrst/*.ko; do
		[ ! -f "$ko" ] || cp "$ko" "$here/out"
	done
}

no_warnings()
{
	if grep "$1" "$here/make.log" >&2; then
		say "warnings are errors here"
		exit 1
	fi
}
