#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --icount
#
# A server that leaks its sockets, behind nginx, which gives up on an answer
# after 5 seconds and closes.  256 descriptors.
#
#   front namespace                      back namespace
#   driver ── nginx ── f0 (veth) b0 ── rule, leaking server, port 8080
#                192.0.2.1            192.0.2.2
#
# Which leaks does a reset cure?
#   paused     an event loop stops reading while it works on a request, loses
#              the work, and never asked for EPOLLRDHUP: an end of file is not
#              told to it, a reset is (EPOLLHUP, EPOLLERR).  Cured.
#   forgotten  nobody looks at the descriptor again.  The socket leaves the
#              kernel's tables, the descriptor stays: not cured.
#
# What may lie in such a socket when its peer has given up?  Clients of a second
# server, which keeps every connection and closes none:
#   unread     the request, all of it (Recv-Q 28 with the FIN)
#   partly     its end
#   answers    nothing, but the answer is on its way to a peer that half-closed
#              and takes its time: it gets all of it, and only then is reset
#   waiting    the request, and nobody has accepted the connection: left alone
# shellcheck disable=SC2317 # functions that are called by their names
set -eu

tmp=$(mktemp -d)
. ../lib/tap.sh
chmod 755 "$tmp"

cat >"$tmp/server.py" <<'END'
import errno, select, socket, sys, time

IN, GONE = select.EPOLLIN, select.EPOLLHUP | select.EPOLLERR
leak = sys.argv[1]
loop = select.epoll()
listener = socket.create_server(("192.0.2.2", 8080), backlog=1024)
loop.register(listener, IN)
conns = {}

def accept():
    try:
        conn, _ = listener.accept()
    except OSError as e:
        if e.errno != errno.EMFILE:
            raise
        print("EMFILE", flush=True)
        time.sleep(1)
        return
    conns[conn.fileno()] = conn
    loop.register(conn, IN)

def close(fd):
    loop.unregister(fd)
    conns.pop(fd).close()

def serve(fd):
    request = conns[fd].recv(4096)
    if not request:
        return close(fd)
    loop.modify(fd, 0)          # one request at a time
    if b"/lost" in request:
        if leak == "forgotten":
            loop.unregister(fd)
        raise RuntimeError("nobody answers, nobody closes")
    conns[fd].sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
    close(fd)

while True:
    for fd, events in loop.poll():
        if fd == listener.fileno():
            accept()
        elif events & GONE:
            close(fd)
        else:
            try:
                serve(fd)
            except RuntimeError:
                pass
END

# Requests for some seconds: two each second are lost by the server, one is good
cat >"$tmp/driver.py" <<'END'
import os, socket, sys, time

def send(path):
    s = socket.create_connection(("127.0.0.1", 80))
    s.sendall(b"GET %s HTTP/1.0\r\n\r\n" % path)
    return s

lost, good, bad, most = [], 0, 0, 0
end = time.time() + int(sys.argv[2])
while time.time() < end:
    for _ in range(2):
        lost.append((time.time(), send(b"/lost")))
        time.sleep(0.5)
    while lost[0][0] < time.time() - 10:
        lost.pop(0)[1].close()
    with send(b"/good") as s:
        if s.recv(4096).startswith(b"HTTP/1.1 200"):
            good += 1
        else:
            bad += 1
    most = max(most, len(os.listdir(f"/proc/{sys.argv[1]}/fd")))
print("good", good)
print("bad", bad)
print("most", most)
END

cat >"$tmp/keeper.py" <<'END'
import socket, sys, time

what = sys.argv[1]
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
listener.bind(("192.0.2.2", 8080))
listener.listen(1024)
kept = []
while what == "waiting":
    time.sleep(1000)
while True:
    conn = listener.accept()[0]
    kept.append(conn)
    if what == "partly":
        conn.recv(10)
    elif what == "answers":
        conn.recv(4096)
        conn.sendall(bytes(200000))
END

# 50 clients that give up after a second; those of "answers" shut down their
# side and read after 30 seconds. Prints how many got a whole answer.
cat >"$tmp/users.py" <<'END'
import socket, sys, time

what = sys.argv[1]
request = b"GET / HTTP/1.0\r\nHost: x\r\n\r\n"
users = []
for _ in range(50):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("192.0.2.2", 8080))
    s.sendall(request)
    users.append(s)
time.sleep(1)
if what != "answers":
    sys.exit()
for s in users:
    s.shutdown(socket.SHUT_WR)
time.sleep(30)
whole = 0
for s in users:
    got = 0
    while got < 200000:
        got += len(s.recv(65536)) or 200001
    whole += got == 200000
print("whole", whole, flush=True)
try:
    s.recv(1)
except ConnectionResetError:
    print("then reset", flush=True)
END

cat >"$tmp/nginx.conf" <<END
daemon off;
user www-data;
pid $tmp/nginx.pid;
error_log $tmp/error.log;
events { worker_connections 1024; }
http {
	access_log off;
	server {
		listen 127.0.0.1:80;
		location / {
			proxy_pass http://192.0.2.2:8080;
			proxy_read_timeout 5s;
		}
	}
}
END

listening()
{
	[ -n "$(ip netns exec "$1" ss -tlnH)" ]
}

# value NAME: of the driver's account or a counter
value()
{
	awk -v name="$1" '$1 == name { print $2 }' "$tmp/run"
}

close_wait()
{
	ip netns exec back ss -tnH state close-wait | wc -l
}

descriptors()
{
	find "/proc/$server/fd" -mindepth 1 | wc -l
}

# hosts OPTIONS: both namespaces, the second with a rule
hosts()
{
	local ns

	for ns in front back; do
		ip netns add $ns
		ip -n $ns link set lo up
	done
	ip -n front link add f0 type veth peer name b0 netns back
	ip -n front addr add 192.0.2.1/24 dev f0
	ip -n back addr add 192.0.2.2/24 dev b0
	ip -n front link set f0 up
	ip -n back link set b0 up
	# shellcheck disable=SC2086 # options are words
	ip netns exec back iptables -t mangle -A INPUT -p tcp --dport 8080 \
		--tcp-flags FIN FIN -j HALFRST $1
}

# run LEAK OPTIONS SECONDS: leaves the driver's account and counters in $tmp/run, the
# server running, and the sockets it had before in $before
run()
{
	hosts "$2"
	ip netns exec front nginx -p "$tmp" -c "$tmp/nginx.conf" &
	nginx=$!
	(
		ulimit -n 256
		exec ip netns exec back python3 "$tmp/server.py" "$1"
	) >"$tmp/server" &
	server=$!
	until_true listening front
	until_true listening back
	before=$(descriptors)
	ip netns exec front python3 "$tmp/driver.py" "$server" "$3" \
		>"$tmp/run"
}

counters()
{
	ip netns exec back cat /proc/net/xt_halfrst >>"$tmp/run"
}

gone()
{
	kill "$server" "$nginx"
	wait "$server" "$nginx" 2>/dev/null || :
	ip netns del front
	ip netns del back
}

modprobe -a veth xt_HALFRST

run paused --dry-run 200
counters
check 'without resets, sockets stay in CLOSE_WAIT' \
	test "$(close_wait)" -gt 200
check 'without resets, the server runs out of descriptors' \
	grep -q EMFILE "$tmp/server"
check 'without resets, good requests fail' test "$(value bad)" -gt 0
gone

run paused '--grace 30s' 200
check 'with --grace 30s, no good request fails' \
	test "$(value bad)" = 0 -a "$(value good)" -gt 150
check 'with --grace 30s, descriptors suffice' \
	test -z "$(cat "$tmp/server")" -a "$(value most)" -lt 150
all_closed()
{
	[ "$(close_wait)" = 0 ] && [ "$(descriptors)" = "$before" ]
}
check 'with --grace 30s, all of them are closed in the end' \
	until_true all_closed
counters
check 'each lost connection was reset' test "$(value resets)" -gt 350
gone

# fewer than there are descriptors: what nobody has accepted is left alone
run forgotten '--grace 5s' 100
none_left()
{
	[ "$(close_wait)" = 0 ]
}
check 'forgotten sockets leave the tables, too' until_true none_left
counters
check 'each of them was reset' test "$(value resets)" -gt 170
check 'but their descriptors stay' test "$(descriptors)" -gt 170
gone

# queues FIELD: the different lengths of the queues in CLOSE_WAIT, the least
# first; 1 is Recv-Q, 2 Send-Q
queues()
{
	ip netns exec back ss -tnH state close-wait |
		awk -v f="$1" '{ print $f }' | sort -un | xargs
}

# keep WHAT OPTIONS: the second server, with its clients in the background
keep()
{
	: >"$tmp/run"
	hosts "$2"
	ip netns exec back python3 "$tmp/keeper.py" "$1" &
	server=$!
	until_true listening back
	ip netns exec front python3 "$tmp/users.py" "$1" >"$tmp/users" &
	users=$!
	until_true all_in_close_wait
}

all_in_close_wait()
{
	[ "$(close_wait)" = 50 ]
}

kept_no_more()
{
	wait "$users" || :
	kill "$server"
	wait "$server" 2>/dev/null || :
	ip netns del front
	ip netns del back
}

for what in unread/28 partly/18; do
	keep "${what%/*}" '--grace 5s'
	check "${what%/*}: 50 leak with Recv-Q ${what#*/}" \
		test "$(queues 1)" = "${what#*/}"
	check "${what%/*}: --grace 5s clears them" until_true none_left
	counters
	check "${what%/*}: each was reset" test "$(value resets)" = 50
	kept_no_more
done

keep answers '--grace 5s'
sleep 20
check 'answers: none is reset while its answer is on its way' \
	all_in_close_wait
read -r least _ <<< "$(queues 2)"
check 'answers: Send-Q says so' test "$least" -gt 0
wait "$users" || :
cp "$tmp/users" "$tmp/run"
check 'answers: no answer was cut' grep -qx 'whole 50' "$tmp/users"
check 'answers: and then comes the reset' grep -qx 'then reset' "$tmp/users"
check 'answers: --grace 5s clears them after that' until_true none_left
counters
check 'answers: each was reset' test "$(value resets)" = 50
kept_no_more

# nobody has them, so nobody is named
keep waiting '--grace 5s'
sleep 60
check 'waiting: none of those that nobody accepted is reset' \
	all_in_close_wait
check 'waiting: ss names no process' \
	test -z "$(ip netns exec back ss -tnpH state close-wait | grep users:)"
check 'waiting: the listener says how many' \
	test "$(ip netns exec back ss -tlnH | awk '{ print $2 }')" = 50
kept_no_more

rm -rf "$tmp"
echo "1..$n"
exit $failed
