#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has kernels of its own
# slow: unpacks and configures two kernel trees
#
# scripts/graft on real kernel trees: in, again, out, as a patch, and where it
# must refuse; what the kernel's own tools say about the grafted files; with
# HALFRST_LONG=1 such kernels are built, booted and tested, HALFRST built in
# and as a module, by gcc and by clang with CFI. Runs on the host; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
row=${ROW:-bookworm}
versions='6.1 6.12'
module=net/netfilter/halfrst
tests=tools/testing/selftests/net/halfrst

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
. tests/lib/tap.sh

case $row in
bookworm|bookworm-arm64) ;;
*)	skip_all "grafted kernels are tested on bookworm's rows" ;;
esac

#
# The tree
#

# What a graft can see, as Debian has it, in $tmp/tree and $tmp/original
new_tree()
{
	rm -rf "$tmp/tree" "$tmp/original"
	mkdir "$tmp/original" &&
	(cd "$source" && cp -a --parents Makefile Kbuild Kconfig net/netfilter \
		tools/testing/selftests/Makefile tools/testing/selftests/net \
		"$tmp/original") &&
	cp -a "$tmp/original" "$tmp/tree"
}

# quiet ARG...: no word, neither
quiet()
{
	local said

	said=$(scripts/graft "$@" 2>&1) && [ -z "$said" ] && return
	echo "$said"
	return 1
}

# Three lines and two folders
puts_in()
{
	quiet "$tmp/tree" &&
	{ diff -rq "$tmp/original" "$tmp/tree" || :; } | sort >"$tmp/differ" &&
	diff "$tmp/differ" - <<-END &&
	Files $tmp/original/net/netfilter/Kconfig and $tmp/tree/net/netfilter/Kconfig differ
	Files $tmp/original/net/netfilter/Makefile and $tmp/tree/net/netfilter/Makefile differ
	Files $tmp/original/tools/testing/selftests/Makefile and $tmp/tree/tools/testing/selftests/Makefile differ
	Only in $tmp/tree/net/netfilter: halfrst
	Only in $tmp/tree/tools/testing/selftests/net: halfrst
	END
	{ diff -r "$tmp/original" "$tmp/tree" || :; } |
		grep '^[<>]' >"$tmp/differ" &&
	diff "$tmp/differ" - <<-'END' &&
	> source "net/netfilter/halfrst/Kconfig"
	> 
	> obj-$(CONFIG_NETFILTER_XT_TARGET_HALFRST) += halfrst/
	> TARGETS += net/halfrst
	END
	for f in kmod/*.[ch]; do
		[ "${f%.mod.c}" != "$f" ] ||
			cmp "$f" "$tmp/tree/$module/${f##*/}" || return
	done
}

# Contents, modes and times, so that make has nothing to do
state()
{
	(cd "$1" && find . -printf '%P %m %s %T@ %l\n' | sort)
}

# As above without times: sed has written some files anew
contents()
{
	(cd "$1" && find . -printf '%P %m %y %l\n' | sort &&
		find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

same()
{
	contents "$1" >"$tmp/one" && contents "$2" | diff "$tmp/one" -
}

again()
{
	state "$tmp/tree" >"$tmp/before" && quiet "$tmp/tree" &&
	state "$tmp/tree" | diff "$tmp/before" -
}

# An older graft becomes this one, its objects stay
up_to_date()
{
	contents "$tmp/tree" >"$tmp/before" &&
	echo '/* old */' >"$tmp/tree/$module/halfrst_watch.c" &&
	echo '/* was here once */' >"$tmp/tree/$module/halfrst_old.c" &&
	rm "$tmp/tree/$tests/settings" &&
	touch "$tmp/tree/$module/halfrst_watch.o" &&
	quiet "$tmp/tree" && rm "$tmp/tree/$module/halfrst_watch.o" &&
	contents "$tmp/tree" | diff "$tmp/before" -
}

takes_out()
{
	touch "$tmp/tree/$module/"{xt_HALFRST.mod.c,halfrst_watch.o} &&
	quiet --remove "$tmp/tree" && same "$tmp/original" "$tmp/tree" &&
	quiet --remove "$tmp/tree" && same "$tmp/original" "$tmp/tree"
}

# With hard links to another tree, which must not notice
linked()
{
	rm -rf "$tmp/linked" &&
	contents "$tmp/original" >"$tmp/before" &&
	cp -al "$tmp/original" "$tmp/linked" && quiet "$tmp/linked" &&
	contents "$tmp/original" | diff "$tmp/before" - &&
	quiet --remove "$tmp/linked" && same "$tmp/original" "$tmp/linked"
}

in_git()
{
	git -C "$tmp/tree" -c user.name=Test -c user.email=test@localhost \
		-c init.defaultBranch=main -c commit.gpgSign=false \
		-c core.excludesFile= -c core.hooksPath=/dev/null "$@"
}

patch_applies()
{
	scripts/graft --patch "$tmp/tree" >"$tmp/patch" &&
	same "$tmp/original" "$tmp/tree" &&
	in_git init -q && in_git add -f . && in_git commit -q -m tree &&
	in_git am -q "$tmp/patch" && [ -z "$(in_git status --short)" ] &&
	rm -rf "$tmp/tree/.git" "$tmp/linked" &&
	cp -a "$tmp/original" "$tmp/linked" && quiet "$tmp/linked" &&
	same "$tmp/linked" "$tmp/tree" &&
	quiet --remove "$tmp/tree" && same "$tmp/original" "$tmp/tree"
}

# A vendor's tree may have thrown them away
without_selftests()
{
	rm -rf "$tmp/original/tools" "$tmp/tree/tools" &&
	quiet "$tmp/tree" && [ -f "$tmp/tree/$module/Kconfig" ] &&
	[ ! -e "$tmp/tree/tools" ] && quiet --remove "$tmp/tree" &&
	same "$tmp/original" "$tmp/tree"
}

#
# Trees that it does not understand
#

# refuses WORDS [OPTION]: says so, and touches nothing
refuses()
{
	local words=$1 rc=0

	shift
	state "$tmp/tree" >"$tmp/before"
	scripts/graft "$@" "$tmp/tree" >"$tmp/said" 2>&1 || rc=$?
	if [ $rc -ne 1 ] || ! grep -q "^graft: .*$words" "$tmp/said"; then
		echo "exit status $rc:"
		cat "$tmp/said"
		return 1
	fi
	state "$tmp/tree" | diff "$tmp/before" -
}

refuse()
{
	local tree=$tmp/tree

	rm -rf "$tree" && mkdir "$tree"
	check 'refuses an empty folder' refuses 'no kernel tree'
	rm -rf "$tree" && mkdir "$tree" && cp -R Kbuild Makefile kmod "$tree"
	check 'refuses what is no kernel' refuses 'no kernel tree'

	new_tree && rm "$tree/net/netfilter/Kconfig"
	check 'refuses a tree without net/netfilter/Kconfig' \
		refuses 'no net/netfilter/Kconfig'
	new_tree && sed -i '/xt_HL.o/d' "$tree/net/netfilter/Makefile"
	check 'refuses a Makefile that it does not know' \
		refuses 'Makefile has no line'
	new_tree && mkdir "$tree/$module" && echo x >"$tree/$module/Kconfig"
	check 'refuses to overwrite a folder of that name' refuses 'not from here'
	check 'refuses to remove it' refuses 'not from here' --remove

	new_tree && scripts/graft "$tree"
	check 'refuses a patch for a tree that has it' \
		refuses 'HALFRST already' --patch
	sed -i '/halfrst/d' "$tree/net/netfilter/Makefile"
	check 'refuses a tree without the line in Makefile' \
		refuses 'half-grafted.*not there: net/netfilter/Makefile'
	check '--remove mends it' takes_out
	scripts/graft "$tree" && rm -r "${tree:?}/$module"
	check 'refuses a tree without the sources' \
		refuses "half-grafted.*not there: $module"
	check '--remove mends it' mended
	scripts/graft "$tree" && sed -i 's,^source "net/netfilter/halfrst.*,&\n&,' \
		"$tree/net/netfilter/Kconfig"
	check 'refuses a line that is there twice' refuses 'more than once'
	check 'refuses to remove one of them' refuses 'more than once' --remove
}

mended()
{
	quiet --remove "$tmp/tree" && same "$tmp/original" "$tmp/tree"
}

#
# The kernel's own tools
#

# TP_STRUCT__entry() and its like are laid out as in every trace header
strict()
(
	rc=0
	cd "$grafted" || exit
	perl scripts/checkpatch.pl --strict --terse --quiet --no-summary \
		--ignore PARENTHESIS_ALIGNMENT,OPEN_ENDED_LINE \
		-f "$module/halfrst_trace.h" || rc=1
	find "$module" -type f ! -name halfrst_trace.h -print0 |
		xargs -0 perl scripts/checkpatch.pl --strict --terse --quiet \
		--no-summary -f || rc=1
	exit $rc
)

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

# As a module, too, and only where advanced targets are asked for
configured()
{
	local option=CONFIG_NETFILTER_XT_TARGET_HALFRST

	grep -x "$option=y" "$built/.config" &&
	sed "s/^$option=y/$option=m/" "$built/.config" >"$tmp/config" &&
	asked && grep -x "$option=m" "$tmp/config" &&
	sed -i 's/^\(CONFIG_NETFILTER_ADVANCED\)=y/# \1 is not set/' \
		"$tmp/config" && asked && ! grep "$option" "$tmp/config"
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
	scripts/lab install git perl sparse make
	for version in $versions; do
		source=$(scripts/kernel --source "$version") || source=
		if [ -z "$source" ]; then
			skip "$version: graft" "no linux-source-$version here"
			continue
		fi
		new_tree
		check "$version: puts in three lines and two folders" puts_in
		check "$version: once more changes nothing" again
		check "$version: an older graft is brought up to date" up_to_date
		check "$version: --remove leaves the tree as it was" takes_out
		check "$version: a tree of hard links" linked
		check "$version: --patch is taken by git am, to the same end" \
			patch_applies
		check "$version: a tree without selftests" without_selftests
	done
	refuse
	for version in $versions; do
		if ! built=$(scripts/kernel --prepare "builtin-$version"); then
			check "$version: a grafted tree can be configured" false
			continue
		fi
		built=$built/tree
		grafted=build/kernel/grafted-$version
		check "$version: depends on what it needs" configured
		check "$version: checkpatch --strict finds nothing" strict
		if [ "$(uname -m)" = x86_64 ]; then
			check "$version: sparse and gcc find nothing" sparse_says
		else
			skip "$version: sparse and gcc find nothing" \
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
