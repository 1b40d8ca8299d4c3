# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A row made ready: its packages, and the project built for its kernel. To be
# sourced by lab.
# shellcheck disable=SC2034,SC2154,SC2317 # shared with lab; "made" calls by name

# What is written, and not built of it
written=(! -name '*.o' ! -name '*.ko' ! -name '*.cmd' ! -name '*.mod' ! -name '*.mod.c'
	! -name '*.so' ! -name '*.symvers' ! -name modules.order)

# Sources decide whether to build again; a failed build leaves no mark.
sum()
{
	(cd "$top" && find "$@" -type f "${written[@]}" ! -name '*.md' -print0 \
		2>/dev/null | sort -z | xargs -0r sha256sum;
		cat "$here/chroot.recipe") | sha256sum
}

# The mounts and processes end with the namespaces they are in. What $mnt names
# is /mnt there.
in_chroot()
{
	# shellcheck disable=SC2016 # expanded by the inner shell
	mnt=${mnt:-} unshare -m -p -f sh -c 'mount -t proc proc "$1/proc" &&
		{ [ -z "$mnt" ] || mount --bind "$mnt" "$1/mnt"; } && exec env -i \
		PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root \
		"PKG_CONFIG_LIBDIR=${PKG_CONFIG_LIBDIR:-}" chroot "$@"' - \
		"$here/chroot" "$@"
}

cmd_chroot()
{
	local mnt

	[ $# -ge 3 ] || usage "run what, beside which row's compiler?"
	pick_row "$1"
	[ -d "$here/chroot" ] || die 121 "$row is not built; see: lab build"
	mnt=$(realpath "$2")
	shift 2
	in_chroot "$@"
}

# mirror DIR...: $src has what is here. What has not changed keeps its time, so that
# make builds what has. A makefile changes everything.
mirror()
{
	local file here=$src/.here there=$src/.there

	(cd "$top" && find "$@" -type f "${written[@]}" | sort) >"$here"
	grep -E '(^|/)(Makefile|Kbuild)$' "$here" | while IFS= read -r file; do
		cmp -s "$top/$file" "$src/$file" || touch "$src/.anew"
	done
	if [ -e "$src/.anew" ]; then
		(cd "$src" && rm -rf -- "$@")
		rm "$src/.anew"
	fi
	(cd "$src" && find "$@" -type f -name '*.*' "${written[@]}" 2>/dev/null |
		sort | comm -13 .here - >"$there" && xargs -rd '\n' rm <"$there")
	(
		cd "$top"
		while IFS= read -r file; do
			cmp -s "$file" "$src/$file" || echo "$file"
		done <"$here" >"$there"
		xargs -rd '\n' cp --parents -t "$src" <"$there"
		xargs -rd '\n' cp --parents --attributes-only \
			--preserve=mode -t "$src" <"$here"
	)
}

compile()
{
	local rel out=$here/out log=$lab/log/$row.make.log src=$here/chroot/src
	local want cross=() cc=() triplet=x86_64-linux-gnu jobs

	jobs=-j$(nproc)
	rel=$(cat "$here/release")
	if [ "$arch" = arm64 ]; then
		triplet=aarch64-linux-gnu
		cross=(ARCH=arm64 "CROSS_COMPILE=$triplet-" "CC=$triplet-gcc")
		cc=("CC=$triplet-gcc")
	fi
	export PKG_CONFIG_LIBDIR=/usr/lib/$triplet/pkgconfig:/usr/share/pkgconfig
	# what somebody has copied is his, maybe by hard links
	[ "$(cat "$src/.of" 2>/dev/null)" = "$top" ] || rm -rf "$src"
	mkdir -p "$src" "$out"
	echo "$top" >"$src/.of"

	want=$(sum kmod xtables-ext Kbuild Makefile)
	if [ "$want" != "$(cat "$out/module.sum" 2>/dev/null)" ]; then
		say "$row: building module and extension for $rel"
		rm -f "$out/module.sum"
		mirror kmod xtables-ext Kbuild Makefile
		# what has failed or warned is built again as a whole
		: >"$src/.anew"
		quietly "$log" in_chroot make -C /src "$jobs" W=1 "${cross[@]}" \
			"KDIR=/lib/modules/$rel/build" modules ext || return
		# About a compiler one point release away from the kernel's;
		# says nothing about the code.
		if grep -i 'warning:' "$log" | grep -v 'the compiler differs' >&2
		then
			say "$row: warnings are errors here"
			return 1
		fi
		rm "$src/.anew"
		in_chroot pkg-config --variable=xtlibdir xtables >"$out/xtlibdir"
		cp "$src"/kmod/{xt_HALFRST,nf_conntrack_halfrst}.ko "$out"
		mnt=$out in_chroot "$triplet-strip" -g \
			/mnt/xt_HALFRST.ko /mnt/nf_conntrack_halfrst.ko
		cp "$src/xtables-ext/libxt_HALFRST.so" "$out"
		echo "$want" >"$out/module.sum"
	fi

	want=$(sum kmod tests)
	if [ "$want" != "$(cat "$out/tests.sum" 2>/dev/null)" ]; then
		say "$row: building the tests"
		rm -rf "$out/tests.sum" "$out/tests"
		mirror kmod
		mirror tests
		quietly "$log" in_chroot make -C /src/tests "$jobs" "${cc[@]}" &&
		quietly "$log" in_chroot make -C /src/tests/bench "$jobs" \
			"${cc[@]}" || return
		(cd "$src" && find tests -type f ! -name '*.o' -print0 |
			cpio --quiet -0pdm "$out")
		cp "$src"/kmod/android/*.sh "$out/tests/guest"
		echo "$want" >"$out/tests.sum"
	fi
}

# build [SET]: the row with a set's user space, which is unpacked beside the compiler,
# as either takes one CPU
build()
{
	local set=$1 root=root packages recipe user_space

	mkdir -p "$here" "$lab/log"
	tools
	packages=$(trim "$base_set")
	if [ -n "$set" ]; then
		packages+=" $(set_packages "$set")" || exit
		root=root-$set
	fi
	{
		made "$here/$root" "1 $arch $suites $packages" \
			make_root "$packages" ||
			{ echo "$why" >"$here/$root.why"; exit 1; }
	} &
	user_space=$!
	packages=$(trim "$(build_packages)")
	recipe="1 $arch $suites $packages"
	made "$here/chroot" "$recipe" make_chroot "$packages" ||
		die 121 "$row cannot be had: ${why:-no compiler or kernel}"
	made "$here/modules" "3 $recipe $(cat "$here/chroot/kernel/release")" \
		make_modules || die 121 "$row cannot be had: no modules"
	if ! wait "$user_space"; then
		why=$(cat "$here/$root.why")
		die 121 "$row cannot be had: ${why:-no user space}"
	fi
	[ -n "$set" ] || lean_archive
	compile || die 122 "$row: HALFRST does not build"
}

cmd_build()
{
	[ $# -eq 1 ] || usage "build what?"
	pick_row "$1"
	mkdir -p "$here"
	exec 9>"$here/lock"
	flock 9
	build ''
}
