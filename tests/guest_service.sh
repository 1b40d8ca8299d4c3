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
	mkdir -p /etc/iptables
	S() { echo "--- $*"; "$@" 2>&1 || echo "rc $?"; }
	is() { iptables -t mangle -S | grep -c HALFRST; ip6tables -t mangle -S | grep -c HALFRST; }
	again() { iptables -t mangle -F INPUT; "$@"; echo "rc $?"; sleep 15; is; }
	S systemctl is-system-running --wait
	echo '-A HALFRST-INPUT -p tcp --dport 8080 -j HALFRST --grace 5m' >/etc/halfrst/rules.v4
	cp /etc/halfrst/rules.v4 /etc/halfrst/rules.v6
	S systemctl reload halfrst
	S is
	iptables -t mangle -S
	S systemctl reload halfrst
	S is
	dmesg | grep -i halfrst
	echo "== nftables"
	S again systemctl start nftables
	S again systemctl reload nftables
	S again systemctl restart nftables
	echo "== ufw"
	S again ufw --force enable
	S again ufw reload
	S again systemctl start ufw
	S again systemctl restart ufw
	sed -i s/MANAGE_BUILTINS=no/MANAGE_BUILTINS=yes/ /etc/default/ufw
	systemctl reload halfrst; is
	S ufw reload; S is
	S ufw disable
	echo "== firewalld"
	systemctl reload halfrst; is
	S systemctl start firewalld
	S firewall-cmd --state; is
	S again systemctl reload firewalld
	systemctl reload halfrst; is
	S firewall-cmd --reload; is; sleep 10; is
	S again systemctl restart firewalld
	sed -i s/FirewallBackend=nftables/FirewallBackend=iptables/ /etc/firewalld/firewalld.conf
	S systemctl restart firewalld
	S firewall-cmd --state; is; sleep 10; is
	systemctl reload halfrst; is
	S firewall-cmd --reload; is; sleep 10; is
	systemctl reload halfrst; is
	S systemctl reload firewalld; is; sleep 20; is
	S systemctl stop firewalld
	echo "== persistent"
	S apt-get install -y netfilter-persistent iptables-persistent
	systemctl status netfilter-persistent | cat
	systemctl reload halfrst; is
	S netfilter-persistent save
	systemctl stop halfrst
	S netfilter-persistent save
	systemctl start halfrst
	S again netfilter-persistent reload
	S again systemctl restart netfilter-persistent
	echo "== docker"
	S systemctl start docker; is
	S again systemctl restart docker
	S docker info
	journalctl -u halfrst -u halfrst-reload -o cat --no-pager | tail -80
	systemctl stop halfrst
	ls /sys/module/xt_HALFRST
	S systemctl status halfrst
	;;
esac
