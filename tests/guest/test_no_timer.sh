#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --icount
#
# With a grace of 0 the reset of an idle connection costs no timer, which on a
# phone would be a wake-up: the kernel's own trace of timers says so.  Runs as
# root in a guest of the lab; prints TAP.
set -eu

tmp=$(mktemp -d /tmp/timer.XXXXXX)
# shellcheck disable=SC1091 # beside it
. ../lib/tap.sh
trace=/sys/kernel/tracing
many=20

[ -w $trace/events/timer/timer_start/enable ] ||
	skip_all 'this kernel does not trace its timers'
echo 20000 >$trace/buffer_size_kb

# ours: how many timers of HALFRST have been started since the trace began
ours()
{
	grep -c 'timer_start: .*function=halfrst_' $trace/trace || :
}

# idle FAMILY ADDRESS: connections that the server closes, until all are reset
idle()
{
	python3 - "$many" "$1" <<-'END'
	import socket, sys, time

	def resets():
	    with open("/proc/net/xt_halfrst") as f:
	        return int(dict(l.split() for l in f)["resets"])

	many, address = int(sys.argv[1]), sys.argv[2]
	family = socket.AF_INET6 if ":" in address else socket.AF_INET
	before = resets()
	clients, servers = [], []
	with socket.create_server((address, 8080), family=family,
	                          backlog=many) as s:
	    for i in range(many):
	        clients.append(socket.create_connection((address, 8080)))
	        servers.append(s.accept()[0])
	        servers[-1].send(b"b")
	        clients[-1].recv(1)
	time.sleep(1)
	for p in servers:
	    p.close()
	while resets() != before + many:
	    time.sleep(0.1)
	END
}

# counted LEAST MOST ADDRESS OPTION...: so many timers for these connections
counted()
{
	local least=$1 most=$2 address=$3 tables=iptables n

	shift 3
	[ "$address" = 127.0.0.1 ] || tables=ip6tables
	$tables -t mangle -A INPUT -p tcp --sport 8080 --tcp-flags FIN FIN \
		-j HALFRST "$@" || return
	echo >$trace/trace
	echo 1 >$trace/events/timer/timer_start/enable
	idle "$address" || return
	echo 0 >$trace/events/timer/timer_start/enable
	$tables -t mangle -F
	grep -q 'timer_start: ' $trace/trace || return	# it traced others
	n=$(ours)
	echo "# $n timers"
	[ "$n" -ge "$least" ] && [ "$n" -le "$most" ] &&
	[ "$(awk '$1 == "watching" { print $2 }' /proc/net/xt_halfrst)" = 0 ]
}

for address in 127.0.0.1 ::1; do
	check "$address: no timer for $many idle connections" \
		counted 0 0 $address
	check "$address: with a grace there are" \
		counted $many 1000000 $address --grace 1s
done
echo "1..$n"
[ $failed -eq 0 ]
