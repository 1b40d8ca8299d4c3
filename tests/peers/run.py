#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""In the guest: run one suite of other people's tests.

run.py SUITE FOLDER RESULTS     FOLDER is what build.sh made; RESULTS gets a
                                line for each test: its name, a tab, and ok,
                                FAIL, skip or hang
"""

import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# Seconds without a word after which a test hangs. Virtual time: it is cheap.
QUIET = 150

# The kernel's selftests that have TCP in them. Those of mptcp make networks
# with delays, losses and reordering; not random ones here.
LINE = "-d 5 -l 0.5% -r '25% 50% gap 5' -e tso -f 300000"
SELFTESTS = [
    "tls", "tcp_mmap", "tcp_inq",
    "msg_zerocopy.sh",
    "bind_bhash.sh", "bind_timewait", "bind_wildcard",
    "reuseport_bpf", "reuseport_bpf_cpu", "reuseport_dualstack",
    "reuseport_addr_any.sh", "in_netns.sh ./reuseaddr_conflict",
    "reuseaddr_ports_exhausted.sh",
    "so_incoming_cpu", "so_netns_cookie", "so_txtime.sh",
    "sk_bind_sendto_listen", "sk_connect_zero_addr", "sk_so_peek_off",
    "tcp_fastopen_backup_key.sh",
    "mptcp/mptcp_sockopt.sh", f"mptcp/mptcp_connect.sh -t {LINE}",
    f"mptcp/mptcp_connect.sh -m mmap {LINE}",
    f"mptcp/mptcp_connect.sh -m sendfile -C {LINE}",
]

# Python's modules about sockets and servers, those that there are
PYTHON = """socket socketserver selectors select poll epoll asyncore asynchat
ssl ftplib httplib httpservers imaplib nntplib poplib smtpd smtplib smtpnet
telnetlib xmlrpc urllib urllib2 urllib2_localnet urllibnet wsgiref docxmlrpc
robotparser timeout logging kqueue""".split()

GO = ["net", "net/http", "net/http/httputil", "net/http/httptest", "net/rpc",
      "net/rpc/jsonrpc", "net/smtp", "net/textproto", "crypto/tls"]


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


def selftests(folder, results):
    for test in SELFTESTS:
        program, *args = shlex.split(test)
        test = test.removesuffix(LINE).strip()
        cwd = os.path.join(folder, os.path.dirname(program))
        program = os.path.basename(program)
        if not os.path.exists(os.path.join(cwd, program)):
            continue
        command = Command([f"./{program}", *args], cwd, quiet=600)
        for line in command.lines():
            found = tap(line)
            # a test's number of its own, its port, and how long it took
            if found:
                results.add(f"{test}: {found[0]}", found[1])
        results.add(test, "hang" if command.hung else by_exit(command.status))


def again(results, names, attempt):
    """Run ATTEMPT(names) until each name has a result or nothing moves"""
    left = list(names)
    while left:
        done, stuck, hung = attempt(left)
        for name in stuck:
            results.add(name, "hang" if hung else "FAIL")
        more = [name for name in left if name not in done and
                name not in stuck]
        if len(more) == len(left):
            for name in left:
                results.add(name, "lost")
            return
        left = more


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
            if re.match("Test|Example", n)]

        def attempt(left):
            done, running = set(), {}
            command = Command(
                [binary, "-test.v", "-test.short", "-test.parallel=1",
                 "-test.timeout=0", "-test.run",
                 "^(" + "|".join(n.split(": ")[1] for n in left) + ")$"],
                cwd)
            for line in command.lines():
                for what, name in event.findall(line):
                    whole = f"{package}: {name.split('/')[0]}"
                    if what in ("=== RUN", "=== CONT"):
                        running[whole] = True
                    elif what == "=== PAUSE" and "/" not in name:
                        running.pop(whole, None)
                    elif what.startswith("---"):
                        results.add(f"{package}: {name}", {
                            "PASS": "ok", "FAIL": "FAIL",
                            "SKIP": "skip"}[what[4:8]])
                        if "/" not in name:
                            done.add(whole)
            return done, [n for n in running if n not in done], command.hung

        again(results, [f"{package}: {n}" for n in names], attempt)


def python(folder, results):
    with open(f"{folder}/modules") as chosen:
        want = chosen.read().split() or PYTHON
    home = os.path.dirname(os.__file__) + "/test"
    modules = [f"test.test_{m}" for m in want
               if os.path.exists(f"{home}/test_{m}.py")]
    if "asyncio" in want or want is PYTHON:
        modules += sorted(f"test.test_asyncio.{f[:-3]}"
                          for f in os.listdir(f"{home}/test_asyncio")
                          if re.match(r"test_.*\.py$", f))
    for module in modules:
        work = tempfile.mkdtemp()
        skip = os.path.join(work, "done")
        child = [sys.executable, f"{HERE}/python.py", module, skip]
        names = []
        open(skip, "w").close()
        for line in Command([*child, "--list"], work).lines():
            if line.startswith("\x1e"):
                names.append(line[1:])

        def attempt(left):
            done, running = set(), None
            with open(skip, "w") as file:
                file.writelines(f"{n}\n" for n in names if n not in left)
            command = Command(child, work)
            for line in command.lines():
                _, mark, said = line.partition("\x1e")
                if not mark:
                    continue
                what, name = said.split(" ", 1)
                if what == "start":
                    running = name
                    continue
                results.add(name, what)
                done.add(name)
                running = None
            return done, [running] if running else [], command.hung

        again(results, names, attempt)
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
    command = Command(["./run-tests"], folder, UV_RUN_AS_ROOT="1",
                      UV_TEST_TIMEOUT_MULTIPLIER="4")
    for line in command.lines():
        found = tap(line)
        if found:
            results.add(*found)


def main():
    suite, folder, path = sys.argv[1:]
    {"selftests": selftests, "go": go, "python": python,
     "libevent": libevent, "libuv": libuv}[suite](folder, Results(path))


main()
