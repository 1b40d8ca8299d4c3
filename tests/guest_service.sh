#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guests of host_service.sh, each of which boots the same disk, a Debian
# system with HALFRST's packages installed and systemd. As the kernel's first
# process: mount the disk, and become its systemd. After that, one chapter for
# each boot. Prints TAP.
set -eu

if [ $$ = 1 ]; then
	export PATH=/usr/sbin:/usr/bin:/sbin:/bin
	mount -t proc proc /proc
	mount -t sysfs sys /sys
	mountpoint -q /dev || mount -t devtmpfs dev /dev
	. "$(dirname "$0")/disk.sh"
	modprobe ext4
	mkdir /system
	mount -t ext4 "$(disk root)" /system
	mount -t tmpfs -o mode=755 run /run
	cp -R /halfrst /run
	mkdir -p /run/systemd/system/multi-user.target.wants
	cat >/run/systemd/system/halfrst-test.service <<-'UNIT'
	[Service]
	ExecStart=/run/halfrst/tests/guest_service.sh job
	UNIT
	ln -s ../halfrst-test.service /run/systemd/system/multi-user.target.wants
	for dir in proc sys dev run; do
		mount --move /$dir /system/$dir
	done
	exec switch_root /system /sbin/init
fi

cd "$(dirname "$0")"
if [ "$1" = job ]; then
	. ../job
	# shellcheck disable=SC2154 # of the job's file
	stty -F "$port" raw -echo
	exec >"$port" 2>&1
	rc=0
	"${job[@]}" || rc=$?
	echo "$rc" >/run/status
	. ./disk.sh
	tar -cf - -C /run status | dd of=/dev/vda bs=64k conv=fsync,notrunc \
		iflag=fullblock 2>/dev/null
	exec systemctl reboot
fi

tmp=$(mktemp -d)
. ./tap.sh

booted()
{
	systemctl is-system-running --wait; systemctl --failed
}

case $1 in
try)
	systemctl is-system-running --wait || :
	systemd-analyze || :
	systemctl --failed || :
	systemctl status halfrst || :
	systemctl list-unit-files --state=enabled || :
	;;
esac
