#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A chapter of service.sh: the module is missing, comes back, is upgraded, and all is purged.
# Prints TAP.
set -eu

. "$(dirname "$0")/common.sh"

without_module()
{
	[ "$(systemctl is-active halfrst)" = failed ] && out && nft_firewall &&
	status 'There is no module xt_HALFRST'
}

# All of a saved file: the chains of the filter table never come
saved_file_is_no_firewall()
{
	grep -q HALFRST /root/saved &&
	sed -i 's/^:INPUT ACCEPT/:INPUT DROP/' /root/saved &&
	unshare -n sh -euc "! $1-restore </root/saved
		[ \"\$($1 -S INPUT)\" = '-P INPUT ACCEPT' ]"
}

# As a whole, too: neither old nor new rules after a start
helper_is_no_firewall()
{
	nftables_conf 'ct helper leak { type "halfrst-5m" protocol tcp; }' \
		'tcp dport 8081 ct helper set "leak"'
	! systemctl restart nftables && [ -z "$(nft list tables)" ] &&
	nftables_conf '' '' && systemctl restart nftables && nft_firewall
}

# firewalld's way to name one: a service of its own
firewalld_helper()
{
	mkdir -p /etc/firewalld/helpers /etc/firewalld/services
	echo '<helper module="nf_conntrack_halfrst">
		<port protocol="tcp" port="8081"/></helper>' \
		>/etc/firewalld/helpers/halfrst.xml
	echo '<service><port protocol="tcp" port="8081"/>
		<helper name="halfrst"/></service>' \
		>/etc/firewalld/services/shop.xml
	firewalld_backend nftables
	firewall-offline-cmd --add-service=shop &&
	systemctl restart firewalld && until_true firewalld_is "$1"
}

firewalld_is()
{
	firewall-cmd --state 2>&1 | grep "$1"	# in colour
}

# It loads nothing at all
firewalld_is_no_firewall()
{
	firewalld_helper failed && ! firewall-cmd --reload >/dev/null 2>&1 &&
	firewalld_is failed && ! nft list ruleset | grep 8081 &&
	systemctl stop firewalld && systemctl restart nftables && nft_firewall
}

firewalld_with_helper()
{
	firewalld_helper running && nft list table inet firewalld >"$tmp/nft" &&
	grep 'type "halfrst"' "$tmp/nft" && grep 8081 "$tmp/nft" &&
	until_true in_place && systemctl stop firewalld &&
	rm /etc/firewalld/{helpers/halfrst,services/shop}.xml &&
	systemctl restart nftables && nft_firewall && until_true in_place
}

module_comes()
{
	mv /root/dkms "$updates" && depmod && systemctl start halfrst && in_place
}

# The old module runs on while its packages are replaced
upgrade()
{
	local old new

	old=$(modinfo -F version /root/before/xt_HALFRST.ko) &&
	new=$(modinfo -F version xt_HALFRST) && [ "$old" != "$new" ] &&
	systemctl stop halfrst && gone && insmod /root/before/xt_HALFRST.ko &&
	systemctl start halfrst && in_place &&
	status "The extension is version $new, the loaded module $old" &&
	systemctl restart halfrst && in_place &&
	[ "$(cat $module/version)" = "$new" ]
}

purged()
{
	half_closed && apt-get purge -y iptables-halfrst xt-halfrst-dkms &&
	gone && close_wait && nft_firewall &&
	! find / -xdev \( -path /var/log -o -path /root -o -path /tmp \
		-o -path /var/cache \) -prune -o -iname '*halfrst*' -print |
		grep . &&
	! systemctl list-unit-files | grep halfrst | grep -v halfrst-test
}

check 'no module: the system is degraded' system_is degraded
check 'no module: the firewall is there, the service has failed' \
	without_module
for c in iptables-nft iptables-legacy; do
	check "no module: $c-restore of a saved file loads nothing" \
		saved_file_is_no_firewall "$c"
done
check 'no module: no ruleset that names a helper' helper_is_no_firewall
check 'no module: firewalld with a service that names a helper' \
	firewalld_is_no_firewall
check 'the module comes, the service starts' module_comes
check 'firewalld with a service that names a helper' \
	firewalld_with_helper
if [ -d /root/before ]; then
	check 'the module of before, the new one after a restart' upgrade
else
	skip 'the module of before' 'no history here'
fi
check 'purged with a watch: nothing is left, the socket is' purged
echo "1..$n"
[ $failed -eq 0 ]
