# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# HALFRST's helpers in rulesets of nftables. To be sourced.
# shellcheck disable=SC2034 # for who sources it

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
. ../lib/tap.sh

module=/sys/module/nf_conntrack_halfrst

ip link set lo up

# Over loopback to port $1: the server closes, the client does nothing.
# Prints what becomes of the client's socket: CLOSE or CLOSE_WAIT.
cat >"$tmp/idle.py" <<'END'
import socket, sys, time
address, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
listener = socket.create_server((address, port), family=family)
client = socket.create_connection((address, port))
client.send(b"b")       # a connection that has carried nothing is not idle
server = listener.accept()[0]
server.recv(1)
server.close()
for i in range(100):
    state = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    if state == 7:
        break
    time.sleep(0.02)
try:
    client.send(b"x")
    wrote = "wrote"
except ConnectionResetError:
    wrote = "ECONNRESET"
print({7: "CLOSE", 8: "CLOSE_WAIT"}.get(state, state), wrote)
END

# idle ADDRESS PORT WANT
idle()
{
	local got

	got=$(python3 "$tmp/idle.py" "$1" "$2") && echo "$got" &&
	[ "$got" = "$3" ]
}

reset='CLOSE ECONNRESET'
kept='CLOSE_WAIT wrote'

# ruleset FAMILY NAME: what the README shows, for the server's port 80
ruleset()
{
	cat <<-END
	table $1 halfrst {
		ct helper idle { type "$2" protocol tcp; }
		chain output {
			type filter hook output priority 0;
			tcp dport 80 ct helper set "idle"
		}
	}
	END
}

no_such='No such file or directory'

unload()
{
	local i

	nft flush ruleset
	for ((i = 0; i < 100; i++)); do
		[ -e "$module/refcnt" ] || return 0
		! rmmod nf_conntrack_halfrst 2>"$tmp/rmmod" || return 0
		sleep 0.1
	done
	cat "$tmp/rmmod"
	return 1
}
