#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A chapter of service.sh: docker and netfilter-persistent; then ready to reboot.
# Prints TAP.
set -eu

. "$(dirname "$0")/common.sh"

# The packages are not for one system at a time
persistent()
{
	apt-get install -y netfilter-persistent iptables-persistent &&
	in_place
}

# What a saved file that names HALFRST is worth is in the chapter of the missing
# module
save_warns()
{
	netfilter-persistent save 2>"$tmp/save" && cat "$tmp/save" &&
	grep 'WARNING: /etc/iptables/rules.v4 names HALFRST' "$tmp/save" &&
	grep 'WARNING: /etc/iptables/rules.v6 names HALFRST' "$tmp/save" &&
	cp /etc/iptables/rules.v4 /root/saved
}

# With the rules out, as the documentation says
save_without()
{
	iptables -A INPUT -p icmp -m comment --comment firewall -j ACCEPT &&
	systemctl stop halfrst &&
	netfilter-persistent save 2>&1 | tee "$tmp/save" &&
	! grep WARNING "$tmp/save" && ! grep HALFRST /etc/iptables/rules.v4 &&
	systemctl start halfrst && in_place && kill "$server" && half_closed
}

docker_network()
{
	iptables -t nat -S | grep DOCKER
}

ready_to_reboot()
{
	apt-get purge -y netfilter-persistent iptables-persistent &&
	nftables_conf '' '' && systemctl enable nftables && kill "$server"
}

systemctl is-system-running --wait || :
check 'the rules are there, a connection is watched' prepared
check 'docker: start' flushed systemctl start docker
check 'docker: its own rules' docker_network
check 'docker: restart' flushed systemctl restart docker
systemctl stop docker docker.socket
check 'netfilter-persistent: installed' persistent
check 'netfilter-persistent: a loud warning of what save has saved' \
	save_warns
check 'netfilter-persistent: no warning with the service stopped' \
	save_without
check 'netfilter-persistent: its own reload' \
	flushed netfilter-persistent reload
check 'netfilter-persistent: restart' \
	flushed systemctl restart netfilter-persistent
check 'netfilter-persistent: flush and reload' \
	flushed sh -c 'netfilter-persistent flush &&
		netfilter-persistent reload'
check 'ready to reboot' ready_to_reboot
echo "1..$n"
[ $failed -eq 0 ]
