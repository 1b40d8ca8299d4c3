#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has kernels of its own
# slow: builds three kernels
#
# The kernels that look for mistakes find them: each mistake that one is there for is
# made on it by a module, mistakes/halfrst_mistake.c, and has to be in the kernel's log. A
# guest with nothing wrong ends well, and so does one with a race of the same module by
# another name, one that is not HALFRST's. Runs on the host, boots guests; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh

[ "$row" = bookworm ] || skip_all "the kernels have bookworm's user space"
[ "$(uname -m)" = x86_64 ] || skip_all "the kernels are built for x86-64 here"
row_built

# kernel NAME: builds it, and the module for it
kernel()
{
	here=$(scripts/kernel "$1") &&
	rm -rf "$tmp/with" && cp -R tests/host/mistakes "$tmp/with" &&
	make -C "$here/tree" M="$tmp/with" modules
}

# guest MISTAKE [OPTION...]: as lab run ends; $module makes it
guest()
{
	local options=("${@:2}")

	[ $# -gt 1 ] || options=(--icount)
	scripts/lab run "$row" --no-build --lean --mem 2048 "${options[@]}" \
		--log "$tmp/kernel.log" --kernel "$here" --with "$tmp/with" -- \
		insmod "/halfrst/with/${module:-halfrst_mistake}.ko" "made=$1"
}

# found MISTAKE WORD [OPTION...]
found()
{
	local rc=0

	guest "$1" "${@:3}" >"$tmp/said" 2>&1 || rc=$?
	cat "$tmp/said"
	[ $rc -eq 125 ] && grep -q "$2" "$tmp/said"
}

# on_kernel NAME: then finds what it is there for
on_kernel()
{
	which=$1
	need "$which: built" kernel "$which" &&
		check "$which: nothing is found where nothing is wrong" \
			guest none
}

# finds MISTAKE WORD [OPTION...]
finds()
{
	check "$which: $1" found "$1" "$2" "${@:3}"
}

# A race of Linux's own is in its log, and no mistake
foreign_race()
{
	local module=foreign

	guest race_with_interrupt && grep 'KCSAN: data-race' "$tmp/kernel.log"
}

# What lockdep and its kin find
finds_locks()
{
	finds lock_in_other_order 'possible circular locking'
	finds sleep_under_lock 'sleeping function\|scheduling while atomic'
	finds read_without_rcu 'suspicious RCU usage'
}

if on_kernel kasan; then
	finds free_too_early 'KASAN: .*use-after-free'
	finds lose 'unreferenced object'
	finds free_timer 'ODEBUG: free active'
	finds shift_too_far 'UBSAN: shift-out-of-bounds'
	finds_locks
fi
if on_kernel kcsan; then
	finds race_with_interrupt 'KCSAN: data-race'
	finds race_with_cpu 'KCSAN: data-race' --smp 2
	check "$which: a race that is not HALFRST's is none" foreign_race
fi
if on_kernel rt-lockdep; then
	finds_locks
fi
echo "1..$n"
[ $failed -eq 0 ]
