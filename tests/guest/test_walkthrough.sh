#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --icount
#
# From "my service has 20,000 sockets in CLOSE_WAIT" to the rule and the proof
# that it works: the README's commands, in its order, with a server that never
# reads nor closes.  Runs as root in a guest of the lab; prints TAP.
set -eu

n=0
many=2000
[ -z "${HALFRST_LONG:-}" ] || many=20000
failed=0
tmp=$(mktemp -d /tmp/walk.XXXXXX)

result()	# NAME GOT WANT
{
	n=$((n + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $n - $1"
	else
		failed=$((failed + 1))
		echo "not ok $n - $1: got $2, want $3"
	fi
}

count()
{
	awk -v name="$1" '$1 == name { print $2 }' /proc/net/xt_halfrst
}

# wait_for WANT CMD...: up to 60 s until CMD prints WANT
wait_for()
{
	local want=$1

	shift
	for _ in {1..600}; do
		[ "$("$@")" != "$want" ] || return 0
		sleep 0.1
	done
	echo "# not within 60 s: $* = $want"
}

in_close_wait()
{
	ss -Htn state close-wait '( sport = :8080 )' | wc -l
}

ip link set lo up
ulimit -n 50000
sysctl -qw net.ipv4.tcp_max_syn_backlog=4096 net.core.somaxconn=4096
# a client's end that waits for the server's FIN goes without a RST
sysctl -qw net.ipv4.tcp_fin_timeout=120

# Leaves every connection open that its client has closed, its request unread
python3 -c '
import socket
listener = socket.create_server(("", 8080), backlog=4096)
leaked = []
while True:
    leaked.append(listener.accept()[0])
' &
server=$!
trap 'kill $server; rm -rf "$tmp"' EXIT

# clients NUMBER: come and go
clients()
{
	python3 -c '
import socket, sys
for i in range(int(sys.argv[1])):
    while True:
        try:
            conn = socket.create_connection(("127.0.0.1", 8080))
            break
        except ConnectionRefusedError:
            pass    # the server is only starting
    conn.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
    conn.close()
' "$1"
}

# lengths of the queues, processes: what all sockets in CLOSE_WAIT have
what_they_have()
{
	ss -Htnp state close-wait '( sport = :8080 )' |
		awk '{ print $1, $2, $5 ~ /python3/ ? "python3" : "nobody" }' |
		sort -u
}

clients $many
wait_for $many in_close_wait
ss -Htn state close-wait | awk '{ sub(/.*:/, "", $3); print $3 }' |
	sort | uniq -c | sort -rn | head -3 >"$tmp/ports"
result "the port that stands out" "$(xargs <"$tmp/ports")" "$many 8080"

result "what they have" "$(what_they_have)" "28 0 python3"

rule="INPUT -p tcp --dport 8080 --tcp-flags FIN FIN -j HALFRST --grace 5m"
# shellcheck disable=SC2086 # words
iptables -t mangle -A $rule --dry-run
clients 1000
sleep 600
result "what it would have reset" "$(count dry_run)" 1000
result "but did not" "$(in_close_wait)" $((many + 1000))

# shellcheck disable=SC2086 # words
iptables -t mangle -A $rule
# shellcheck disable=SC2086 # words
iptables -t mangle -D $rule --dry-run
ss -K state close-wait '( sport = :8080 )' >"$tmp/killed"
result "the old ones are gone" "$(in_close_wait)" 0

clients 1000
wait_for 1000 in_close_wait
result "new ones wait" "$(count watching)" 1000
sleep 600
result "and are reset" "$(count resets)" 1000
result "none is left" "$(in_close_wait)" 0

echo "1..$n"
[ "$failed" -eq 0 ]
