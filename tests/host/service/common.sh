# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What the chapters of service.sh have in common. To be sourced.
# shellcheck disable=SC2034 # for who sources it

cd "$(dirname "$0")/.." || exit
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

firewalld_backend()
{
	sed -i "s/^FirewallBackend=.*/FirewallBackend=$1/" \
		/etc/firewalld/firewalld.conf
}

system_is()
{
	[ "$(systemctl is-system-running --wait)" = "$1" ] ||
		{ systemctl --failed; return 1; }
}

# What a chapter begins with
prepared()
{
	write && systemctl start halfrst && systemctl reload halfrst &&
	in_place && half_closed
}
