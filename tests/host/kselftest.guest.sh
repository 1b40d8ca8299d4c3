#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest of kselftest.sh, which gives it the installed kselftests as
# a disk: run those that are named to the runner. Prints what it prints.
set -eu

. ../lib/disk.sh
disk=$(disk tests)
mkdir /tmp/kselftest
# without times: the clock of --icount is behind
tar -xmf "$disk" -C /tmp/kselftest
cd /tmp/kselftest
exec ./run_kselftest.sh "$@"
