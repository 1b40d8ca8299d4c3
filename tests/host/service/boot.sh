#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guests of service.sh, which boot the same disk one after the other: a
# Debian system with HALFRST's packages, and systemd. As the kernel's first
# process: mount the disk, and become its systemd, which then runs lab's job: a
# chapter, which is a file beside this one.
set -eu

cd "$(dirname "$0")/.."
. ../lib/disk.sh
if [ $$ = 1 ]; then
	first_process
	mount -t ext4 "$(disk root)" /system
	mount -t tmpfs -o mode=755 run /run
	cp -R /halfrst /run/halfrst-test	# /run/halfrst is the command pods'
	mkdir -p /run/systemd/system/multi-user.target.wants
	cat >/run/systemd/system/halfrst-test.service <<-'UNIT'
	[Service]
	ExecStart=/run/halfrst-test/tests/host/service/boot.sh job
	UNIT
	ln -s ../halfrst-test.service /run/systemd/system/multi-user.target.wants
	for dir in proc sys dev run; do
		mount --move /$dir /system/$dir
	done
	exec switch_root /system /sbin/init
fi

export HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive SYSTEMD_PAGER=
# shellcheck disable=SC1091 # lab has left it
. ../../job
# shellcheck disable=SC2154 # it is from there
stty -F "$port" raw -echo
exec >"$port" 2>&1
rc=0
# shellcheck disable=SC2154 # and this
"${job[@]}" || rc=$?
echo "$rc" >/run/status
stty -F "$port" sane
tar -cf - -C /run status | dd of=/dev/vda bs=64k conv=fsync,notrunc \
	iflag=fullblock 2>/dev/null
exec systemctl reboot
