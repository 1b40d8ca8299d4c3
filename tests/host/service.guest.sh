#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guests of service.sh, which boot the same disk one after the other: a
# Debian system with HALFRST's packages, and systemd. As the kernel's first
# process: mount the disk, and become its systemd. After that, one chapter for
# each boot. Prints TAP.
set -eu

if [ $$ = 1 ]; then
	export PATH=/usr/sbin:/usr/bin:/sbin:/bin
	mount -t proc proc /proc
	mount -t sysfs sys /sys
	mountpoint -q /dev || mount -t devtmpfs dev /dev
	. "$(dirname "$0")/../lib/disk.sh"
	mkdir /system
	mount -t ext4 "$(disk root)" /system
	mount -t tmpfs -o mode=755 run /run
	cp -R /halfrst /run
	mkdir -p /run/systemd/system/multi-user.target.wants
	cat >/run/systemd/system/halfrst-test.service <<-'UNIT'
	[Service]
	ExecStart=/run/halfrst/tests/host/service.guest.sh job
	UNIT
	ln -s ../halfrst-test.service /run/systemd/system/multi-user.target.wants
	for dir in proc sys dev run; do
		mount --move /$dir /system/$dir
	done
	exec switch_root /system /sbin/init
fi

cd "$(dirname "$0")"
export HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive SYSTEMD_PAGER=
if [ "$1" = job ]; then
	# shellcheck disable=SC1091 # lab has left it
	. ../../job
	# shellcheck disable=SC2154 # it is from there
	stty -F "$port" raw -echo
	exec >"$port" 2>&1
	rc=0
	# shellcheck disable=SC2154 # and this
	"${job[@]}" || rc=$?
	echo "$rc" >/run/status
	. ../lib/disk.sh
	stty -F "$port" sane
	tar -cf - -C /run status | dd of=/dev/vda bs=64k conv=fsync,notrunc \
		iflag=fullblock 2>/dev/null
	exec systemctl reboot
fi

tmp=$(mktemp -d)
. ../lib/tap.sh
module=/sys/module/xt_HALFRST
updates=/lib/modules/$(uname -r)/updates/dkms
rule='HALFRST-INPUT -p tcp -m tcp --dport 8080 -j HALFRST --grace 10m --reset-with econnreset'

# The way into the chain is there once, and the chain is what the file says
in_place()
{
	local c want

	want="-N HALFRST-INPUT
-A INPUT -p tcp -m tcp --tcp-flags FIN FIN -j HALFRST-INPUT
-A $rule"
	for c in iptables ip6tables; do
		diff <("$c" -t mangle -S | grep HALFRST) <(echo "$want") || return
	done
}

out()
{
	! iptables -t mangle -S | grep HALFRST &&
	! ip6tables -t mangle -S | grep HALFRST
}

gone()
{
	out && [ ! -e $module ]
}

write()
{
	echo "-A $rule" | tee /etc/halfrst/rules.v4 >/etc/halfrst/rules.v6
}

status()
{
	systemctl status -l -n 40 halfrst | tee /dev/stderr | grep -F -- "$1"
}

# A server that has not closed: its client has, and the rule knows
half_closed()
{
	python3 - <<-'PYTHON' &
	import socket, time
	s = socket.create_server(("127.0.0.1", 8080))
	c = socket.create_connection(("127.0.0.1", 8080))
	p = s.accept()[0]
	c.send(b"a")
	p.recv(1)
	p.send(b"b")
	c.recv(1)
	c.close()
	time.sleep(100000)
	PYTHON
	server=$!
	until_true watched
}

watched()
{
	grep -qx 'watching 1' /proc/net/xt_halfrst
}

close_wait()
{
	[ "$(ss -Htn state close-wait '( sport = :8080 )' | wc -l)" = 1 ]
}

as_installed()
{
	systemctl is-active halfrst && gone && [ -z "$(systemctl --failed -q)" ]
}

reload_loads()
{
	write && systemctl reload halfrst && in_place &&
	[ "$(dmesg | grep -c 'xt_HALFRST: version')" = 1 ] &&
	dmesg | grep "xt_HALFRST: version $(cat $module/version)$" &&
	status 'Loaded: rules.v4 1, rules.v6 1, rules.nft 0 lines; module 1'
}

twice()
{
	systemctl reload halfrst && in_place
}

# refuses FILE LINE WORDS: and everything stays
refuses()
{
	local rc=0

	write 'HALFRST-INPUT -p tcp -j HALFRST'
	echo "$2" >>"/etc/halfrst/$1"
	! systemctl reload halfrst || rc=1
	write
	in_place && systemctl is-active halfrst && status "$3" && return "$rc"
}

# What the watches were on is as if HALFRST had never been there
stop_ends()
{
	half_closed && close_wait && systemctl stop halfrst && gone &&
	close_wait && status 'Active: inactive'
}

start_again()
{
	kill "$server"
	systemctl start halfrst && in_place && half_closed
}

# At any moment of a reload
stop_in_a_reload()
{
	local i

	for i in 0 1 2 3 4 5 6 7; do
		systemctl start halfrst && in_place &&
		systemctl --no-block reload halfrst && sleep 0.$i &&
		systemctl stop halfrst && out || return
	done
	systemctl start halfrst && in_place
}

# Rules elsewhere keep the module, and that is said
elsewhere()
{
	iptables -A INPUT -p tcp -j HALFRST --uid-owner 4321 &&
	systemctl stop halfrst && out && [ -e $module ] &&
	status 'The module stays' &&
	iptables -D INPUT -p tcp -j HALFRST --uid-owner 4321 &&
	systemctl start halfrst && systemctl stop halfrst && gone &&
	systemctl start halfrst && in_place
}

# Nothing more is about to happen to the service
settled()
{
	[ -z "$(systemctl list-jobs --no-legend 'halfrst*')" ]
}

# flushed CMD...: a firewall's command; the rules come back, no watch ends
flushed()
{
	"$@" && until_true in_place && until_true settled && watched
}

nft_firewall()
{
	nft list table inet filter | grep 'ct state invalid drop'
}

nftables_conf()
{
	cat >/etc/nftables.conf <<-END
	flush ruleset
	table inet filter {
		$1
		chain input {
			type filter hook input priority 0;
			ct state invalid drop
			$2
		}
	}
	END
}

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

nft_rules()
{
	cat >/etc/halfrst/rules.nft <<-'END'
	ct helper leak { type "halfrst-5m" protocol tcp; }
	chain input {
		type filter hook input priority 0;
		tcp dport 8081 ct helper set "leak"
	}
	END
	systemctl reload halfrst && in_place &&
	nft list table inet halfrst >"$tmp/nft" && grep halfrst-5m "$tmp/nft" &&
	systemctl reload halfrst &&
	nft list table inet halfrst | diff "$tmp/nft" - &&
	echo 'flush ruleset' >>/etc/halfrst/rules.nft &&
	! systemctl reload halfrst &&
	nft list table inet halfrst | diff "$tmp/nft" - &&
	nft_firewall && in_place &&
	: >/etc/halfrst/rules.nft && systemctl reload halfrst &&
	! nft list table inet halfrst && nft_firewall
}

ufw_enable()
{
	ufw --force enable && iptables -S | grep ufw-before-input
}

firewalld_backend()
{
	sed -i "s/^FirewallBackend=.*/FirewallBackend=$1/" \
		/etc/firewalld/firewalld.conf
}

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

metrics()
{
	local dir=/var/lib/prometheus/node-exporter

	mkdir -p $dir
	systemctl start halfrst-metrics.timer && until_true [ -s $dir/halfrst.prom ] &&
	cat $dir/halfrst.prom && promtool check metrics <$dir/halfrst.prom &&
	[ "$(grep -c '^# HELP' $dir/halfrst.prom)" = 15 ] &&
	[ "$(grep -c '^# TYPE .* gauge$' $dir/halfrst.prom)" = 2 ] &&
	grep -x 'xt_halfrst_watching 1' $dir/halfrst.prom &&
	systemctl stop halfrst-metrics.timer
}

ready_to_reboot()
{
	apt-get purge -y netfilter-persistent iptables-persistent &&
	nftables_conf '' '' && systemctl enable nftables && kill "$server"
}

system_is()
{
	[ "$(systemctl is-system-running --wait)" = "$1" ] ||
		{ systemctl --failed; return 1; }
}

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

# A block of commands, in this project's tree
documented()
{
	(cd ../../with/tree && bash -eux "$1" </dev/null)
}

# What a chapter begins with
prepared()
{
	write && systemctl start halfrst && systemctl reload halfrst &&
	in_place && half_closed
}

case $1 in
rules)
	systemctl is-system-running --wait || :
	check 'as installed: active, no rule, no module' as_installed
	check 'reload loads the rules, the module says its version once' \
		reload_loads
	check 'twice is once' twice
	for f in rules.v4 rules.v6; do
		check "$f, a wrong option: nothing changes" refuses "$f" \
			'-A HALFRST-INPUT -p tcp -j HALFRST --grace 5' \
			"/etc/halfrst/$f was not loaded"
		check "$f, another chain: nothing changes" refuses "$f" \
			'-A INPUT -j DROP' \
			"/etc/halfrst/$f: every line has to begin with"
		check "$f, what only the kernel knows: nothing changes" \
			refuses "$f" '-A HALFRST-INPUT -j HALFRST' \
			'only valid for protocol 6'
	done
	check 'stop ends the watches, the sockets are as they were' stop_ends
	check 'start loads the rules' start_again
	check 'the counters for Prometheus' metrics
	nftables_conf '' ''
	systemctl start nftables
	check 'rules.nft is loaded, reloaded, refused, taken out' nft_rules
	kill "$server"
	check 'rules elsewhere: stop says that the module stays' elsewhere
	check 'stop while it reloads' stop_in_a_reload
	;;
documents)
	systemctl is-system-running --wait || :
	for block in "$PWD"/../../with/host/*; do
		check "$(sed -n '1s/^# //p' "$block")" documented "$block"
	done
	;;
firewalls)
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
	;;
persistent)
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
	;;
reboot)
	check 'after a reboot: the system is running' system_is running
	check 'after a reboot: the rules are there' in_place
	check 'after a reboot: the firewall is there' nft_firewall
	mv "$updates" /root/dkms
	depmod
	;;
missing)
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
	;;
esac
echo "1..$n"
[ $failed -eq 0 ]
