# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What a test of host/ gives to its guest as a disk, also as the system that the guest
# is to run. To be sourced.

# What the kernel's first process does first, if that is not lab's
first_process()
{
	export PATH=/usr/sbin:/usr/bin:/sbin:/bin
	mount -t proc proc /proc
	mount -t sysfs sys /sys
	mountpoint -q /dev || mount -t devtmpfs dev /dev
	mkdir /system
}

# disk SERIAL: its device
disk()
{
	local found

	modprobe -qa virtio_pci virtio_mmio virtio_blk || :
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		if found=$(grep -lx "$1" /sys/block/*/serial 2>/dev/null); then
			found=${found%/serial}
			echo "/dev/${found##*/}"
			return
		fi
		sleep 0.2
	done
	return 1
}
