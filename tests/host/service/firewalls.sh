#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A chapter of service.sh: nftables, ufw and firewalld load their rules; ours come back.
# Prints TAP.
set -eu

. "$(dirname "$0")/common.sh"

bad_file_bad_luck()
{
	write 'HALFRST-INPUT -p tcp -j HALFRST --grace 5'
	systemctl reload nftables && nft_firewall &&
	systemctl restart nftables && nft_firewall &&
	[ "$(systemctl is-active nftables)" = active ] &&
	write && systemctl reload halfrst && in_place
}

names_a_helper()
{
	nftables_conf 'ct helper leak { type "halfrst-5m" protocol tcp; }' \
		'tcp dport 8081 ct helper set "leak"'
	systemctl reload nftables && nft_firewall &&
	[ -e /sys/module/nf_conntrack_halfrst ] &&
	until_true in_place && until_true settled &&
	status 'WARNING: /etc/nftables.conf names HALFRST' &&
	nftables_conf '' '' && systemctl reload nftables
}

ufw_enable()
{
	ufw --force enable && iptables -S | grep ufw-before-input
}

systemctl is-system-running --wait || :
check 'the rules are there, a connection is watched' prepared
nftables_conf '' ''
for verb in start reload restart; do
	check "nftables: $verb" flushed systemctl "$verb" nftables
	check "nftables: $verb: its own rules" nft_firewall
done
check 'nftables loads whatever is wrong with the rules of HALFRST' \
	bad_file_bad_luck
check 'nftables: a ruleset that names a helper' names_a_helper
systemctl stop nftables
systemctl reload halfrst
check 'ufw: enable' flushed ufw_enable
check 'ufw: its own reload' flushed ufw reload
check 'ufw: start' flushed systemctl start ufw
check 'ufw: restart' flushed systemctl restart ufw
check 'ufw: disable' flushed ufw disable
for backend in nftables iptables; do
	firewalld_backend "$backend"
	check "firewalld, $backend: start" \
		flushed systemctl restart firewalld
	check "firewalld, $backend: it runs" \
		until_true firewall-cmd --state
	check "firewalld, $backend: still there" flushed sleep 5
	check "firewalld, $backend: its own reload" \
		flushed firewall-cmd --reload
	check "firewalld, $backend: reload" \
		flushed systemctl reload firewalld
	check "firewalld, $backend: still there" flushed sleep 10
done
echo "1..$n"
[ $failed -eq 0 ]
