#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Instructions for each segment that is not a FIN.
# Prints FRONT_END|CONTENDER|INSTRUCTIONS
# packets.sh [N]
set -eu
cd "$(dirname "$0")"
. ./contenders.sh

for front_end in iptables-legacy iptables-nft; do
	for contender in nothing rule halfrst bare bare-mark bare-halfrst \
		rule50 halfrst50 bare50 bare-mark50 bare-halfrst50 chain; do
		read -r each _ <<< "$(alone "$contender" ./packets "${1:-50}")"
		echo "${front_end#iptables-}|$contender|$each"
	done
done

front_end=native
for contender in tracked sane helper; do
	read -r each _ <<< "$(alone "$contender" ./packets "${1:-50}")"
	echo "$front_end|$contender|$each"
done
