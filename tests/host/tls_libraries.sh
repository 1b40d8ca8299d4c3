#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What TLS libraries say about a connection that was reset, see
# tls_libraries.guest.sh. Runs on the host, boots a guest; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
exec scripts/lab run "${ROW:-bookworm}" --icount --root tls --limit 900 -- \
	../host/tls_libraries.guest.sh
