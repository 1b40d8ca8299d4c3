#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has a workspace of its own
#
# What scripts/graft does to a tree for GKI: the configuration, the list of modules, the
# series that ACK wants. Runs on the host; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/aosp.sh

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
	[ "$(wc -l <"$tmp/series")" -lt 4500 ] &&
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

check 'a workspace for clang' workspace "$chroot" "$work"
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
echo "1..$n"
[ $failed -eq 0 ]
