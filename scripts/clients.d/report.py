#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What guest.sh measured: report.py DIRECTORY.

Reads DIRECTORY/CLIENT.SERVER.PROTOCOL.RULE.* and writes there rows.tsv (a
line for each client, server, protocol and method, a pair of columns for each
figure: without, with HALFRST), table.md and table.txt; prints the latter.
Of several rules, DIRECTORY/rules, that is the first one; errors.txt and
errors.tsv have the errors that are shown with each."""

import os
import statistics
import sys
from collections import Counter, defaultdict, namedtuple

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from capture import capture  # noqa: E402

CLIENTS = {
    "okhttp": "OkHttp", "java": "java.net.http", "apache": "Apache HttpClient",
    "curl": "libcurl", "urllib3": "urllib3", "httpclient": "http.client",
    "httpx": "httpx", "aiohttp": "aiohttp", "aiohttp-busy": "aiohttp, busy",
    "aiohttp-idiom": "aiohttp, busy, ServerDisconnectedError",
    "node": "Node's agent", "node-busy": "Node's agent, busy",
    "fetch": "Node's fetch", "fetch-busy": "Node's fetch, busy",
    "go": "Go net/http", "go-stopped": "Go net/http, stopped",
    "hyper": "hyper", "hyper-busy": "hyper, busy",
    "ruby": "Ruby Net::HTTP", "phpcurl": "PHP's curl",
    "phpstreams": "PHP's streams", "haproxy": "HAProxy's pool",
    "psycopg2": "psycopg2", "redis": "redis-py", "pymysql": "PyMySQL",
    "mysqldb": "MariaDB Connector/C", "pymemcache": "pymemcache",
    "pylibmc": "pylibmc", "rsyslog": "rsyslog",
    "logging": "Python's SocketHandler"}
SERVERS = {
    "nginx": "nginx", "haproxy": "HAProxy", "lighttpd": "lighttpd",
    "mute": "no close_notify", "pgrestart": "PostgreSQL restarts",
    "pgcrash": "PostgreSQL's backend is killed", "redis": "Redis restarts",
    "mariadb": "MariaDB", "memcached": "memcached", "sink": "a log server"}
PROTOCOLS = {"http": "", "data": "", "tls12": ", TLS 1.2",
             "tls13": ", TLS 1.3", "h2": ", HTTP/2"}
AGAIN = "again: "

# A connection that the server closed first, from there on. void: segments with
# data for a server that reads nothing any more, but for the client's own alert
Dead = namedtuple("Dead", "at packets bytes void life")

FIGURES = ("lost", "shown", "silent", "twice", "void", "packets", "bytes",
           "ms", "life")
SUMS = FIGURES[:5]


def lives(path):
    """How long the server's sockets were there after their FIN: by port, in
    the order of the connections that had it"""
    fin, life = {}, defaultdict(list)
    with open(path) as f:
        next(f)
        for line in f:
            time, port, state = line.split()
            if state.startswith("FIN_WAIT"):
                fin.setdefault(int(port), float(time))
            elif state == "gone":
                since = fin.pop(int(port), float(time))
                life[int(port)].append((float(time) - since) * 1000)
    return life


def connections(path):
    """The packets of each connection in a capture, in order, with its port;
    a port may come again"""
    found = defaultdict(list)
    for p in capture(path):
        if p.flags == "SYN":
            found[p.port].append([])
        found[p.port][-1].append(p)
    for port, each in found.items():
        for packets in each:
            yield port, packets


def closing(packets):
    """The segment by which the server closed first, or None: its FIN, or its
    close_notify where the client was told of that and says FIN before it"""
    alert = None
    for i, p in enumerate(packets):
        if "FIN" in p.flags or "RST" in p.flags:
            return alert if p.out else i
        if p.alert and not p.out:
            alert = i
    return None


def dead(base):
    """The connections that the server closed first, in that order"""
    life = lives(base + ".states")
    found = []
    for port, packets in connections(base + ".pcap"):
        gone = life[port].pop(0) if life[port] else 0
        first = closing(packets)
        if first is None:
            continue
        rest = packets[first + 1:]
        found.append(Dead(packets[first].time, len(rest),
                          sum(p.bytes for p in rest),
                          sum(p.out and p.data > 0 and not p.alert
                              for p in rest), gone))
    return sorted(found)


class Case:
    """One client, one server, with or without the rule: by method"""

    def __init__(self, base):
        served, requests = Counter(), []
        with open(base + ".client") as f:
            for line in f:
                if line.startswith("has "):
                    served[line.split()[1]] += 1
                else:
                    requests.append(line.rstrip("\n").split("\t"))
        closed = dead(base)
        # The first request opens a connection; each of the others comes
        # after the server has closed the connection before it. The last
        # connection dies with its client, or is closed like the others. What
        # was lost may have opened none.
        lost = sum(not served[n] for n, *_ in requests)
        if not len(requests) - 1 - lost <= len(closed) <= len(requests):
            sys.exit(f"{base}: {len(requests)} requests, but "
                     f"{len(closed)} connections that the server closed")
        closed += [None] * lost
        self.methods = defaultdict(lambda: defaultdict(list))
        for (n, method, ms, *errors), d in zip(requests[1:], closed):
            figures = self.methods[method]
            shown = [e for e in errors if not e.startswith(AGAIN)]
            silent = not served[n] and len(errors) < 3
            values = {"lost": len(errors), "shown": len(shown),
                      "silent": silent, "twice": served[n] > 1,
                      "ms": float(ms)}
            if d:
                values |= d._asdict()
            for name, value in values.items():
                figures[name].append(value)
            figures["errors"] += [e.removeprefix(AGAIN) for e in errors]
        self.resets = 0
        if os.path.exists(base + ".counters"):
            with open(base + ".counters") as f:
                self.resets = int(dict(map(str.split, f))["resets"])

    def figure(self, method, name):
        """Of all rounds: sums of what went wrong, medians of the others (those of
        dead connections where there was one)"""
        values = self.methods[method][name]
        if name in SUMS:
            return sum(values)
        return statistics.median(values or [0])

    def errors(self, method):
        return "; ".join(sorted(set(self.methods[method]["errors"]))) or "-"


class Row:
    """One line of the tables, with the case of each rule"""

    def __init__(self, name, method, cases):
        self.client, self.server, self.protocol = name
        self.method, self.cases = method, cases
        self.rounds = len(cases["none"].methods[method]["ms"])

    def figure(self, rule, name):
        return round(self.cases[rule].figure(self.method, name))

    def errors(self, rule):
        return self.cases[rule].errors(self.method)

    def title(self):
        return [CLIENTS[self.client],
                SERVERS[self.server] + PROTOCOLS[self.protocol], self.method]


def rows(where):
    """All rows"""
    found = defaultdict(dict)
    for name in os.listdir(where):
        if name.endswith(".client"):
            *case, rule, _ = name.split(".")
            found[tuple(case)][rule] = Case(f"{where}/{name[:-7]}")
    orders = [list(CLIENTS), list(SERVERS), list(PROTOCOLS)]
    return [Row(name, method, found[name])
            for name in sorted(found, key=lambda name: [
                order.index(word) for order, word in zip(orders, name)])
            for method in found[name]["none"].methods]


HEADER = ("client", "server", "request", "errors shown", "handled as "
          "documented", "lost silently", "sent twice", "written to nobody",
          "packets", "bytes", "ms to the answer", "server's socket, ms")


def cells(row, rule):
    """For people: one value, or "without → with\""""
    for name in FIGURES:
        a, b = row.figure("none", name), row.figure(rule, name)
        of = f" of {row.rounds}" if name in SUMS and name != "void" else ""
        if a == b:
            yield f"{a}{of if a else ''}"
        else:
            yield f"{a} → {b}{of}"


def tsv(row, rule):
    figures = [str(row.figure(r, name))
               for name in FIGURES for r in ("none", rule)]
    return [row.client, row.server, row.protocol, row.method,
            str(row.rounds), str(row.cases[rule].resets), *figures,
            row.errors("none"), row.errors(rule)]


def by_error(found, rules):
    """Errors shown, and of these after what is documented, for each rule"""
    def pair(lost, shown):
        return f"{lost}, {shown}" if lost else "0"

    rules = ["none", *rules]
    yield ["client", "server", "request", *rules]
    total = Counter()
    for row in found:
        if not set(rules) <= row.cases.keys():
            continue    # fewer errors were tried
        values = []
        for rule in rules:
            lost, shown = (row.figure(rule, n) for n in ("lost", "shown"))
            total[rule, "lost"] += lost
            total[rule, "shown"] += shown
            values.append(pair(lost, shown))
        if len(set(values)) > 1:
            yield [*row.title(), *values]
    yield ["all", "", "", *(pair(total[rule, "lost"], total[rule, "shown"])
                            for rule in rules)]


def text(lines):
    widths = [max(len(c) for c in column) for column in zip(*lines)]
    for line in lines:
        yield "  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip()


def markdown(lines):
    yield "| " + " | ".join(lines[0]) + " |"
    yield "|" + "---|" * len(lines[0])
    for line in lines[1:]:
        yield "| " + " | ".join(line) + " |"


def write(path, *lines):
    with open(path, "w") as f:
        print(*lines, sep="\n", file=f)


def main():
    where = sys.argv[1]
    found = rows(where)
    with open(f"{where}/rules") as f:
        rules = f.read().strip().split(",")
    first = rules[0]
    write(f"{where}/rows.tsv", *("\t".join(tsv(row, first)) for row in found))
    lines = [HEADER, *([*row.title(), *cells(row, first)] for row in found)]
    notes = [f"{', '.join(row.title())}, {rule}: {row.errors(rule)}"
             for row in found for rule in row.cases
             if row.errors(rule) != "-"]
    write(f"{where}/table.md", *markdown(lines), "", *notes)
    write(f"{where}/table.txt", *text(lines), "", *notes)
    print(*text(lines), "", *notes, sep="\n")
    if len(rules) > 1:
        lines = list(by_error(found, rules))
        write(f"{where}/errors.tsv", *("\t".join(line) for line in lines))
        write(f"{where}/errors.txt", *text(lines))
        write(f"{where}/errors.md", *markdown(lines))
        print("", "Errors shown, and those that are left after what is "
              "documented:", *text(lines), sep="\n")


main()
