#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""In the guest: run the tests of one module of Python's own suite.

python.py MODULE DONE   all but those named in the file DONE; says which tests
                        there are, what starts and how it ends, on lines of
                        their own behind a byte that nothing else prints
"""

import importlib
import os
import sys
import unittest

from test import support

OUT = os.dup(1)


def say(text):
    os.write(OUT, f"\n\x1e{text}\n".encode())


class Result(unittest.TestResult):
    """Says each test's result; subtests belong to their test"""

    def startTest(self, test):
        super().startTest(test)
        self.what = "ok"
        self.inside = True
        say(f"start {test.id()}")

    def stopTest(self, test):
        super().stopTest(test)
        self.inside = False
        say(f"{self.what} {test.id()}")

    def worse(self, test, what):
        if not getattr(self, "inside", False):
            say(f"{what} {test.id()}")      # a fixture of class or module
        elif self.what != "FAIL":
            self.what = what

    def addError(self, test, err):
        super().addError(test, err)
        print(self.errors[-1][1], flush=True)
        self.worse(test, "FAIL")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        print(self.failures[-1][1], flush=True)
        self.worse(test, "FAIL")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            print((self.errors + self.failures)[-1][1], flush=True)
            self.worse(test, "FAIL")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.worse(test, "skip")

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.worse(test, "FAIL")


def flat(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def main():
    module, path = sys.argv[1:3]
    with open(path) as file:
        done = set(file.read().splitlines())
    support.use_resources = []      # none that costs: no network, no hours
    support.verbose = 0
    try:
        loaded = importlib.import_module(module)
    except unittest.SkipTest as reason:
        say(f"skip {module}")
        print(reason)
        return
    tests = list(flat(unittest.defaultTestLoader.loadTestsFromModule(loaded)))
    for test in tests:
        say(f"has {test.id()}")
    suite = unittest.TestSuite(t for t in tests if t.id() not in done)
    suite.run(Result())


main()
# what a failed test left running does not keep this process
sys.stdout.flush()
os._exit(0)
