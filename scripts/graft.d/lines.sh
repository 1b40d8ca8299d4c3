# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The lines that a graft puts into files of the tree, and takes out. To be
# sourced by graft.
# shellcheck disable=SC2154 # graft's own

# file | the line that is put in | where: before or after | which other line
# shellcheck disable=SC2016 # make's own variables
lines='
net/netfilter/Makefile|obj-$(CONFIG_NETFILTER_HALFRST) += halfrst/|before|obj-$(CONFIG_NETFILTER_XT_TARGET_HL) += xt_HL.o
net/netfilter/Kconfig|source "net/netfilter/halfrst/Kconfig"|before|config NETFILTER_XT_TARGET_HL
'
# What version 1 had in the Makefile
# shellcheck disable=SC2016,SC2034
was='obj-$(CONFIG_NETFILTER_XT_TARGET_HALFRST) += halfrst/'

# The selftests' line, beside one that is there: 5.4 has no forwarding
tools_line()
{
	local file=tools/testing/selftests/Makefile other='TARGETS += net/forwarding'

	[ ! -e "$tree/$file" ] || [ "$(times $file "$other")" != 0 ] ||
		other='TARGETS += net'
	lines+="$file|TARGETS += net/halfrst|after|$other"$'\n'
}

# each COMMAND [FOLDER]: COMMAND FILE LINE WHERE OTHER for every line that is put
# in (below FOLDER)
each()
{
	local file line where other

	while IFS='|' read -r file line where other; do
		[ -n "$file" ] || continue
		case $file in
		"${2:-}"*) ;;
		*)	continue ;;
		esac
		case $file in tools/*) has_tests || continue ;; esac
		"$1" "$file" "$line" "$where" "$other"
	done <<< "$lines"
}

times()
{
	grep -cxF -e "$2" "$tree/$1" || :
}

understood()
{
	[ -f "$tree/$1" ] || die "$tree has no $1"
	[ "$(times "$1" "$4")" = 1 ] ||
		die "$tree/$1 has no line \"$4\" to put HALFRST beside"
	[ "$(times "$1" "$2")" -le 1 ] ||
		die "$tree/$1 has \"$2\" more than once"
}

insert()
{
	local text=$2 command=i

	[ "$(times "$1" "$2")" = 0 ] || return 0
	case $1 in */Kconfig) text=$2'\n' ;; esac
	[ "$3" = before ] || command=a
	# sed writes a new file: the tree may share its files with another
	sed -i "/^$(pattern "$4")\$/$command\\
$text" "$tree/$1"
}

# With the empty line behind it, as it is put into Kconfig
delete()
{
	local and=d

	[ "$(times "$1" "$2")" != 0 ] || return 0
	# shellcheck disable=SC2016 # sed's own
	case $1 in */Kconfig) and='{N;s/.*\n\(.\)/\1/;t;d}' ;; esac
	sed -i "/^$(pattern "$2")\$/$and" "$tree/$1"
}

# A line as an address of sed
pattern()
{
	printf '%s\n' "$1" | sed 's,[]/.*$^[],\\&,g'
}

#
# MAINTAINERS
#

# Whose patches these are: GIT_*, or what git has been told
identity()
{
	git -c user.useConfigOnly=true var GIT_AUTHOR_IDENT 2>/dev/null ||
		echo 'HALFRST maintainers <halfrst@localhost>'
}

maintainers()
{
	echo 'HALFRST (RESET OF HALF-CLOSED TCP SOCKETS)'
	printf 'M:\t%s>\n' "$(identity | sed 's/>.*//')"
	printf 'L:\tnetfilter-devel@vger.kernel.org\n'
	printf 'S:\tMaintained\n'
	printf 'F:\t%s\n' "$header" "$module/"
	[ ! -e "$tree/$tests" ] || printf 'F:\t%s/\n' "$tests"
}

ours_of_maintainers()
{
	sed -n '/^HALFRST (/,/^$/p' "$tree/MAINTAINERS" | sed '/^$/d'
}

# In its alphabetical place: before the first name of the list that is greater,
# among those with an H
insert_maintainers()
{
	local at

	[ -f "$tree/MAINTAINERS" ] || return 0
	[ "$(ours_of_maintainers)" != "$(maintainers)" ] || return 0
	delete_maintainers
	at=$(LC_ALL=C awk '/^H/ && $0 > "HALFRST" && last == "" {
			print NR; exit } { last = $0 }' "$tree/MAINTAINERS")
	[ -n "$at" ] || return 0
	maintainers >"$work/maintainers"
	echo >>"$work/maintainers"
	sed -i "$((at - 1))r $work/maintainers" "$tree/MAINTAINERS"
}

delete_maintainers()
{
	! grep -qs '^HALFRST (' "$tree/MAINTAINERS" ||
		sed -i '/^HALFRST (/,/^$/d' "$tree/MAINTAINERS"
}
