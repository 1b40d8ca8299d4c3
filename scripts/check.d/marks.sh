# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# To be sourced by check and check.d/one.

# says WORD FILE: what stands behind that word in a comment of a test's first lines
says()
{
	sed -n "1,30s,^[/#* ]*$1: *,,p" "$2" | sed 's,\*/.*,,;q'
}
