#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The extension under an iptables with whose headers it was not built. What an
# option's entry looks like changed between 1.8.9 and 1.8.11, and libxtables
# takes the one for the other. Here it is changed in the row's own header, so
# that both directions are tried on every row. Runs on the host, boots a guest;
# prints TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh

[ "$(row_has 2)" = amd64 ] ||
	skip_all "built for amd64 only, not for $row"
row_built

# as NAME MEMBERS: the extension with these members at the end of an entry
as()
{
	mkdir "$tmp/$1" &&
	sed "/^struct xt_option_entry {/,/^}/ s/unsigned int min, max.*;/$2/" \
		"build/lab/$row/chroot/usr/include/xtables.h" \
		>"$tmp/$1/xtables.h" &&
	cp kmod/xt_HALFRST.h xtables-ext/libxt_HALFRST.c "$tmp/$1" &&
	scripts/lab chroot "$row" "$tmp/$1" gcc -O2 -Wall -Wextra -Werror \
		-fPIC -shared -I/mnt -o /mnt/libxt_HALFRST.so \
		/mnt/libxt_HALFRST.c -lxtables &&
	mkdir -p "$tmp/with/$1" &&
	cp "$tmp/$1/libxt_HALFRST.so" "$tmp/with/$1"
}

as same '&'
as longer '& unsigned long more;'
as shorter ''
scripts/lab run "$row" --no-build --icount --limit 900 --with "$tmp/with" \
	--log "build/lab/log/$row.elsewhere.log" -- ../host/elsewhere.guest.sh
