#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Print, every time that one changes: time, the client's port and the state
of each TCP socket of a server in this network namespace.  Asks every two
milliseconds, or as many as the argument says: the kernel has no event for the
end of a FIN_WAIT_2 or TIME_WAIT socket.  With a second argument, which costs
less, it asks ever more rarely while no packet comes or goes, at last after so
many milliseconds."""

import os
import select
import socket
import sys
import time

from capture import PORTS

STATES = ("", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT_1",
          "FIN_WAIT_2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK",
          "LISTEN", "CLOSING", "SYN_RECV")


def sockets(fd):
    """The client's port and the state of each connection with a server."""
    found = {}
    for line in os.pread(fd, 1 << 16, 0).decode().splitlines()[1:]:
        _, local, remote, state = line.split()[:4]
        ports = {int(address[-4:], 16) for address in (local, remote)}
        if ports & set(PORTS) and remote[-4:] != "0000":
            found[max(ports)] = STATES[int(state, 16)]
    return found


def packets():
    """A socket that is readable when a packet comes or goes"""
    all_protocols = socket.htons(3)
    return socket.socket(socket.AF_PACKET,
                         socket.SOCK_DGRAM | socket.SOCK_NONBLOCK,
                         all_protocols)


def quiet(wake, seconds):
    """Whether there is no packet for so long; reads those that there are"""
    if not select.select([wake], [], [], seconds)[0]:
        return True
    try:
        while wake.recv(1):
            pass
    except BlockingIOError:
        return False


def main():
    pause, *longest = (float(ms) / 1000 for ms in sys.argv[1:] or [2])
    wake = packets() if longest else None
    since = time.time()
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
        if not wake:
            time.sleep(pause)
        elif not quiet(wake, min(max((time.time() - since) / 20, pause),
                                 longest[0])):
            since = time.time()


main()
