#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --icount
#
# From "my service has 20,000 sockets in CLOSE_WAIT" to the rule and the proof
# that it works: the README's commands, in its order, with a server that never
# reads nor closes, and whose descriptors stay until it is mended.  Runs as root in
# a guest of the lab; prints TAP.
set -eu

many=2000
[ -z "${HALFRST_LONG:-}" ] || many=20000
tmp=$(mktemp -d /tmp/walk.XXXXXX)
. ../lib/tap.sh

# is WANT CMD...: what CMD prints
is()
{
	local want=$1 got

	shift
	got=$("$@")
	[ "$got" = "$want" ] || { echo "got $got, want $want"; return 1; }
}

count()
{
	awk -v name="$1" '$1 == name { print $2 }' /proc/net/xt_halfrst
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

descriptors()
{
	find "/proc/$server/fd" -mindepth 1 | wc -l
}

# at_most NUMBER
at_most()
{
	[ "$(descriptors)" -le "$1" ]
}

# Leaves every connection open that its client has closed, its request unread.
# SIGUSR1 mends it: it writes to each, and closes those that fail.
python3 -c '
import signal, socket
listener = socket.create_server(("", 8080), backlog=4096)
leaked = []

def dead(conn):
    try:
        conn.send(b".")
        return False
    except OSError:
        conn.close()
        return True

def mended(*_):
    leaked[:] = [conn for conn in leaked if not dead(conn)]

signal.signal(signal.SIGUSR1, mended)
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

in_listen()
{
	[ -n "$(ss -Htln '( sport = :8080 )')" ]
}

# lengths of the queues, processes: what all sockets in CLOSE_WAIT have
what_they_have()
{
	ss -Htnp state close-wait '( sport = :8080 )' |
		awk '{ print $1, $2, $5 ~ /python3/ ? "python3" : "nobody" }' |
		sort -u
}

until_true in_listen
before=$(descriptors)
clients $many
until_true is $many in_close_wait
ss -Htn state close-wait | awk '{ sub(/.*:/, "", $3); print $3 }' |
	sort | uniq -c | sort -rn | head -3 >"$tmp/ports"
check "the port that stands out" is "$many 8080" xargs -a "$tmp/ports"

check "what they have" is "28 0 python3" what_they_have

rule="INPUT -p tcp --dport 8080 --tcp-flags FIN FIN -j HALFRST --grace 5m"
# shellcheck disable=SC2086 # words
iptables -t mangle -A $rule --dry-run
clients 1000
sleep 600
check "what it would have reset" is 1000 count dry_run
check "but did not" is $((many + 1000)) in_close_wait

# shellcheck disable=SC2086 # words
iptables -t mangle -A $rule
# shellcheck disable=SC2086 # words
iptables -t mangle -D $rule --dry-run
../../service/sweep --dport 8080 --grace 5m --yes >"$tmp/swept" 2>&1
check "the old ones are gone" is 0 in_close_wait

clients 1000
until_true is 1000 in_close_wait
check "new ones wait" is 1000 count watching
sleep 600
check "and are reset" is 1000 count resets
check "none is left" is 0 in_close_wait
check "but who never looks keeps the descriptors" \
	is $((before + many + 2000)) descriptors
kill -USR1 $server
check "and who writes to them gets them back" until_true at_most "$before"

echo "1..$n"
[ "$failed" -eq 0 ]
