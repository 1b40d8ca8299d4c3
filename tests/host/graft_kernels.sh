#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has kernels of its own
# slow: configures two kernel trees
#
# Grafted kernels: each patch of the series builds, and what the kernel's own
# tools say about it; with HALFRST_LONG=1 such kernels are built, booted and
# tested, HALFRST built in and as a module, by gcc and by clang with CFI. Runs on
# the host; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh
versions='6.1 6.12'
module=net/netfilter/halfrst
target=CONFIG_NETFILTER_XT_TARGET_HALFRST
helper=CONFIG_NF_CONNTRACK_HALFRST

case $row in
bookworm|bookworm-arm64) ;;
*)	skip_all "grafted kernels are tested on bookworm's rows" ;;
esac

#
# The series
#

# A file for each patch
split()
{
	mkdir "$tmp/$version" &&
	scripts/graft --patch "$(scripts/kernel --source "$version")" \
		>"$tmp/series" &&
	[ "$(git mailsplit "-o$tmp/$version" "$tmp/series")" = 4 ]
}

# TP_STRUCT__entry() and its like, and a path, are laid out as in every trace
# header; who sends the series signs it; the first patch has an entry in
# MAINTAINERS for all of it. The tests are programs: what is said of kernel code
# is not about them.
strict()
(
	strict=(perl scripts/checkpatch.pl --strict --terse --quiet --no-summary)
	trace=PARENTHESIS_ALIGNMENT,OPEN_ENDED_LINE,SPACING
	unsigned=MISSING_SIGN_OFF,FILE_PATH_CHANGES
	texts=BAD_SIGN_OFF,CODE_INDENT,COMMIT_LOG_LONG_LINE,COMMIT_MESSAGE
	texts+=,CORRUPTED_PATCH,DOS_LINE_ENDINGS,EXECUTE_PERMISSIONS
	texts+=,MAINTAINERS_STYLE,PATCH_PREFIX,SPDX_LICENSE_TAG
	texts+=,TRAILING_WHITESPACE
	rc=0
	cd "$grafted" || exit
	"${strict[@]}" --ignore $trace -f "$module/halfrst_trace.h" || rc=1
	find "$module" include/uapi/linux/netfilter/xt_HALFRST.h -type f \
		! -name halfrst_trace.h -print0 |
		xargs -0 "${strict[@]}" -f || rc=1
	for f in "$tmp/$version"/000[123]; do
		"${strict[@]}" --ignore "$unsigned,$trace" "$f" || rc=1
	done
	"${strict[@]}" --types $texts "$tmp/$version/0004" || rc=1
	exit $rc
)

# Step by step into the tree that the kernel is built of
each_builds()
(
	exec 9>"$grafted.lock"
	flock 9
	rc=0
	scripts/graft --remove "$grafted" && cp -p "$built/.config" "$tmp/config" &&
	in_steps || rc=1
	# newer than what has been made of another one
	cp "$tmp/config" "$built/.config" && scripts/graft "$grafted" || rc=1
	exit $rc
)

# The core alone is in no kernel; either front end is, without the other
in_steps()
{
	# shellcheck disable=SC2016 # make's own
	step 1 && configured_as && echo 'obj-y += $(halfrst-core)' \
		>>"$grafted/$module/Makefile" &&
	makes CONFIG_NETFILTER_HALFRST=y && made halfrst_fin halfrst_look &&
	sed -i '$d' "$grafted/$module/Makefile" &&
	step 2 && configured_as $target=y && makes && made halfrst_target &&
	step 3 && configured_as $target=y $helper=y && makes &&
		made halfrst_helper halfrst_target halfrst_fin &&
	configured_as $helper=y && makes && made halfrst_helper halfrst_fin &&
	configured_as $target=m $helper=m && makes && made halfrst_helper &&
	step 4 && scripts/graft "$grafted" >"$tmp/said" && [ ! -s "$tmp/said" ]
}

step()
{
	patch -s -p1 -d "$grafted" <"$tmp/$version/000$1"
}

# These options, and none of the others
configured_as()
{
	grep -v HALFRST "$tmp/config" >"$built/.config" &&
	printf '%s\n' "$@" >>"$built/.config" &&
	make -s -C "$built" olddefconfig </dev/null || return
	for option in $target $helper; do
		case " $* " in
		*" $option="*) ;;
		*)	set -- "$@" "# $option is not set" ;;
		esac
	done
	for option; do
		case $option in
		'#'*)	! grep -q "^${option#\# }=" "$built/.config" ;;
		*)	grep -x "$option" "$built/.config" ;;
		esac || return
	done
}

makes()
{
	rm -f "$built/$module/"*.o
	make -C "$built" W=1 "$@" "$module/" >"$tmp/make" 2>&1 </dev/null ||
		{ tail "$tmp/make"; return 1; }
	! grep -E 'halfrst.*(warning|error):' "$tmp/make"
}

made()
{
	for name; do
		[ -s "$built/$module/$name.o" ] || return
	done
}

#
# The whole
#

# It ran on each file, and neither it nor gcc said a word about ours
sparse_says()
{
	rm -f "$built/$module/"*.o
	make -C "$built" C=1 W=1 "$module/" >"$tmp/make" 2>&1 ||
		{ tail "$tmp/make"; return 1; }
	[ "$(grep -c "^ *CHECK .*$module/" "$tmp/make")" = \
		"$(find kmod -name '*.c' ! -name '*.mod.c' | wc -l)" ] ||
		{ cat "$tmp/make"; return 1; }
	! grep -E "$module/.*(warning|error):" "$tmp/make"
}

# As a module, too, and the target only where advanced ones are asked for
configured()
{
	grep -x "$target=y" "$built/.config" &&
	sed "s/^$target=y/$target=m/" "$built/.config" >"$tmp/config" &&
	asked && grep -x "$target=m" "$tmp/config" &&
	# its core is in that module
	! grep -x "$helper=y" "$tmp/config" &&
	sed -i 's/^\(CONFIG_NETFILTER_ADVANCED\)=y/# \1 is not set/' \
		"$tmp/config" && asked && ! grep "$target" "$tmp/config"
}

asked()
{
	make -C "$built" KCONFIG_CONFIG="$tmp/config" olddefconfig </dev/null
}

#
# In a guest
#

# What is asked of a kernel that has HALFRST in it: all that runs in a guest
boots()
{
	local names=() f

	for f in tests/guest/test_*.c tests/guest/test_*.sh; do
		f=${f##*/test_}
		names+=("${f%.*}")
	done
	scripts/check --row "$row" --kernel "$1" "${names[@]}" >"$tmp/check" ||
		{ cat "$tmp/check"; return 1; }
	tail -n 1 "$tmp/check"
}

if [ "$row" = bookworm ]; then
	scripts/lab install git make patch perl sparse unifdef
	for version in $versions; do
		if ! built=$(scripts/kernel --prepare "builtin-$version"); then
			check "$version: a grafted tree can be configured" false
			continue
		fi
		built=$built/tree
		grafted=$PWD/build/kernel/grafted-$version
		check "$version: depends on what it needs" configured
		check "$version: a series of four patches" split
		check "$version: checkpatch --strict finds nothing" strict
		if [ "$(uname -m)" = x86_64 ]; then
			check "$version: each patch builds" each_builds
			check "$version: sparse and gcc find nothing" sparse_says
		else
			skip "$version: each patch builds; sparse finds nothing" \
				'the tree is configured for x86'
		fi
	done
fi
for version in $versions; do
	for kind in builtin module builtin-cfi module-cfi; do
		case $version:$kind in 6.1:*-cfi) continue ;; esac
		kernel=${kind%-cfi}-$version
		[ "$row" = bookworm ] || kernel+=-arm64
		kernel+=${kind#"${kind%-cfi}"}
		if [ -z "${HALFRST_LONG:-}" ]; then
			skip "$kernel: boots and passes the tests" \
				'takes hours; HALFRST_LONG=1 or --long'
		else
			check "$kernel: boots and passes the tests" boots "$kernel"
		fi
	done
done
echo "1..$n"
[ $failed -eq 0 ]
