#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A chapter of service.sh: what the documents tell somebody to do on such a host.
# Prints TAP.
set -eu

. "$(dirname "$0")/common.sh"

# A block of commands, in this project's tree
documented()
{
	(cd ../../with/tree && bash -eux "$1" </dev/null)
}

systemctl is-system-running --wait || :
for block in "$PWD"/../../with/host/*; do
	check "$(sed -n '1s/^# //p' "$block")" documented "$block"
done
echo "1..$n"
[ $failed -eq 0 ]
