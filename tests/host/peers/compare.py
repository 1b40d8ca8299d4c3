#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What a suite of other people's tests says about HALFRST.

compare.py ROW SUITE FOLDER changes GRACE
        the tests whose result with that grace is another than without a rule,
        in the form of the list "expected" beside this file. Fails if one
        is not in there, or if one that is there does not change any more.
compare.py ROW SUITE FOLDER ran GRACE
        the pass ran as far as the one without a rule
compare.py ROW SUITE FOLDER counters GRACE
        the counters' sum; fails if no rule saw a FIN, or if nothing was reset
        with grace 0, or something with a longer one
compare.py ROW SUITE FOLDER steady
        the tests that differ between passes without a rule
compare.py ROW SUITE FOLDER row NAME
        the suite's line of a table, with today's date
"""

import collections
import datetime
import fnmatch
import glob
import os
import sys

# Suites whose sockets are all closed one right behind the other, or in time; or
# are MPTCP's, which are exempt, and the few others may be reset or not
MAYBE_NO_RESET = ["tls", "late", "mptcp"]

LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "expected")


def results(folder, grace):
    """The passes with this grace, each a map from a test to its result"""
    return [dict(line.rstrip("\n").rsplit("\t", 1) for line in open(path))
            for path in sorted(glob.glob(f"{folder}/*.{grace}.results"))]


class Expected:
    """The list's lines for this row and suite, which may be a part of one"""

    def __init__(self, row, suite, folder):
        self.changes = {}       # test: "from > to", with grace 0
        self.unsteady = {}      # test: why
        self.by_chance = []     # patterns of those that may change with grace 0
        suite, part, _ = suite.partition("_")
        here = {test for r in results(folder, "none") for test in r}
        with open(LIST) as file:
            for number, line in enumerate(file, 1):
                if not line.strip() or line.startswith("#"):
                    continue
                field = [f.strip() for f in line.split("|")]
                if len(field) != 6 or not field[5]:
                    sys.exit(f"{LIST}:{number}: six fields, the last one says "
                             f"why: {line}")
                in_suite, rows, grace, change, test, why = field
                if in_suite != suite or not (
                        rows == "all" or row in rows.split()):
                    continue
                if part and test not in here:
                    continue
                if grace == "any" and change == "unsteady":
                    self.unsteady[test] = why
                elif grace == "0" and change == "by chance":
                    self.by_chance.append(test)
                elif grace == "0":
                    self.changes[test] = change
                else:
                    sys.exit(f"{LIST}:{number}: nothing is expected to change "
                             f"with grace {grace}")

    def may_change(self, test, grace):
        return test in self.unsteady or grace == "0" and any(
            fnmatch.fnmatchcase(test, pattern) for pattern in self.by_chance)


def changed(row, suite, folder, grace, expected):
    """test: "from > to", but for those that may change"""
    without, = results(folder, "none")[:1]
    with_rule, = results(folder, grace)[:1]
    return {test: f"{without.get(test, '-')} > {with_rule.get(test, '-')}"
            for test in sorted(without.keys() | with_rule.keys())
            if without.get(test) != with_rule.get(test) and
            not expected.may_change(test, grace)}


def changes(row, suite, folder, grace):
    expected = Expected(row, suite, folder)
    found = changed(row, suite, folder, grace, expected)
    known = expected.changes if grace == "0" else {}
    bad = 0
    for test, change in found.items():
        if known.get(test) != change:
            bad += 1
            print(f"{suite.partition('_')[0]} | {row} | {grace} | {change} "
                  f"| {test} | ?")
    for test, change in known.items():
        if test not in found:
            bad += 1
            print(f"on the list, but as without a rule: {test} ({change})")
    for test in [*expected.unsteady, *expected.by_chance]:
        if not any(test in r or fnmatch.filter(r, test)
                   for r in results(folder, "none")):
            bad += 1
            print(f"on the list, but there is none: {test}")
    return bad


def ran(row, suite, folder, grace):
    """A suite that stopped half-way would have little that differs."""
    without, = results(folder, "none")[:1]
    with_rule, = results(folder, grace)[:1]
    ok = collections.Counter(without.values())["ok"]
    print(f"{len(without)} results without a rule ({ok} ok), "
          f"{len(with_rule)} with it")
    return (ok < 4 or 2 * ok < len(without) or
            2 * len(with_rule) < len(without))


def counters(row, suite, folder, grace):
    total = collections.Counter()
    for path in glob.glob(f"{folder}/*.{grace}.counters"):
        for line in open(path):
            name, value = line.split()
            total[name] += int(value)
    print("# %s, grace %s: %s" % (suite, grace, " ".join(
        f"{name} {value}" for name, value in total.items() if value)))
    if not total["fins"]:
        print("no rule has seen a FIN")
        return True
    if grace == "0" and not total["resets"] and suite not in MAYBE_NO_RESET:
        print("nothing was reset")
        return True
    if grace != "0" and total["resets"]:
        print("reset, before its grace was over")
        return True
    return False


def steady(row, suite, folder):
    first, *more = results(folder, "none")
    bad = sorted({test for other in more
                  for test in first.keys() | other.keys()
                  if first.get(test) != other.get(test)})
    for test in bad:
        print(f"{suite.partition('_')[0]} | {row} | any | unsteady "
              f"| {test} | ?")
    return bad


def row(row, suite, folder, name):
    expected = Expected(row, suite, folder)
    without, = results(folder, "none")[:1]
    count = collections.Counter(without.values())
    cells = [name, datetime.date.today().isoformat(), str(len(without)),
             f"{count['ok']} ok, {len(without) - count['ok'] - count['skip']} "
             f"not, {count['skip']} skipped"]
    for grace in "0", "10m":
        found = changed(row, suite, folder, grace, expected)
        cells.append(f"{len(found)} differ" if found else "the same")
        if grace == "0" and expected.by_chance:
            cells[-1] += ", others by chance"
    if expected.unsteady:
        cells[3] += f", {len(expected.unsteady)} of them unsteady"
    print(f"| {' | '.join(cells)} |")


def main():
    (which_row, suite, folder, what), more = sys.argv[1:5], sys.argv[5:]
    sys.exit(bool(globals()[what](which_row, suite, folder, *more)))


main()
