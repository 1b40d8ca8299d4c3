#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""one_reset.py ADDRESS PORT ERROR: a connection whose server closes and whose
client does nothing.  Succeeds if HALFRST resets it within a minute, it alone, and
the client's next write fails with ERROR (ECONNRESET, ...)."""

import errno
import socket
import sys
import time


def resets():
    with open("/proc/net/xt_halfrst") as f:
        return int(dict(line.split() for line in f)["resets"])


def main():
    address, port, error = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    before = resets()
    with socket.create_server((address, port), family=family) as s:
        c = socket.create_connection((address, port))
        c.send(b"b")    # a connection that has carried nothing is not idle
        p = s.accept()[0]
        p.recv(1)
        p.close()
    for _ in range(600):
        if resets() != before:
            break
        time.sleep(0.1)
    try:
        c.send(b"x")
    except OSError as e:
        if resets() != before + 1:
            return f"{resets() - before} resets"
        if errno.errorcode[e.errno] != error:
            return f"{errno.errorcode[e.errno]} in place of {error}"
        return 0
    return "the connection was not reset"


sys.exit(main())
