#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What clients-guest.sh measured: clients-report.py DIRECTORY.

Reads DIRECTORY/CLIENT.SERVER.RULE.* and writes there rows.tsv (a line for
each client, server and method, a pair of columns for each figure: without,
with HALFRST), table.md and table.txt; prints the latter."""

import os
import statistics
import sys
from collections import Counter, defaultdict, namedtuple

from capture import capture

CLIENTS = {
    "okhttp": "OkHttp", "java": "java.net.http", "curl": "libcurl",
    "urllib3": "urllib3", "httpclient": "http.client", "node": "Node's agent",
    "haproxy": "HAProxy's pool", "psycopg2": "psycopg2", "redis": "redis-py"}
SERVERS = {
    "nginx": "nginx", "haproxy": "HAProxy", "lighttpd": "lighttpd",
    "backend": "nginx", "restart": "PostgreSQL restarts",
    "crash": "PostgreSQL's backend is killed", "redis": "Redis restarts"}

# A connection that the server closed first, from its FIN on
Dead = namedtuple("Dead", "at packets bytes void life")

FIGURES = ("lost", "twice", "void", "packets", "bytes", "ms", "life")


def lives(path):
    """How long the server's sockets were there after their FIN, by port"""
    fin, life = {}, {}
    with open(path) as f:
        next(f)
        for line in f:
            time, port, state = line.split()
            if state.startswith("FIN_WAIT"):
                fin.setdefault(int(port), float(time))
            elif state == "gone" and int(port) in fin:
                life[int(port)] = (float(time) - fin[int(port)]) * 1000
    return life


def dead(base):
    """The connections that the server closed first, in that order"""
    life = lives(base + ".states")
    packets = defaultdict(list)
    for p in capture(base + ".pcap"):
        packets[p.port].append(p)
    found = []
    for port, all_of in packets.items():
        first = next((i for i, p in enumerate(all_of)
                      if "FIN" in p.flags or "RST" in p.flags), None)
        if first is None or all_of[first].out:
            continue
        rest = all_of[first + 1:]
        found.append(Dead(all_of[first].time, len(rest),
                          sum(p.bytes for p in rest),
                          sum(p.out and p.data > 0 for p in rest),
                          life.get(port)))
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
        # connection dies with its client, HAProxy's on the phone by nginx.
        wanted = len(requests) - (".backend." not in os.path.basename(base))
        if len(closed) != wanted:
            sys.exit(f"{base}: {len(requests)} requests, but "
                     f"{len(closed)} connections that the server closed")
        self.methods = defaultdict(lambda: defaultdict(list))
        for (n, method, ms, *errors), d in zip(requests[1:], closed):
            if not served[n] and len(errors) < 3:
                sys.exit(f"{base}: request {n} is not in the server's log")
            figures = self.methods[method]
            for name, value in (("lost", len(errors)),
                                ("twice", served[n] > 1), ("void", d.void),
                                ("packets", d.packets), ("bytes", d.bytes),
                                ("ms", float(ms)), ("life", d.life)):
                figures[name].append(value)
            figures["errors"] += errors
        self.resets = 0
        if os.path.exists(base + ".counters"):
            with open(base + ".counters") as f:
                self.resets = int(dict(map(str.split, f))["resets"])

    def figure(self, method, name):
        """Of all rounds: sums of what went wrong, medians of the others"""
        values = self.methods[method][name]
        if name in ("lost", "twice", "void"):
            return sum(values)
        return statistics.median(values)


def rows(where):
    cases = sorted({tuple(name.split(".")[:2]) for name in os.listdir(where)
                    if name.endswith(".client")},
                   key=lambda c: (list(CLIENTS).index(c[0]),
                                  list(SERVERS).index(c[1])))
    for client, server in cases:
        pair = [Case(f"{where}/{client}.{server}.{rule}")
                for rule in ("none", "halfrst")]
        for method in pair[0].methods:
            rounds = len(pair[0].methods[method]["ms"])
            figures = [f"{c.figure(method, name):.0f}"
                       for name in FIGURES for c in pair]
            errors = ["; ".join(sorted(set(c.methods[method]["errors"])))
                      or "-" for c in pair]
            yield [client, server, method, str(rounds), str(pair[1].resets),
                   *figures, *errors]


HEADER = ("client", "server", "request", "errors shown", "sent twice",
          "written to nobody", "packets", "bytes", "ms to the answer",
          "server's socket, ms")


def table(found):
    """Cells for people: one value, or "without > with\""""
    for client, server, method, rounds, _, *values in found:
        values = values[:2 * len(FIGURES)]
        cells = [CLIENTS[client], SERVERS[server], method]
        for name, a, b in zip(FIGURES, values[::2], values[1::2]):
            of = f" of {rounds}" if name in ("lost", "twice") else ""
            if a == b:
                cells.append(a + (of if a != "0" else ""))
            else:
                cells.append(f"{a} → {b}{of}")
        yield cells


def text(cells):
    widths = [max(len(c) for c in column) for column in zip(*cells)]
    for line in cells:
        yield "  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip()


def markdown(cells):
    yield "| " + " | ".join(cells[0]) + " |"
    yield "|" + "---|" * len(cells[0])
    for line in cells[1:]:
        yield "| " + " | ".join(line) + " |"


def main():
    where = sys.argv[1]
    found = list(rows(where))
    with open(f"{where}/rows.tsv", "w") as f:
        for row in found:
            print(*row, sep="\t", file=f)
    cells = [HEADER, *table(found)]
    notes = []
    for client, server, method, *_, none, halfrst in found:
        for rule, error in (("without", none), ("with", halfrst)):
            if error != "-":
                notes.append(f"{CLIENTS[client]}, {SERVERS[server]}, "
                             f"{method}, {rule} HALFRST: {error}")
    for name, lines in (("table.txt", text(cells)),
                        ("table.md", markdown(cells))):
        with open(f"{where}/{name}", "w") as f:
            print(*lines, "", *notes, sep="\n", file=f)
    with open(f"{where}/table.txt") as f:
        print(f.read(), end="")


main()
