#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Print, every time that one changes: time, the client's port and the state
of each TCP socket in this network namespace.  Asks every two milliseconds, or
as many as the argument says: the kernel has no event for the end of a
FIN_WAIT_2 or TIME_WAIT socket."""

import os
import sys
import time

STATES = ("", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT_1",
          "FIN_WAIT_2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK",
          "LISTEN", "CLOSING", "SYN_RECV")


def sockets(fd):
    """The client's port and the state of each connection with port 80."""
    found = {}
    for line in os.pread(fd, 1 << 16, 0).decode().splitlines()[1:]:
        _, local, remote, state = line.split()[:4]
        ports = {int(address[-4:], 16) for address in (local, remote)} - {80}
        if ports != {0}:
            found[max(ports)] = STATES[int(state, 16)]
    return found


def main():
    pause = float(sys.argv[1] if len(sys.argv) > 1 else 2) / 1000
    fd = os.open("/proc/net/tcp", os.O_RDONLY)
    seen = {}
    print("# time port state", flush=True)
    while True:
        now = sockets(fd)
        for port in sorted(now.keys() | seen.keys()):
            if now.get(port) != seen.get(port):
                print(f"{time.time():.6f}", port, now.get(port, "gone"),
                      flush=True)
        seen = now
        time.sleep(pause)


main()
