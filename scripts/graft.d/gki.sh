# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The configurations and module lists of Android's trees. To be sourced by graft.
# shellcheck disable=SC2154 # graft's own

# What Kleaf packs, sorted
in_bzl='    "net/netfilter/halfrst/xt_HALFRST.ko",'
next_in_bzl='    "net/nfc/nfc.ko",'

# The option comes behind the last of these that a configuration speaks of
before_ours='AUDIT|CHECKSUM|CLASSIFY|CONNMARK|CONNSECMARK|CT|DSCP'

# Lines for the configuration of GKI, in the form of $lines
gki_lines()
{
	local f files=("${defconfigs[@]}") other

	if [ ${#files[@]} -eq 0 ]; then
		# 6.1's for riscv is a link to arm64's
		for f in "$tree"/arch/*/configs/gki_defconfig; do
			if [ ! -f "$f" ] || [ -L "$f" ]; then continue; fi
			files+=("${f#"$tree"/}")
		done
		[ ${#files[@]} -gt 0 ] ||
			die "$tree has no arch/*/configs/gki_defconfig;" \
				"name the device's own: --defconfig arch/...," \
				"or add $option=$gki to it yourself"
	fi
	for f in "${files[@]}"; do
		f=${f#"$tree"/}
		case $f in
		arch/*/configs/*) ;;
		*)	die "--defconfig $f: not in arch/*/configs" ;;
		esac
		[ -f "$tree/$f" ] || die "$tree has no $f"
		other=$(grep -xE "(# )?CONFIG_NETFILTER_XT_TARGET_($before_ours)(=[ym]| is not set)" \
			"$tree/$f" | tail -n 1)
		[ -n "$other" ] ||
			die "$tree/$f has no line that $option=$gki comes" \
				"behind in net/netfilter/Kconfig" \
				"(CONFIG_NETFILTER_XT_TARGET_DSCP=y or the like);" \
				"add it yourself"
		echo "$f|$option=$gki|after|$other"
	done
	# Not before 6.1; 6.18 has the list in another file
	[ "$gki" = m ] || return 0
	for f in bazel/modules_private.bzl modules.bzl; do
		[ ! -e "$tree/$f" ] ||
		   [ "$(times "$f" "$next_in_bzl")" = 0 ] || {
			echo "$f|$in_bzl|before|$next_in_bzl"
			break
		}
	done
}

# Whatever gki_lines() has ever put in
delete_gki()
{
	local f

	for f in $(cd "$tree" && grep -rlxs "$option=[ym]" arch/*/configs); do
		[ -L "$tree/$f" ] || sed -i "/^$option=[ym]\$/d" "$tree/$f"
	done
	for f in bazel/modules_private.bzl modules.bzl; do
		[ ! -e "$tree/$f" ] || delete "$f" "$in_bzl"
	done
}
