#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A chapter of service.sh: after a reboot. Takes the module away for the next chapter.
# Prints TAP.
set -eu

. "$(dirname "$0")/common.sh"

check 'after a reboot: the system is running' system_is running
check 'after a reboot: the rules are there' in_place
check 'after a reboot: the firewall is there' nft_firewall
mv "$updates" /root/dkms
depmod
echo "1..$n"
[ $failed -eq 0 ]
