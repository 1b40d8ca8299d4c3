#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""In the guest: run one suite of other people's tests.

run.py SUITE FOLDER RESULTS     FOLDER is what build.sh made; RESULTS gets a
                                line for each test: its name, a tab, and ok,
                                FAIL, skip or hang
"""

import glob
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# Seconds without a word after which a test hangs. Virtual time: it is cheap.
QUIET = 150

# The kernel's selftests that have TCP in them
SELFTESTS = [
    "tcp_mmap", "tcp_inq",
    "msg_zerocopy.sh",
    "bind_bhash.sh", "bind_timewait", "bind_wildcard",
    "reuseport_bpf", "reuseport_bpf_cpu", "reuseport_dualstack",
    "reuseport_addr_any.sh", "in_netns.sh ./reuseaddr_conflict",
    "reuseaddr_ports_exhausted.sh",
    "so_incoming_cpu", "so_netns_cookie", "so_txtime.sh",
    "sk_bind_sendto_listen", "sk_connect_zero_addr", "sk_so_peek_off",
    "tcp_fastopen_backup_key.sh",
]

# One cipher: they are not the question, and all take most of an hour.
OTHER_CIPHERS = " ".join(f"-V {cipher}" for cipher in """13_aes_gcm 12_chacha
13_chacha 13_sm4_gcm 13_sm4_ccm 12_aes_ccm 13_aes_ccm 12_aes_gcm_256
13_aes_gcm_256 13_nopad 12_aria_gcm 12_aria_gcm_256""".split())
TLS = [f"tls {OTHER_CIPHERS}"]

# A network with delays, losses and reordering, but not random ones; IPv4, which
# is half of an hour
LINE = "-4 -d 5 -l 0.5% -r '25% 50% gap 5' -e tso -f 100000"
MPTCP = ["mptcp/mptcp_sockopt.sh", f"mptcp/mptcp_connect.sh -t {LINE}"]

# Python's modules with connections in them, those that there are
PYTHON = """socket socketserver asyncore asynchat ssl ftplib httplib httpservers
imaplib nntplib poplib smtpd smtplib telnetlib xmlrpc urllib2_localnet
asyncio.test_buffered_proto asyncio.test_events asyncio.test_sendfile
asyncio.test_server asyncio.test_sock_lowlevel asyncio.test_ssl
asyncio.test_streams""".split()

GO = ["net", "net/http", "net/http/httputil", "net/http/httptest", "net/rpc",
      "net/rpc/jsonrpc", "net/smtp", "net/textproto", "crypto/tls"]
# Left out: it moves so many bytes that it takes longer than all others of net
GO_NOT = ["TestSplice"]

# Those of libuv's tests that have TCP in them. The others, about files, threads
# and processes, are three quarters of the time.
LIBUV = """tcp|shutdown|connect|accept|listen|poll_|ipc_|^spawn_tcp|readable|
writable|callback_stack|close_order|watcher|read_stop|sockname_tcp|
socket_buffer""".replace("\n", "")


class Results:
    """Each test's result; a name that comes again gets a number."""

    def __init__(self, path):
        self.file = open(path, "w")
        self.seen = {}

    def add(self, name, result):
        name = re.sub(r"\s+", " ", name.strip())
        count = self.seen[name] = self.seen.get(name, 0) + 1
        if count > 1:
            name += f" #{count}"
        self.file.write(f"{name}\t{result}\n")
        self.file.flush()


class Command:
    """A program, and what it says line by line until it ends or is silent."""

    def __init__(self, args, cwd, quiet=QUIET, **env):
        self.hung = False
        self.quiet = quiet
        self.start = time.monotonic()
        print(f"+ {' '.join(args)[:2000]}", flush=True)
        # the console shows how far it is
        with open("/dev/kmsg", "w") as console:
            console.write(f"peers: {' '.join(args)[:70]}\n")
        self.process = subprocess.Popen(
            args, cwd=cwd, env={**os.environ, **env},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True)

    def lines(self):
        pipe = self.process.stdout.fileno()
        rest, last = b"", time.monotonic()
        while True:
            if select.select([pipe], [], [], 1)[0]:
                data = os.read(pipe, 65536)
                if not data:
                    break
                last = time.monotonic()
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    yield self.said(line)
            elif self.process.poll() is not None:
                break       # what it left behind holds the pipe
            elif time.monotonic() - last > self.quiet:
                self.hung = True
                break
        if rest:
            yield self.said(rest)
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.status = self.process.wait()
        self.process.stdout.close()
        print(f"= {'hung' if self.hung else self.status}, "
              f"{time.monotonic() - self.start:.1f} s", flush=True)

    @staticmethod
    def said(line):
        line = line.decode("utf-8", "replace").rstrip("\r")
        print(line, flush=True)
        return line


def by_exit(status):
    return {0: "ok", 4: "skip"}.get(status, "FAIL")


def tap(line):
    """The name and result of a line of (K)TAP, or None"""
    found = re.match(r"(?:# )*(not )?ok (\d+)[ -]*(.*)", line)
    if not found:
        return None
    name, _, directive = found[3].partition(" # ")
    if directive.upper().startswith("SKIP"):
        return name, "skip"
    return name, "FAIL" if found[1] else "ok"


def selftests(folder, results, tests=SELFTESTS):
    for test in tests:
        program, *args = shlex.split(test)
        test = test.removesuffix(LINE).removesuffix(OTHER_CIPHERS).strip()
        cwd = os.path.join(folder, os.path.dirname(program))
        program = os.path.basename(program)
        if not os.path.exists(os.path.join(cwd, program)):
            continue
        command = Command([f"./{program}", *args], cwd, quiet=600)
        for line in command.lines():
            found = tap(line)
            # not its number and how long it took, nor its port
            if found:
                name = re.sub(r":[0-9]{5}\)", ")", found[0])
                results.add(f"{test}: {name}", found[1])
        results.add(test, "hang" if command.hung else by_exit(command.status))


def tls(folder, results):
    selftests(folder, results, TLS)


def mptcp(folder, results):
    selftests(folder, results, MPTCP)


def go(folder, results):
    event = re.compile(r"(=== (?:RUN|PAUSE|CONT|NAME)|--- (?:PASS|FAIL|SKIP):)"
                       r"\s+(\S+)")

    for package in GO:
        binary = f"{folder}/{package.replace('/', '_')}.test"
        cwd = f"{folder}/src/{package}"
        if not os.path.exists(binary):
            continue
        names = [n for n in subprocess.run(
            [binary, "-test.list", ".*"], cwd=cwd, capture_output=True,
            text=True, check=True).stdout.split()
            if re.match("Test|Example", n) and n not in GO_NOT]

        # again without those that are done, if one brings all of them down
        left = names
        while left:
            done, running = set(), set()
            command = Command(
                [binary, "-test.v", "-test.short", "-test.parallel=1",
                 "-test.timeout=0", "-test.run", f"^({'|'.join(left)})$"],
                cwd)
            for line in command.lines():
                for what, name in event.findall(line):
                    whole = name.split("/")[0]
                    if what.startswith("---"):
                        results.add(f"{package}: {name}", {
                            "PASS": "ok", "FAIL": "FAIL",
                            "SKIP": "skip"}[what[4:8]])
                        if name == whole:
                            done.add(name)
                    elif what == "=== PAUSE":
                        running.discard(whole)
                    else:
                        running.add(whole)
            # none of them: it died between two tests
            fell = sorted(running - done) or [n for n in left if n not in done]
            for name in fell:
                results.add(f"{package}: {name}",
                            "hang" if command.hung else "FAIL")
            left = [n for n in left if n not in done and n not in fell]


def python(folder, results):
    with open(f"{folder}/modules") as chosen:
        want = chosen.read().split() or PYTHON
    home = os.path.dirname(os.__file__) + "/test/test_"
    modules = [f"test.test_{m}" for m in want
               if os.path.exists(f"{home}{m.replace('.', '/')}.py")]
    for module in modules:
        work = tempfile.mkdtemp()
        done = set()
        while True:
            with open(f"{work}/done", "w") as file:
                file.writelines(f"{name}\n" for name in done)
            names, running = [], None
            command = Command([sys.executable, f"{HERE}/python.py", module,
                               f"{work}/done"], work)
            for line in command.lines():
                _, mark, said = line.partition("\x1e")
                if not mark:
                    continue
                what, name = said.split(" ", 1)
                if what == "has":
                    names.append(name)
                elif what == "start":
                    running = name
                else:
                    results.add(name, what)
                    done.add(name)
                    running = None
            if running:
                results.add(running, "hang" if command.hung else "FAIL")
                done.add(running)
            left = [name for name in names if name not in done]
            if left and not running:    # it died between two tests
                for name in left:
                    results.add(name, "lost")
            if not left or not running:
                break
        shutil.rmtree(work, ignore_errors=True)


def libevent(folder, results):
    # "http/basic: OK", or what went wrong on lines of their own before FAILED
    command = Command(["./regress"], folder)
    name = None
    for line in command.lines():
        found = re.match(r"([a-z_0-9]+/[\w/]+): ?(.*)", line)
        if found:
            if name:
                results.add(name, "FAIL")
            name, line = found[1], found[2]
        if not name:
            continue
        if re.search(r"\bOK\b", line):
            results.add(name, "ok")
            name = None
        elif re.search(r"\bSKIPPED\b|\bDISABLED\b", line):
            results.add(name, "skip")
            name = None
    if name:
        results.add(name, "hang" if command.hung else "FAIL")


def libuv(folder, results):
    env = {"UV_RUN_AS_ROOT": "1", "UV_TEST_TIMEOUT_MULTIPLIER": "4"}
    names = [line.split()[0] for line in subprocess.run(
        ["./run-tests", "--list"], cwd=folder, capture_output=True, text=True,
        check=True, env={**os.environ, **env}).stdout.splitlines() if line]
    for name in filter(re.compile(LIBUV).search, names):
        command = Command(["./run-tests", name], folder, **env)
        found = [tap(line) for line in command.lines()]
        found = [result for result in found if result]
        if not found:
            found = [(name, "hang" if command.hung else "FAIL")]
        for one in found:
            results.add(*one)


def node(folder, results):
    # A test is a program, which may say in a comment what it wants node to
    # be told. Those of pipes have no TCP in them.
    for path in sorted(glob.glob(f"{folder}/parallel/test-net-*.js")):
        with open(path, encoding="utf-8") as file:
            told = re.search(r"^// Flags:(.*)", file.read(), re.M)
        name = os.path.basename(path).removesuffix(".js")
        if "pipe" in name:
            continue
        command = Command(["node", *(told[1].split() if told else []), path],
                          folder)
        skipped = any([line.startswith("1..0 # Skipped")
                       for line in command.lines()])
        results.add(name, "hang" if command.hung else "skip" if skipped
                    else by_exit(command.status))


# Servers that speak first
LATE = {
    "socat": "socat TCP{family}-LISTEN:7,reuseaddr,fork SYSTEM:'echo hello'",
    "nc": "nc -{family} -N -l 7",
}


def listens():
    return subprocess.run(["ss", "-Hltn", "sport = :7"], capture_output=True,
                          check=True).stdout


def late(folder, results):
    # Not a suite, but a server that everybody may have: it is stopped, and so
    # its client, which has nothing to say, waits for 11 minutes in the queue
    # of those that accept() has not seen.
    for name, command in LATE.items():
        for family, address in ("4", "127.0.0.1"), ("6", "::1"):
            with open(f"{folder}/hello") as hello, subprocess.Popen(
                    shlex.split(command.format(family=family)), stdin=hello,
                    start_new_session=True) as server:
                while not listens():
                    time.sleep(0.1)
                server.send_signal(signal.SIGSTOP)
                os.waitpid(server.pid, os.WUNTRACED)
                with socket.create_connection((address, 7)) as client:
                    client.shutdown(socket.SHUT_WR)
                    time.sleep(11 * 60)
                    server.send_signal(signal.SIGCONT)
                    client.settimeout(QUIET)
                    try:
                        said = client.makefile("rb").read()
                    except OSError as error:
                        said = error
                print(name, family, said, flush=True)
                os.killpg(server.pid, signal.SIGKILL)
                results.add(f"{name}, IPv{family}",
                            "ok" if said == b"hello\n" else "FAIL")


def main():
    suite, folder, path = sys.argv[1:]
    {"selftests": selftests, "tls": tls, "mptcp": mptcp, "go": go,
     "python": python, "libevent": libevent,
     "libuv": libuv, "node": node, "late": late}[suite](folder, Results(path))


main()
