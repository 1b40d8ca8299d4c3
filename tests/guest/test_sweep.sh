#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --icount
#
# The command sweep, against more than 1,000 sockets of all kinds: it resets those
# that a rule would have reset, and nobody else's. Runs as root in a guest of the
# lab; prints TAP.
set -eu

tmp=$(mktemp -d /tmp/sweep.XXXXXX)
. ../lib/tap.sh
dir=../../service

ip link set lo up
ip addr add 2001:db8::1/64 dev lo nodad
ulimit -n 20000
sysctl -qw net.core.somaxconn=4096 net.ipv4.tcp_fin_timeout=36000
modprobe -qa tcp_diag inet_diag tls mptcp_diag || :
tls=$(grep -cw tls /proc/sys/net/ipv4/tcp_available_ulp || :)

# The owner of all sockets but the kernel's. SIGUSR1: those that come late are
# half-closed now. SIGUSR2: a report, KIND STATE NUMBER for each, where STATE is
# "reset" if the socket is closed, gave all that was unread, then the end of file,
# and then ECONNABORTED.
cat >"$tmp/crowd.py" <<'END'
import errno, os, signal, socket, struct, sys, time

PORT, ELSEWHERE, SERVER = 8080, 8081, 8443
TCP_ULP, TCP_MD5SIG = 31, 14
families = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "2001:db8::1"),
            (socket.AF_INET6, "::ffff:127.0.0.4"), (socket.AF_INET6, "fe80::1%lo")]
os.system("ip addr add fe80::1/64 dev lo nodad")
kinds, listeners, keep = {}, {}, []

def listener(fam, addr, port):
    key = fam, addr, port
    if key not in listeners:
        s = socket.socket(fam)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        s.bind(socket.getaddrinfo(addr, port, fam)[0][4])
        s.listen(4096)
        listeners[key] = s
    return listeners[key]

# 127.0.0.1 is the client's address whatever it connects to
def md5(s, peer):
    s.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG,
                 struct.pack("=HH4s120xBBHI80s", socket.AF_INET, 0,
                             socket.inet_aton(peer), 0, 0, 3, 0, b"key"))

# One connection: the side that is asked, and its peer
def connection(fam, addr, port=PORT, narrow=False, signed=False):
    l = listener(fam, addr, port)
    c = socket.socket(fam)
    if narrow:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    if signed:
        md5(l, "127.0.0.1"), md5(c, addr)
    c.connect(l.getsockname())
    return l.accept()[0], c

def half_close(c):
    c.shutdown(socket.SHUT_WR)
    keep.append(c)

def add(kind, s, unread=b"", uid=1000):
    if s is not None:
        os.fchown(s.fileno(), uid, -1)
    kinds.setdefault(kind, []).append((s, unread))

def state(s):
    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]

def crowd(fam, addr):
    for n in range(25):
        s, c = connection(fam, addr)        # end of file read: Recv-Q 0
        half_close(c)
        s.recv(1)
        add("read", s)
        s, c = connection(fam, addr)        # Recv-Q 1, something was answered
        s.send(b"answer")
        c.recv(6)
        half_close(c)
        add("idle", s)
        s, c = connection(fam, addr)
        c.send(b"r" * 27)
        c.close()
        add("request", s, b"r" * 27)
        s, c = connection(fam, addr)
        c.send(b"r" * 4097)
        half_close(c)
        add("large", s, b"r" * 4097)
        s, c = connection(fam, addr)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        half_close(c)
        add("bound", s)

        s, c = connection(fam, addr)
        half_close(c)
        add("other-uid", s, uid=1001)
        s, c = connection(fam, addr, ELSEWHERE)
        half_close(c)
        add("other-port", s)
        s, c = connection(fam, addr, narrow=True)   # more than its peer takes
        s.setblocking(False)
        s.send(b"a" * 500000)
        half_close(c)
        add("unsent", s)
        s, c = connection(fam, addr)
        add("open", s)
        keep.append(c)
    for n in range(5):
        s, c = connection(fam, addr)
        c.send(b"r" * 4000)
        half_close(c)
        add("reads", s)
        s, c = connection(fam, addr)
        half_close(c)
        add("writes", s)
        s, c = connection(fam, addr)
        c.send(b"late")
        add("late", s, b"late")
        keep.append(c)
        late.append(c)
        for kind, unread in ("pooled", 0), ("alert", 24), ("words", 4096), \
                ("answer", 4097):
            s, c = connection(fam, addr, SERVER)
            s.send(b"s" * unread)
            half_close(s)
            add(kind, c, b"s" * unread)

# What nobody accepts waits at a listener of its own
def unaccepted(n):
    l = socket.socket()
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind(("127.0.0.2", PORT))
    l.listen(4096)
    os.fchown(l.fileno(), 1000, -1)
    keep.append(l)
    for _ in range(n):
        c = socket.create_connection(("127.0.0.2", PORT))
        half_close(c)

def exempt():
    for n in range(5):
        s, c = connection(socket.AF_INET, "127.0.0.3", signed=True)
        half_close(c)
        add("md5", s)
        s, c = connection(socket.AF_INET, "127.0.0.1")
        try:
            s.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
        except OSError:
            continue
        half_close(c)
        add("ktls", s)

def after_reset(s, unread):
    s.setblocking(False)
    got = b""
    while len(got) < len(unread):
        got += s.recv(65536) or b"?"
    if got != unread or s.recv(1) != b"":
        return "bytes-lost"
    try:
        s.send(b"x")
    except OSError as e:
        return "reset" if e.errno == errno.ECONNABORTED else str(e.errno)
    return "writable"

# A socket is asked once what a reset has left
words = {}
def report():
    for kind, sockets in kinds.items():
        for s, unread in sockets:
            now = state(s)
            if now == 7 and s not in words:
                words[s] = after_reset(s, unread)
            print(kind, words.get(s) or
                  {1: "established", 8: "close-wait"}.get(now, now))

late = []
for f in families:
    crowd(*f)
unaccepted(100)
exempt()
todo = set()
signal.signal(signal.SIGUSR1, lambda *a: todo.add("late"))
signal.signal(signal.SIGUSR2, lambda *a: todo.add("report"))
print("sockets", sum(map(len, kinds.values())) + 100, flush=True)
while True:
    time.sleep(10)
    for s, _ in kinds["reads"]:
        if state(s) == 8:
            s.recv(1)
    for s, _ in kinds["writes"]:
        if state(s) == 8:
            s.send(b"w")
    for job in list(todo):
        todo.remove(job)
        if job == "late":
            for c in late:
                c.shutdown(socket.SHUT_WR)
        else:
            sys.stdout = open(sys.argv[1] + "/report.new", "w")
            report()
            sys.stdout.close()
            os.rename(sys.argv[1] + "/report.new", sys.argv[1] + "/report")
END

python3 "$tmp/crowd.py" "$tmp" >"$tmp/said" 2>&1 &
crowd=$!
trap 'kill $crowd; rm -rf "$tmp"' EXIT

# What became of all of them, as KIND/STATE/NUMBER
report()
{
	rm -f "$tmp/report"
	kill -USR2 $crowd && until_true [ -e "$tmp/report" ] &&
	sort "$tmp/report" | uniq -c | awk '{ print $2 "/" $3 "/" $1 }' |
		sort | xargs
}

# reset KIND...: these are, so far; nothing has happened to the others
reset()
{
	local kind state want got

	want=$(for kind in alert/20 answer/20 bound/100 idle/100 ktls/5 \
		large/100 late/20 md5/5 open/100 other-port/100 other-uid/100 \
		pooled/20 read/100 reads/20 request/100 unsent/100 words/20 \
		writes/20; do
		state=close-wait
		case ${kind%/*} in
		open)	state=established ;;
		late)	[ -e "$tmp/late" ] || state=established ;;
		ktls)	[ "$tls" = 1 ] || continue ;;
		esac
		case " $* " in *" ${kind%/*} "*) state=reset ;; esac
		echo "${kind%/*}/$state/${kind#*/}"
	done | sort | xargs)
	got=$(report)
	[ "$got" = "$want" ] || { echo "got  $got"; echo "want $want"; return 1; }
	[ "$(ss -Htn state close-wait src 127.0.0.2 | wc -l)" = 100 ]
}

# says STATUS WORDS ARG...: of sweep, as root in a pipe
says()
{
	local rc=0

	${as:-} "${sweep:-$dir/sweep}" "${@:3}" >"$tmp/out" 2>&1 <"$tmp/answer" || rc=$?
	cat "$tmp/out"
	[ $rc = "$1" ] && grep -qF -- "$2" "$tmp/out"
}

# stay NUMBER WORDS: so it said in the end
stay()
{
	tail -n 10 "$tmp/out" | grep -E "^ +$1 stay: $2" || { cat "$tmp/out"; return 1; }
}

# Two looks, and in between some are half-closed
two_looks()
{
	"$dir/sweep" --dport 8080 --uid-owner 1000 --grace 5m --yes \
		>"$tmp/out" 2>&1 &
	until_true grep 'looks again' "$tmp/out" && kill -USR1 $crowd &&
	touch "$tmp/late" && wait $! && cat "$tmp/out" &&
	grep '500 of python3, uid 1000, port 8080 here; .* unread bytes: 200' \
		"$tmp/out" && grep '500 of 500 were reset' "$tmp/out"
}

# Behind the first report each of those that read has read since it asks, before
# the second one
asks_long()
{
	mkfifo "$tmp/later"
	"$dir/sweep" --dport 8080 --uid-owner 1000 --grace 1m --now \
		<"$tmp/later" >"$tmp/out" 2>&1 &
	exec 6>"$tmp/later"
	until_true grep -q 'Reset these 40' "$tmp/out" && report && report &&
	echo y >&6 && wait $! && cat "$tmp/out" &&
	grep '20 of 40 were reset; the others had moved' "$tmp/out"
}

# The kernel's own answer, to ss, is silence
deaf()
{
	mkdir "$tmp/bin"
	cat >"$tmp/bin/ss" <<-END
	#!/bin/sh
	case \$1 in *K*) exit 0 ;; esac
	exec $(command -v ss) "\$@"
	END
	chmod +x "$tmp/bin/ss"
	as="env PATH=$tmp/bin:$PATH" says 1 'ss -K reset none' \
		--dport 8081 --grace 1m --now --yes
}

until_true grep -q sockets "$tmp/said" || { cat "$tmp/said"; exit 1; }

swept="bound idle large read request"
echo n >"$tmp/answer"
check 'more than 1,000 sockets' \
	test "$(awk '{ print $2 }' "$tmp/said")" -gt 1000
check 'no socket named' says 2 'which sockets?' --grace 5m
check 'a time without a unit' says 2 'needs a unit' --dport 8080 --grace 5
check 'a port that is none' says 2 'what port' --dport http
check 'no such user' says 2 'there is no user' --uid-owner nobody-here
as='setpriv --reuid 1000 --clear-groups' \
	check 'not root' says 1 'needs root' --dport 8080
check 'nothing there' says 0 'there is nothing to reset' --dport 9 --grace 5m
check 'the answer is no' says 1 'nothing was reset' --dport 8080 --grace 1s
check 'none has been reset' reset
check 'two looks, 5 minutes apart' two_looks
check 'those that were still, and no others' reset "$swept"
check 'whose bytes are on their way' stay 100 'bytes are on'
check 'nobody has accepted' stay 100 'nobody has accepted'
check 'who reads, who writes, who came late' stay 60 'read, written'
check 'with signed segments' stay 5 'MPTCP or signed'
[ "$tls" != 1 ] || check 'with TLS in the kernel' stay 5 'TLS in the'

echo y >"$tmp/answer"
check 'a client, no grace, the answer is yes' \
	says 0 '60 of python3, uid 1000, port 8443 of the peer' --sport 8443
swept+=" pooled alert words"
check 'those with 4 KiB unread at most' reset "$swept"
check 'the other has more' stay 20 'more than 4 KiB'

check 'one look: not for so long' \
	says 0 'there is nothing to reset' --dport 8081 --grace 10h --now
if [ ! -e "/boot/config-$(uname -r)" ] && [ ! -e /proc/config.gz ]; then
	mkdir -p /boot
	echo CONFIG_INET=y >"/boot/config-$(uname -r)"
	check 'the configuration says: no' says 1 'no CONFIG_INET_DIAG_DESTROY' \
		--dport 8081 --now --yes
	rm "/boot/config-$(uname -r)"
fi
check 'the kernel says nothing: no' deaf
check 'none has been reset, again' reset "$swept"
check 'while it asks, some are read' asks_long
swept+=" late"
check 'these stay' reset "$swept"
check 'one look' says 0 '100 of 100 were reset' --dport 8081,8082 \
	--uid-owner 999-1000 --grace 1m --now
check 'those of the other port' reset "$swept" other-port
echo "1..$n"
[ "$failed" -eq 0 ]
