# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The network of demo and clients, in a guest. To be sourced. Three network
# namespaces:
#
#     phone                      net                       server
#    192.0.2.2 ──── 192.0.2.1   25 ms   198.51.100.1 ──── 198.51.100.2
#    alice's client           each way              port 80 or 443
#    (uid 10400)
#
# The delay is in the middle, so that a capture at either end shows when
# that end sent or got a packet.
# shellcheck disable=SC2034 # for who sources it

host=198.51.100.2
declare -A ports=([http]=80 [https]=443)
export SSL_CERT_FILE=/run/cert.pem

# The certificate is as old as the guest's clock
certificate()
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
		-nodes -days 3650 -subj /CN=server \
		-addext "subjectAltName=IP:$host" \
		-keyout /run/key.pem -out /run/cert.pem 2>/run/openssl.log
	cat /run/cert.pem /run/key.pem >/run/both.pem
}

# Fresh namespaces have no rules, no counts and no memory of round trips. By
# few processes: they are what costs time.
network_up()
{
	local ns address router off=net.ipv6.conf.default.disable_ipv6=1

	ip -batch - <<-END
	netns add phone
	netns add net
	netns add server
	END
	ip netns exec net sysctl -qw $off net.ipv4.ip_forward=1
	ip netns exec phone sysctl -qw $off
	ip netns exec server sysctl -qw $off \
		net.ipv4.ip_unprivileged_port_start=0
	ip -n net -batch - <<-END
	link add phone type veth peer name eth0 netns phone
	link add server type veth peer name eth0 netns server
	addr add 192.0.2.1/24 dev phone
	addr add 198.51.100.1/24 dev server
	link set phone up
	link set server up
	END
	for ns in phone/192.0.2.2/192.0.2.1 "server/$host/198.51.100.1"; do
		IFS=/ read -r ns address router <<< "$ns"
		ip -n "$ns" -batch - <<-END
		addr add $address/24 dev eth0
		link set lo up
		link set eth0 up
		route add default via $router
		END
	done
	tc -n net -batch - <<-END
	qdisc add dev phone root netem delay 25ms
	qdisc add dev server root netem delay 25ms
	END
}

network_down()
{
	ip -batch - <<-END
	netns del phone
	netns del server
	netns del net
	END
}

alice()
{
	ip netns exec phone \
		setpriv --reuid alice --regid alice --clear-groups -- "$@"
}
