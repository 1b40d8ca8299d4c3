#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# once: dovecot's settings are others with each release
#
# Cases that people report, with the programs that they have: see
# field.guest.sh. Runs on the host, boots a guest; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
exec scripts/lab run "${ROW:-bookworm}" --icount --root field --limit 1500 -- \
	../host/field.guest.sh
