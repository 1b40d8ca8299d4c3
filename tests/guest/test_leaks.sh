#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --icount
#
# What may lie in a socket that its server leaks, when its peer has given up?
# Clients of a server that keeps every connection and closes none:
#   unread     the request, all of it (Recv-Q 28 with the FIN)
#   partly     its end
#   answers    nothing, but the answer is on its way to a peer that half-closed
#              and takes its time: it gets all of it, and only then is reset
#   waiting    the request, and nobody has accepted the connection: left alone
# shellcheck disable=SC2317 # functions that are called by their names
set -eu

. ../lib/leaks.sh

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
	gone "$server"
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
echo "1..$n"
[ "$failed" -eq 0 ]
