#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# N idle connections whose server closes all of them.
# Prints CONTENDER|N|open|close|drain|busy|late|memory|left, as storm.c says.
# storm.sh N [CONTENDER...]
set -eu
cd "$(dirname "$0")"
. ./contenders.sh

n=$1
shift
sysctl -qw fs.nr_open=8000000 net.ipv4.tcp_max_orphans=4000000
for contender in "${@:-halfrst}"; do
	case $contender in
	nothing) what=(nothing ./storm -w 1) ;;
	# one sweep, as soon as the last FIN has come
	sweep)	what=(nothing ./storm -w 1 \
			-x 'ss -HK state close-wait >/dev/null') ;;
	bpf)	have_bpf || continue
		what=(nothing ./storm -w 1 -x "cat $iterator >/dev/null") ;;
	*)	what=("$contender" ./storm) ;;
	esac
	alone "${what[@]}" "$n" | awk -v OFS='|' -v c="$contender" -v n="$n" '
		{ v[$1] = $2 }
		END { print c, n, v["open"], v["close"], v["drain"],
			v["busy"], v["late"], v["memory"], v["left"] }'
done
