# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The sources as this tree wants them: what kmod/Kbuild asks of a kernel's
# headers is answered, and what is for other kernels left out. To be sourced by
# graft.
# shellcheck disable=SC2154 # graft's own

# Sets known: what unifdef is to be told; and questions, a pattern of their names
questions()
{
	local name names given

	[ -e "$tree/include/net/sock.h" ] || die "$tree has no include/net/sock.h"
	command -v unifdef >/dev/null || "$top/scripts/lab" install unifdef >&2
	given=$(make -s --no-print-directory -f "$top/kmod/Kbuild" \
		srctree="$tree" --eval 'answers: ; @echo $(ccflags-y)' answers) ||
		die "kmod/Kbuild does not understand $tree"
	names=$(grep -hE '^#[[:space:]]*(if|elif)' "$top"/kmod/*.[ch] |
		grep -oE 'HALFRST_(HAVE|NO)_[A-Z0-9_]+' | sort -u)
	questions=$(echo "$names" | paste -sd'|')
	known=() or=()
	for name in $names; do
		case " $given " in
		*" -D$name "*)
			known+=("-D$name")
			# what unifdef leaves, where the rest is unknown
			or+=(-e "s/!defined($name) || //")
			;;
		*)	known+=("-U$name") ;;
		esac
	done
}

sources()
{
	find "$top/$1" -maxdepth 1 -name "$2" ! -name '*.mod.c' | sort
}

# part FILE: of which it is
part()
{
	case $1 in
	halfrst_target.c) echo target ;;
	halfrst_helper.c) echo helper ;;
	*)	echo core ;;
	esac
}

# resolved FILE: without other kernels, and without a version, which the kernel
# has of its own. The header is the kernel's, and the trace's is found where all
# of the kernel's are.
resolved()
{
	local rc=0

	# comparisons of an answer with the kernel's own macros have had their time
	sed -e "/^#if defined(HALFRST_[A-Z_]*) == /,/^#endif/d" "${or[@]}" "$1" |
		unifdef -B "${known[@]}" >"$work/unifdef" || rc=$?
	[ $rc -le 1 ] || die "unifdef does not understand $1"
	sed -z -e 's/, version "\n[[:space:]]*XT_HALFRST_VERSION/"/' \
		-e 's,/\* Of module and extension \*/\n#define XT_HALFRST_VERSION[^\n]*\n\n,,' \
		"$work/unifdef" |
	sed -e '/^MODULE_VERSION(/d' -e '/pr_info("version " XT_HALFRST_VERSION/d' \
		-e "s,^#if  *,#if ,; s,\(#define TRACE_INCLUDE_PATH\) \.\$,\1 ../../$module," |
	awk -v uapi='#include <linux/netfilter/xt_HALFRST.h>' '
		# moved to where it is sorted
		$0 == "#include \"xt_HALFRST.h\"" { late = 1; next }
		{ line[NR] = $0 }
		/^#include <linux\// && $0 < uapi { at = NR }
		/^#include </ && !first { first = NR }
		/^#define _/ && !first { guard = NR }
		END {
			for (i = 1; i <= NR; i++) {
				if (late && !at && i == first)
					print uapi
				if (i in line)
					print line[i]
				if (late && (at ? i == at : !first && i == guard)) {
					if (!at)
						print ""
					print uapi
				}
			}
		}' | cat -s
}

# What halfrst_compat.h begins with is about its use out of a tree
compat()
{
	awk 'NR == 1 { print; next }
		!over && /^ \*\// { over = 1
			print "/*"
			print " * What HALFRST wants of others, in words of its own: lookups, timers, helpers."
			print " */"
			next }
		over { print }'
}

# The kernel's own Makefile: kmod/Kbuild knows other ways to build as well
makefile()
{
	local core

	core=$(for f in $(sources kmod '*.c'); do
		f=${f##*/}
		[ "$(part "$f")" != core ] || echo "${f%.c}.o"
	done | paste -sd' ' | fold -s -w 52 | sed '$!s/ *$/ \\/; 2,$s/^/\t\t/')
	echo '# SPDX-License-Identifier: GPL-2.0-only'
	echo
	echo "halfrst-core := $core"
	case " $* " in *' target '*)
		cat <<-'END'

		obj-$(CONFIG_NETFILTER_XT_TARGET_HALFRST) += xt_HALFRST.o
		xt_HALFRST-y := halfrst_target.o $(halfrst-core)
		END
	esac
	case " $* " in *' helper '*)
		cat <<-'END'

		obj-$(CONFIG_NF_CONNTRACK_HALFRST) += nf_conntrack_halfrst.o
		nf_conntrack_halfrst-y := halfrst_helper.o
		ifdef CONFIG_NETFILTER_XT_TARGET_HALFRST
		CFLAGS_halfrst_helper.o := -DHALFRST_CORE_ELSEWHERE
		else
		nf_conntrack_halfrst-y += $(halfrst-core)
		endif
		END
	esac
}

# The options of these parts
kconfig()
{
	local part options=' NETFILTER_HALFRST '

	for part; do
		case $part in
		target)	options+='NETFILTER_XT_TARGET_HALFRST ' ;;
		helper)	options+='NF_CONNTRACK_HALFRST ' ;;
		esac
	done
	awk -v options="$options" '
		/^# In a kernel tree only/ { next }
		/^config / { out = !index(options, " " $2 " ") }
		!out { lines = lines $0 "\n" }
		END { sub(/\n+$/, "", lines); print lines }' "$top/kmod/Kconfig"
}

# stage_module PART...: in $staged, and the header for user space in $staged.h
stage_module()
{
	local f name

	rm -rf "$staged"
	mkdir -p "$staged"
	for f in $(sources kmod '*.[ch]'); do
		name=${f##*/}
		case " $* " in *" $(part "$name") "*) ;; *) continue ;; esac
		case $name in
		xt_HALFRST.h)
			resolved "$f" | sed '1s/GPL-2.0-only/& WITH Linux-syscall-note/' \
				>"$staged.h"
			;;
		halfrst_compat.h) resolved "$f" | compat >"$staged/$name" ;;
		*)	resolved "$f" >"$staged/$name" ;;
		esac
	done
	makefile "$@" >"$staged/Makefile"
	kconfig "$@" >"$staged/Kconfig"
	if grep -nwE "$questions|HALFRST_HAVE_.*|MODULE_VERSION|XT_HALFRST_VERSION" \
		"$staged"/* "$staged.h" >&2 ||
	   grep -nF -e '$(shell' -e '"xt_HALFRST.h"' "$staged"/* >&2; then
		die 'the sources do not become a part of a kernel'
	fi
}

stage_tests()
{
	rm -rf "$staged"
	mkdir -p "$staged"
	# shellcheck disable=SC2046 # words
	cp "$top"/tests/kselftest/{Makefile,config,settings,.gitignore,tap.c} \
		$(sources tests/guest '*.c') $(sources tests/lib '*.[ch]') "$staged"
}
