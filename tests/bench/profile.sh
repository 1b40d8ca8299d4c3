#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# One marked reset under a contender, for the QEMU plugin that watches.
# profile.sh CONTENDER [-r]
set -eu
cd "$(dirname "$0")"
. ./contenders.sh

contender=$1
shift
alone "$contender" ./resets "$@" -m 31
cat /proc/kallsyms >/out/kallsyms
