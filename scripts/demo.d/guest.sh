#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The guest's half of demo: a client of alice's and nginx, which closes what is
# idle for 2 seconds, in the network of lib/network.sh.
set -eu

here=$(dirname "$0")
out=/out
. "$here/../lib/network.sh"
. "$here/../lib/nginx.sh"

say()
{
	printf '\n== %s\n' "$*"
}

nginx_up()
{
	nginx_conf /run <<-'END'
	access_log off;
	keepalive_timeout 2;
	server {
		listen 80;
		listen 443 ssl;
		ssl_certificate /run/cert.pem;
		ssl_certificate_key /run/key.pem;
		ssl_protocols TLSv1.3;
		location / { return 200 "picture\n"; }
	}
	END
	ip netns exec server nginx -c /run/nginx.conf
}

nginx_down()
{
	kill "$(cat /run/nginx.pid)"
	while [ -e /run/nginx.pid ]; do sleep 0.05; done
}

# rules_NAME PORT
rules_nothing()
{
	:
}

rules_chain()
{
	iptables -A INPUT -p tcp --sport "$1" --tcp-flags FIN,ACK FIN,ACK \
		-j MARK --set-mark 15
	iptables -A INPUT -j CONNMARK --save-mark
	iptables -A OUTPUT -j CONNMARK --restore-mark
	iptables -A INPUT -j CONNMARK --restore-mark
	iptables -A OUTPUT -m mark --mark 15 -p tcp --tcp-flags ACK ACK \
		-j REJECT --reject-with tcp-reset
}

rules_halfrst()
{
	iptables -t mangle -A INPUT -p tcp --sport "$1" --tcp-flags FIN FIN \
		-j HALFRST --uid-owner 10400
}

rules_nft()
{
	nft -f - <<-END
	table inet halfrst {
		ct helper idle { type "halfrst" protocol tcp; }
		chain output {
			type filter hook output priority 0;
			meta skuid 10400 tcp dport $1 ct helper set "idle"
		}
	}
	END
}

# Start COMMAND in a namespace and remember it as one of this case's observers
observe()
{
	ip netns exec "$@" &
	observers+=("$!")
}

# What a case leaves for report.py: a capture at each end, the states
# that both ends' sockets went through, and the client's own account.
# run_case SCHEME RULES
run_case()
{
	local name=$1.$2 port=${ports[$1]} ns observers=()

	network_up
	nginx_up
	ip netns exec phone bash -euc "$(declare -f "rules_$2"); rules_$2 $port"
	for ns in phone server; do
		observe "$ns" tcpdump -i eth0 -Z root --immediate-mode -U \
			-w "$out/$name.$ns.pcap" tcp port "$port" \
			2>"/run/$ns.log"
		observe "$ns" python3 "$here/../lib/states.py" \
			>"$out/$name.$ns.states"
		until grep -q 'listening on' "/run/$ns.log" &&
		      [ -s "$out/$name.$ns.states" ]; do
			kill -0 "${observers[@]}" || cat "/run/$ns.log" >&2
			sleep 0.05
		done
	done
	alice python3 "$here/client.py" "$1://$host" >"$out/$name.client"
	sleep 0.5
	kill "${observers[@]}"
	wait "${observers[@]}" || :
	{
		ip netns exec phone iptables -t mangle -L INPUT -vnx || :
		ip netns exec phone cat /proc/net/xt_halfrst || :
	} >"$out/$name.counters" 2>/dev/null
	nginx_down
	network_down
}

# experiment DATE [nft]
experiment()
{
	local scheme

	[ "${2:-}" != nft ] ||
		eval "$(declare -f rules_nft | sed s/rules_nft/rules_halfrst/)"
	modprobe -a veth sch_netem
	certificate
	echo "Linux $(uname -r), $(nginx -v 2>&1 | sed 's/.*: //')," \
		"keepalive_timeout 2, TLS 1.3, round trip 2 x 25 ms"
	say "1/3 nothing installed: HTTPS, HTTP"
	for scheme in https http; do run_case $scheme nothing; done
	say "2/3 the MARK/CONNMARK/REJECT chain: HTTPS, HTTP"
	for scheme in https http; do run_case $scheme chain; done
	case ${2:-} in
	nft)	rm /usr/sbin/xtables-*-multi ;;	# as if never installed
	*)	modprobe xt_HALFRST ;;
	esac
	say "3/3 one HALFRST rule: HTTPS, HTTP"
	for scheme in https http; do run_case $scheme halfrst; done
	python3 "$here/report.py" "$out" "Linux $(uname -r)" "$1"
}

shell()
{
	modprobe -a veth sch_netem xt_HALFRST
	certificate
	network_up
	nginx_up
	say "in the guest: Linux $(uname -r), xt_HALFRST is loaded"
	cat <<-'END'

	 phone ─── net, 25 ms each way ─── server: nginx on 198.51.100.2, ports
	 192.0.2.2                         80 and 443, closes what is idle for 2 s

	 phone CMD    run CMD on the phone, as root   phone iptables -t mangle -S
	 alice CMD    the same as uid 10400           alice nc -v 198.51.100.2 80
	 server CMD   run CMD on the server           server ss -tan
	 request      alice's client: a request, 4 s of silence, a request;
	              "request https" does it on port 443
	 chain        install the MARK/CONNMARK/REJECT chain on the phone,
	 halfrst      install the HALFRST rule on the phone,
	 helper       the same by nftables: all three for port 80, or for a port
	              that is named: halfrst 443
	 none         remove all rules from the phone
	 counters     /proc/net/xt_halfrst of the phone
	 exit         leave; nothing of this remains

	END
	cat >/run/bashrc <<-END
	phone() { ip netns exec phone "\$@"; }
	server() { ip netns exec server "\$@"; }
	$(declare -f alice rules_chain rules_halfrst rules_nft)
	request() { alice python3 $here/client.py "\${1:-http}://$host"; }
	none() { phone nft flush ruleset; }
	chain() { phone bash -euc "\$(declare -f rules_chain); rules_chain \${1:-80}"; }
	halfrst() { phone bash -euc "\$(declare -f rules_halfrst); rules_halfrst \${1:-80}"; }
	helper() { phone bash -euc "\$(declare -f rules_nft); rules_nft \${1:-80}"; }
	counters() { phone cat /proc/net/xt_halfrst; }
	PS1='guest# '
	cd /root
	END
	exec bash --rcfile /run/bashrc -i
}

"$@"
