#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has a release of its own
# slow: builds the packages and boots a whole Debian eight times, 40 minutes
#
# halfrst.service on a Debian 12 that boots systemd, with the firewalls that
# people have. Runs on the host; prints TAP.
#
# Below build/deb-roots: hosts is a system with those firewalls, hosts.run the
# one with HALFRST's packages, upgraded from those of the version before, and
# hosts.disk that as a disk. CHAPTERS="rules documents" boots for these only.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh
. tests/lib/debian.sh
. tests/lib/documents.sh
root=$roots/hosts.run
disk=$roots/hosts.disk
kernel=$root.kernel

# The last state of the version before this one
before()
{
	local version commit

	version=$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
	commit=$(git log --format=%H -S"xt-halfrst ($version)" -- \
		debian/changelog | tail -n 1)
	[ -n "$commit" ] && mkdir -p "$tmp/before" &&
	git archive "$commit^" | tar -x -C "$tmp/before" &&
	packages bookworm "$tmp/before" build/deb.before
}

# iptables-persistent and ufw are not for one system at a time
# shellcheck disable=SC2016 # expanded by mmdebstrap's shell
clean_root()
{
	made hosts bookworm --variant=apt --include=linux-image-cloud-amd64 \
		--include=linux-headers-cloud-amd64,dkms,systemd-sysv,udev,dbus \
		--include=iptables,nftables,conntrack,iproute2,procps,kmod \
		--include=python3-minimal,netcat-openbsd,ufw,firewalld,docker.io \
		--include=podman,crun,netavark,aardvark-dns \
		--include=make,gcc,pkg-config,libxtables-dev \
		--customize-hook='chroot "$1" sh -euc "
			apt-get install -y --no-install-recommends \
				--download-only iptables-persistent \
				netfilter-persistent
			cd /tmp
			apt-get download prometheus
			dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x -C / \
				./usr/bin/promtool
			rm prometheus_*.deb"' &&
	rm -rf --one-file-system "$root" &&
	cp -a "$roots/hosts" "$root"
}

# Each firewall starts when its turn comes, and nothing that takes time
installs()
{
	rm -f "$root"/tmp/*.deb
	cp "$1"/*.deb "$root/tmp" &&
	in_root sh -c 'apt-get -y --no-install-recommends install \
		/tmp/iptables-halfrst_*.deb /tmp/xt-halfrst-dkms_*.deb' &&
	rm -f "$root"/tmp/*.deb
}

# What is loaded while its package is replaced
keeps_old_module()
{
	mkdir "$root/root/before" &&
	cp "$root"/lib/modules/*/updates/dkms/xt_HALFRST.ko "$root/root/before"
}

one_version()
{
	local v

	v=$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog) &&
	in_root dkms status | tee /dev/stderr | grep -q "^xt-halfrst/$v, " &&
	[ "$(in_root dkms status | wc -l)" = 1 ] &&
	[ "$(modinfo -F version "$root"/lib/modules/*/updates/dkms/xt_*)" = "$v" ]
}

# Rules that are quiet, and what each of them is for
alerts()
{
	local rules=/usr/share/doc/iptables-halfrst/examples/halfrst-alerts.yml

	cat >"$root/tmp/alerts.yml" <<-END
	rule_files: [ $rules ]
	evaluation_interval: 1m
	tests:
	- interval: 1m
	  input_series:
	  - series: xt_halfrst_full_total{instance="quiet"}
	    values: 7x180
	  - series: xt_halfrst_nomem_total{instance="quiet"}
	    values: 0x180
	  - series: xt_halfrst_watching{instance="quiet"}
	    values: 5000x180
	  - series: xt_halfrst_resets_total{instance="quiet"}
	    values: 0+1x180
	  - series: xt_halfrst_nomem_total{instance="bad"}
	    values: 0+1x180
	  - series: xt_halfrst_full_total{instance="bad",netns="cni-1",pod="shop/web"}
	    values: 0+1x180
	  - series: xt_halfrst_watching{instance="bad"}
	    values: 5000x180
	  - series: xt_halfrst_resets_total{instance="bad"}
	    values: 9x180
	  promql_expr_test:
	  - expr: count by (alertname, instance, pod) (ALERTS{alertstate="firing"})
	    eval_time: 2h
	    exp_samples:
	    - labels: '{alertname="HalfrstCannotWatch", instance="bad"}'
	      value: 1
	    - labels: '{alertname="HalfrstCannotWatch", instance="bad", pod="shop/web"}'
	      value: 1
	    - labels: '{alertname="HalfrstResetsNothing", instance="bad"}'
	      value: 1
	END
	in_root promtool check rules $rules &&
	in_root promtool test rules /tmp/alerts.yml
}

makes_disk()
{
	local release

	release=$(basename "$root"/lib/modules/*)
	in_root systemctl disable ufw firewalld docker.service docker.socket \
		containerd &&
	in_root systemctl mask apt-daily.timer apt-daily-upgrade.timer \
		podman.service podman.socket podman-restart.service \
		podman-auto-update.service podman-auto-update.timer &&
	rm -rf "$kernel" "$disk" &&
	mkdir -p "$kernel/modules" &&
	(cd "$root/usr/lib/modules/$release" && find kernel/drivers/virtio \
		kernel/drivers/block/virtio_blk* modules.builtin* \
		modules.order | cpio --quiet -pd "$kernel/modules") &&
	cp "$root/boot/vmlinuz-$release" "$kernel/vmlinuz" &&
	echo "$release" >"$kernel/release" &&
	echo apparmor=0 systemd.default_timeout_start_sec=900 \
		rdinit=/halfrst/tests/host/service/boot.sh \
		systemd.mask=serial-getty@ttyS0.service >"$kernel/append" &&
	truncate -s 4G "$disk" &&
	mke2fs -q -F -t ext4 -d "$root" "$disk"
}

# What documents tell somebody to do who has this tree on such a host
as_documented()
{
	mkdir -p "$tmp/with/tree" &&
	git archive HEAD | tar -x -C "$tmp/with/tree" &&
	blocks host "$tmp/with/host"
}

# guest CHAPTER [DRIVE-OPTION]
guest()
{
	local rc=0

	scripts/lab run "$row" --no-build --limit 7200 --mem 2048 --smp 2 \
		--with "$tmp/with" --kernel "$kernel" --qemu "\
-drive file=$disk,format=raw,if=none,id=root,cache=unsafe${2:+,$2} \
-device virtio-blk-pci,drive=root,serial=root,romfile=" -- \
		"../host/service/$1.sh" >"$tmp/guest" 2>&1 || rc=$?
	counted $rc "$tmp/guest" "$1: "
}

if [ "$row" != bookworm ] || [ "$(uname -m)" != x86_64 ]; then
	skip_all 'this test has a release of its own'
fi
row_built
scripts/lab install mmdebstrap cpio kmod e2fsprogs debian-archive-keyring

checkout=0
! git rev-parse HEAD >/dev/null 2>&1 || checkout=1
rm -rf build/deb.before
if [ $checkout = 1 ]; then
	check 'the packages of before' before
else
	skip 'the packages of before' 'not a git checkout'
fi
check 'the packages' packages bookworm . build/deb
check 'a clean system can be had' clean_root
if [ -d build/deb.before ]; then
	check 'the packages of before, installed' installs build/deb.before
	check 'their module' keeps_old_module
fi
check 'the packages, installed over them' installs build/deb
check 'their module is the only one' one_version
check 'the alert rules, says promtool' alerts
check 'the system on a disk' makes_disk
if [ $checkout = 1 ]; then
	check 'the commands of the documents' as_documented
fi
# Each of the last three wants the disk as the one before it has left it
chapters=${CHAPTERS:-rules documents firewalls containers pods missing}
case " $chapters " in
*' missing '*)	last='persistent reboot missing' ;;
*' reboot '*)	last='persistent reboot' ;;
*' persistent '*) last=persistent ;;
*)		last='' ;;
esac
for chapter in $last; do
	chapters=${chapters/$chapter/}
done
for chapter in $chapters $last; do
	if [ "$chapter $checkout" = 'documents 0' ]; then
		skip documents 'not a git checkout'
		continue
	fi
	case $chapter in
	persistent|reboot|missing) guest "$chapter" ;;
	*)	guest "$chapter" snapshot=on ;;
	esac
done
rm -rf --one-file-system "$root" "$kernel" "$disk"
echo "1..$n"
[ $failed -eq 0 ]
