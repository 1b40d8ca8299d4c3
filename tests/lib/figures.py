#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Figures in documents that another file has measured: are they its own?
Prints those that are not, and fails then."""

import re
import sys

FRONT = "README.md"
SCRIPTS = "scripts/README.md"
TESTS = "tests/README.md"
BENCH = "tests/bench/README.md"


def text(path):
    with open(path) as f:
        return " ".join(f.read().split())


def rows(path):
    """The rows of all tables, as their cells"""
    with open(path) as f:
        return [[cell.strip() for cell in line.strip()[1:-1].split("|")]
                for line in f
                if line.startswith("|") and not line.startswith("|---")]


def number(word):
    return int(word.replace(",", ""))


bad = 0


def says(path, what):
    global bad
    if what not in text(path):
        print(f'{path} does not say "{what}"')
        bad = 1


def clients():
    measured, errors = {}, []
    for row in rows("scripts/clients.d/measured.md"):
        if row[0] == "all":
            errors = [pair.split(", ") for pair in row[3:]]
        if len(row) == 12 and row[0] != "client":
            measured[tuple(row[:3])] = row

    def post(client, column, method="POST", server="nginx, TLS 1.3"):
        return measured[client, server, method][column]

    says(FRONT, f"| {post('http.client', 4)} |")
    says(FRONT, f"| {post('libcurl', 4)}; {post(NODE, 4)} | their packets: "
                f"{post('libcurl', 8)}; {post(NODE, 8)} |")
    worse = {post("hyper, busy", 4, "GET"), post(AIOHTTP, 4, "GET"),
             post("pymemcache", 4, "append", "memcached"),
             post("Go net/http, stopped", 4, server="nginx, HTTP/2")}
    says(FRONT, f"| {', '.join(sorted(worse))} | the price |")

    shown = {count for count, _ in errors[1:]}
    says(SCRIPTS, f"{errors[0][0]} errors are shown without HALFRST and "
                  f"{', '.join(sorted(shown))} with each of the four; of "
                  f"these, after what is documented, {errors[0][1]} without, "
                  f"and {errors[1][1]} with `econnreset`, {errors[2][1]} "
                  "with `epipe`, `econnaborted` or `etimedout`.")
    says(SCRIPTS, f"all {len({row[:2] for row in measured})} of a client, "
                  "a server")
    for row in rows(SCRIPTS):
        if len(row) != 9 or row[0] == "client":
            continue
        like = [m for (client, server, method), m in measured.items()
                if client == row[0] and (server, method) in
                ((row[1] + ", TLS 1.3", "POST"), (row[1], method))]
        if [m[3:5] + m[7:] for m in like].count(row[2:]) == 0:
            says(SCRIPTS, f"{row[0]}, {row[1]} as measured.md")


NODE = "Node's agent"
AIOHTTP = "aiohttp, busy, ServerDisconnectedError"


def bench():
    table = {}
    for row in rows(BENCH):
        table.setdefault(row[0], row[1:])
    none, bare, rule = ([number(cell) for cell in table[name][:2]]
                        for name in
                        ("no rule", "`--tcp-flags FIN FIN` without a target",
                         "the recommended rule, `--tcp-flags FIN FIN "
                         "-j HALFRST`"))
    more = sorted(r - b for r, b in zip(rule, bare))
    says(FRONT, f"| {more[0]} to {more[1]} instructions |")
    says(FRONT, f"of {none[0]:,} | {rule[0] - none[0]:,} (legacy), "
                f"{rule[1] - none[1]:,} (nft)")
    reset = number(table["HALFRST"][0])
    floor = number(table["the same through the recommended rule"][0])
    says(FRONT, f"| {reset / floor:.2f} times its instructions |")

    is_now = {"segment": rule[0], "reset": reset,
              "target": number(table["with HALFRST as its target"][0])}
    with open("tests/guest/cost.recorded") as f:
        for line in f:
            kernel, what, cost = line.split()
            # as far as test_cost.sh lets it go
            if kernel == "6.12-cloud-amd64" and \
                    abs(float(cost) / is_now[what] - 1) > 0.05:
                says(BENCH, f"{what} {cost}, as cost.recorded")


def tests():
    ran = passed = 0
    releases, kernels = set(), set()
    for row in rows(TESTS):
        if len(row) == 6 and re.match("[0-9,]+$", row[2]) and " ok" in row[3]:
            # a part of another row is in each check
            both = 1 + (row[1] == "both")
            if not row[0].startswith("Python 3.11:"):
                ran += both * number(row[2])
                passed += both * number(row[3].split(" ok")[0])
        elif len(row) == 3 and re.match("all tests on ", row[0]) and \
                re.match("[0-9,]+, 0, ", row[2]):
            releases.add(re.split("[,;]", row[0])[0])
        elif len(row) == 3 and re.match("[0-9,]+, 0, ", row[1]):
            kernels.add(row[0])
    says(FRONT, f"of {ran:,}, {passed:,} passed without")
    says(FRONT, f"on {len(releases)} rows of Debian's kernels; on "
                f"{len(kernels)} that look for mistakes")


def demo():
    nothing, rule = re.search(r"server's socket gone, after its FIN (\d+) ms "
                              r"\d+ ms (\d+) ms", text(SCRIPTS)).groups()
    says(FRONT, f"| {nothing} → {rule} ms |")
    for nothing, rule in re.findall(r"bytes \(IP\) (\d+) \d+ (\d+)",
                                    text(SCRIPTS)):
        says("kmod/ANDROID.md", f"| bytes (IP) | {nothing} | {rule} |")


clients()
bench()
tests()
demo()
sys.exit(bad)
