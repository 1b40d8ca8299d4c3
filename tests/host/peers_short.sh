#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: the long form has the other rows
#
# peers.sh's short form: those of Python's modules that take least, as
# bystanders. Runs on the host, boots a guest; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh
here=$PWD/build/peers/$row/passes
# shellcheck disable=SC2034 # for the file below
peers_modules=(socketserver telnetlib httplib)
. tests/host/peers/suites.sh

if [ -n "${HALFRST_LONG:-}" ]; then
	skip_all 'peers.sh has these as well'
fi
prepare
suite python_short
suite late
echo "1..$n"
[ $failed -eq 0 ]
