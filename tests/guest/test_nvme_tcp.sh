#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --smp 1
#
# A socket that the kernel opened for itself without saying so: NVMe over TCP
# makes its connections with the call that user space's sockets are made with,
# and no file belongs to them.  Both ends are the kernel's, over loopback:
#
#   /dev/nvme0 ── nvme-tcp ── lo, INPUT, rule ── nvmet-tcp ── a file
#
# The target goes, and its FINs reach the host's sockets.  None may be reset:
# nvme-tcp ends them itself.
set -eu

tmp=$(mktemp -d /tmp/nvme.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
. ../lib/tap.sh

for module in nvmet nvmet-tcp nvme-tcp; do
	modprobe -q "$module" || skip_all "this kernel has no $module"
done

nqn=nqn.2025-01.example:halfrst
config=/sys/kernel/config
mountpoint -q $config || mount -t configfs configfs $config
subsystem=$config/nvmet/subsystems/$nqn
port=$config/nvmet/ports/1

target_up()
{
	truncate -s 16M "$tmp/disk" &&
	mkdir "$subsystem" && echo 1 >"$subsystem/attr_allow_any_host" &&
	mkdir "$subsystem/namespaces/1" &&
	echo "$tmp/disk" >"$subsystem/namespaces/1/device_path" &&
	echo 1 >"$subsystem/namespaces/1/buffered_io" &&
	echo 1 >"$subsystem/namespaces/1/enable" &&
	mkdir "$port" && echo tcp >"$port/addr_trtype" &&
	echo ipv4 >"$port/addr_adrfam" &&
	echo 127.0.0.1 >"$port/addr_traddr" &&
	echo 4420 >"$port/addr_trsvcid" &&
	ln -s "$subsystem" "$port/subsystems/$nqn"
}

state()
{
	[ "$(cat /sys/class/nvme/nvme0/state)" = "$1" ]
}

not_live()
{
	! state live
}

host_up()
{
	echo "transport=tcp,traddr=127.0.0.1,trsvcid=4420,nqn=$nqn,reconnect_delay=60" \
		>/dev/nvme-fabrics && until_true state live &&
	ss -tn state established '( dport = :4420 )' | grep 4420
}

counter()
{
	awk -v name="$1" '$1 == name { print $2 }' /proc/net/xt_halfrst
}

has_seen_fins()
{
	[ "$(counter fins)" -gt 0 ]
}

no_watches()
{
	[ "$(counter watching)" = 0 ]
}

target_goes()
{
	rm "$port/subsystems/$nqn" && until_true has_seen_fins &&
	until_true not_live
}

none_is_reset()
{
	until_true no_watches && cat /proc/net/xt_halfrst &&
	[ "$(counter resets)" = 0 ] && [ "$(counter exempt)" -gt 0 ]
}

# A user's socket under the same rule, at the same time
a_users_is_reset()
{
	../lib/one_reset.py 127.0.0.1 4421 ECONNRESET
}

check 'the target' target_up
check 'the host is connected to it' host_up
check 'a rule' iptables -t mangle -A INPUT -p tcp --sport 4420:4421 \
	--tcp-flags FIN FIN -j HALFRST
check 'the target goes' target_goes
check 'no socket of the kernel is reset' none_is_reset
check "a user's socket is" a_users_is_reset

# Whatever is still there is not left to the next boot
echo 1 >/sys/class/nvme/nvme0/delete_controller 2>/dev/null || :
echo "1..$n"
[ "$failed" -eq 0 ]
