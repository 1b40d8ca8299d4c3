#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has kernels of its own
# slow: unpacks two kernel trees
#
# scripts/graft on real kernel trees: in, again, out, as a series, and where it
# must refuse. Runs on the host; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh
versions='6.1 6.12'
module=net/netfilter/halfrst
tests=tools/testing/selftests/net/halfrst

[ "$row" = bookworm ] || skip_all "a tree is the same for every row"

#
# The tree
#

# What a graft can see, as Debian has it, in $tmp/tree and $tmp/original
new_tree()
{
	rm -rf "$tmp/tree" "$tmp/original"
	mkdir "$tmp/original" &&
	(cd "$source" && cp -a --parents Makefile Kbuild Kconfig MAINTAINERS \
		include/net include/linux include/uapi/linux/netfilter \
		net/netfilter tools/testing/selftests/Makefile \
		tools/testing/selftests/net "$tmp/original") &&
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

# Three lines, an entry, a header and two folders
puts_in()
{
	quiet "$tmp/tree" &&
	{ diff -rq "$tmp/original" "$tmp/tree" || :; } | sort >"$tmp/differ" &&
	diff "$tmp/differ" - <<-END &&
	Files $tmp/original/MAINTAINERS and $tmp/tree/MAINTAINERS differ
	Files $tmp/original/net/netfilter/Kconfig and $tmp/tree/net/netfilter/Kconfig differ
	Files $tmp/original/net/netfilter/Makefile and $tmp/tree/net/netfilter/Makefile differ
	Files $tmp/original/tools/testing/selftests/Makefile and $tmp/tree/tools/testing/selftests/Makefile differ
	Only in $tmp/tree/include/uapi/linux/netfilter: xt_HALFRST.h
	Only in $tmp/tree/net/netfilter: halfrst
	Only in $tmp/tree/tools/testing/selftests/net: halfrst
	END
	{ diff -r "$tmp/original" "$tmp/tree" || :; } |
		grep '^[<>]' >"$tmp/differ" &&
	sed 's/^> M:.*/> M:/' "$tmp/differ" | diff - <(sed 's/~/\t/' <<-'END'
	> HALFRST (RESET OF HALF-CLOSED TCP SOCKETS)
	> M:
	> L:~netfilter-devel@vger.kernel.org
	> S:~Maintained
	> F:~include/uapi/linux/netfilter/xt_HALFRST.h
	> F:~net/netfilter/halfrst/
	> F:~tools/testing/selftests/net/halfrst/
	> 
	> source "net/netfilter/halfrst/Kconfig"
	> 
	> obj-$(CONFIG_NETFILTER_HALFRST) += halfrst/
	> TARGETS += net/halfrst
	END
	) && sorted
}

# The entry stands between its neighbours
sorted()
{
	grep -xB1 -A1 '^H[A-Z0-9].*' "$tmp/tree/MAINTAINERS" |
		grep '^H' >"$tmp/names"
	grep -B1 -A1 '^HALFRST' "$tmp/names" | LC_ALL=C sort -c
}

# For this kernel alone, and without what the kernel has a version of its own for
for_this_kernel()
{
	local f files

	for f in kmod/*.[ch]; do
		case $f in
		*.mod.c|*/xt_HALFRST.h) ;;
		*)	[ -s "$tmp/tree/$module/${f##*/}" ] || return ;;
		esac
	done
	readarray -t files < <(find "$tmp/tree/$module" \
		"$tmp/tree/include/uapi/linux/netfilter/xt_HALFRST.h" -type f)
	[ ${#files[@]} -gt 10 ] &&
	# there is something to leave out
	grep -qE '^#if.*HALFRST_(HAVE|NO)_' kmod/*.[ch] &&
	grep -q MODULE_VERSION kmod/*.c && grep -q 'pr_info("version' kmod/*.c &&
	! grep -nE '^#.*HALFRST_(HAVE|NO)_|HALFRST_HAVE|_VERSION|"version|shell' \
		"${files[@]}" &&
	head -n 1 "$tmp/tree/include/uapi/linux/netfilter/xt_HALFRST.h" |
		grep -F 'GPL-2.0-only WITH Linux-syscall-note'
}

# A header that has changed is asked anew
asks_again()
{
	local header=$tmp/tree/include/linux/timer.h fills

	fills=$(fills) && cp -p "$header" "$tmp/header" &&
	if [ "$fills" = 0 ]; then
		sed -i 's/int timer_delete(/int del_timer(/' "$header"
	else
		echo 'int timer_delete(struct timer_list *timer);' >>"$header"
	fi &&
	quiet "$tmp/tree" && [ "$(fills)" = $((1 - fills)) ] &&
	cp -p "$tmp/header" "$header" && quiet "$tmp/tree" &&
	[ "$(fills)" = "$fills" ]
}

# Is a name that the header lacks given here?
fills()
{
	grep -c '^#define timer_delete_sync' \
		"$tmp/tree/$module/halfrst_compat.h" || :
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
	sed -i 's/(CONFIG_NETFILTER_HALFRST)/(CONFIG_NETFILTER_XT_TARGET_HALFRST)/' \
		"$tmp/tree/net/netfilter/Makefile" &&
	rm "$tmp/tree/include/uapi/linux/netfilter/xt_HALFRST.h" &&
	sed -i '/^HALFRST/,/^$/d' "$tmp/tree/MAINTAINERS" &&
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

# Four patches, each with a reason
series_applies()
{
	scripts/graft --patch "$tmp/tree" >"$tmp/series" &&
	same "$tmp/original" "$tmp/tree" &&
	in_git init -q && in_git add -f . && in_git commit -q -m tree &&
	in_git am -q -s "$tmp/series" && [ -z "$(in_git status --short)" ] &&
	in_git log --reverse --format=%s HEAD~4..HEAD | diff - <(cat <<-'END'
	netfilter: add HALFRST, which resets half-closed TCP sockets
	netfilter: xtables: add HALFRST target
	netfilter: conntrack: add HALFRST helpers
	selftests: net: add tests of HALFRST
	END
	) && for i in 0 1 2 3; do
		[ "$(in_git log -1 --format=%b "HEAD~$i" | wc -l)" -gt 5 ] ||
			return
	done &&
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
	new_tree && sed -i -e 's/^VERSION = .*/VERSION = 4/' \
		-e 's/^PATCHLEVEL = .*/PATCHLEVEL = 9/' "$tree/Makefile"
	check 'refuses Linux 4.9' refuses 'Linux 4.9.*needs 4.14'
	sed -i 's/^PATCHLEVEL = .*/PATCHLEVEL = 14/' "$tree/Makefile"
	check 'takes Linux 4.14' quiet "$tree"

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

scripts/lab install git make unifdef
for version in $versions; do
	source=$(scripts/kernel --source "$version") || source=
	if [ -z "$source" ]; then
		skip "$version: graft" "no linux-source-$version here"
		continue
	fi
	new_tree
	check "$version: puts in three lines, an entry and the files" puts_in
	check "$version: what is put in is for this kernel" for_this_kernel
	check "$version: once more changes nothing" again
	check "$version: a header that changes is asked again" asks_again
	check "$version: an older graft is brought up to date" up_to_date
	check "$version: --remove leaves the tree as it was" takes_out
	check "$version: a tree of hard links" linked
	check "$version: --patch is taken by git am, to the same end" \
		series_applies
	check "$version: a tree without selftests" without_selftests
done
refuse
echo "1..$n"
[ $failed -eq 0 ]
