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
# shellcheck disable=SC2317 # functions that are called by their names
set -eu

. ../lib/leaks.sh
. ../../scripts/lib/nginx.sh

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

nginx_conf "$tmp" <<END
	access_log off;
	server {
		listen 127.0.0.1:80;
		location / {
			proxy_pass http://192.0.2.2:8080;
			proxy_read_timeout 5s;
		}
	}
END

descriptors()
{
	find "/proc/$server/fd" -mindepth 1 | wc -l
}

# run LEAK OPTIONS SECONDS: leaves the driver's account and counters in $tmp/run, the
# server running, and the sockets it had before in $before
run()
{
	hosts "$2"
	ip netns exec front nginx -c "$tmp/nginx.conf" -g 'daemon off;' &
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

run paused --dry-run 200
counters
check 'without resets, sockets stay in CLOSE_WAIT' \
	test "$(close_wait)" -gt 200
check 'without resets, the server runs out of descriptors' \
	grep -q EMFILE "$tmp/server"
check 'without resets, good requests fail' test "$(value bad)" -gt 0
gone "$server" "$nginx"

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
gone "$server" "$nginx"

# fewer than there are descriptors: what nobody has accepted is left alone
run forgotten '--grace 5s' 100
check 'forgotten sockets leave the tables, too' until_true none_left
counters
check 'each of them was reset' test "$(value resets)" -gt 170
check 'but their descriptors stay' test "$(descriptors)" -gt 170
gone "$server" "$nginx"
echo "1..$n"
[ "$failed" -eq 0 ]
