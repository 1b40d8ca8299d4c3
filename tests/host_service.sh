#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has a release of its own
# slow: builds the packages and boots a whole Debian several times
#
# halfrst.service on a Debian 12 that boots systemd, with the firewalls that
# people have. Runs on the host; prints TAP.
#
# Below build/deb-roots: hosts is a system with those firewalls, hosts.run the
# one with HALFRST's packages, hosts.disk that as a disk.
set -eu

cd "$(dirname "$0")/.."
row=${ROW:-bookworm}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
. tests/debroot.sh
. /tmp/hosts-made.sh

root=$roots/hosts.run
disk=$roots/hosts.disk

installed()
{
	rm -rf --one-file-system "$root"
	cp -a "$roots/hosts" "$root"
	cp build/deb/*.deb "$root/tmp"
	in_root sh -c 'apt-get -y --no-install-recommends install \
		/tmp/iptables-halfrst_*.deb /tmp/xt-halfrst-dkms_*.deb'
	# each firewall when its turn comes, and nothing that takes time
	in_root systemctl disable ufw firewalld docker.service docker.socket \
		containerd
	in_root systemctl mask 'podman*' apt-daily.timer apt-daily-upgrade.timer
	kernel=$root.kernel release=$(basename "$root"/lib/modules/*)
	rm -rf "$kernel"
	mkdir -p "$kernel/modules"
	(cd "$root/usr/lib/modules/$release" && find kernel/drivers/virtio \
		kernel/drivers/block/virtio_blk* \
		modules.builtin* \
		modules.order | cpio --quiet -pd "$kernel/modules")
	cp "$root/boot/vmlinuz-$release" "$kernel/vmlinuz"
	echo "$release" >"$kernel/release"
	echo rdinit=/halfrst/tests/guest_service.sh \
		systemd.mask=serial-getty@ttyS0.service >"$kernel/append"
	rm -f "$disk"
	truncate -s 4G "$disk"
	mke2fs -q -F -t ext4 -d "$root" "$disk"
}

guest()
{
	scripts/lab run "$row" --limit 900 --mem 2048 --smp 2 \
		--kernel "$root.kernel" --log "$tmp/kernel.log" --qemu "\
-drive file=$disk,format=raw,if=none,id=root,cache=unsafe \
-device virtio-blk-pci,drive=root,serial=root,romfile=" -- ./guest_service.sh "$@"
}

