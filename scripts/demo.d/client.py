#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""An HTTP or HTTPS client, by the URL that is its argument, that keeps its connection, as most do: a request, four
seconds of silence, the next request on the same socket, and only if that
fails on a new one.  Prints what it saw, a name and a value a line."""

import errno
import socket
import ssl
import sys
import time
import urllib.parse

SCHEME, HOST, *_ = urllib.parse.urlsplit(sys.argv[1])
REQUEST = f"GET /picture HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


def connected():
    if SCHEME == "http":
        return socket.create_connection((HOST, 80))
    return ssl.create_default_context().wrap_socket(
        socket.create_connection((HOST, 443)), server_hostname=HOST)


def answer(sock):
    """The status line, once the whole answer is here; "" at end of file."""
    data = b""
    while not data.endswith(b"picture\n"):
        piece = sock.recv(65536)
        if not piece:
            break
        data += piece
    return data.partition(b"\r\n")[0].decode()


def name(error):
    """Python's ssl calls each error of a write SSLEOFError"""
    if isinstance(error, ssl.SSLError):
        return type(error).__name__
    return errno.errorcode[error.errno]


def reuse(sock):
    """Write the next request on the kept connection: (write, read)."""
    try:
        sock.sendall(REQUEST)
    except OSError as e:
        return name(e), None
    try:
        return "succeeds", answer(sock) or "end of file"
    except OSError as e:
        return "succeeds", name(e)


def main():
    sock = connected()
    print("port", sock.getsockname()[1])
    sock.sendall(REQUEST)
    print("first", answer(sock))
    time.sleep(4)
    start = time.time()
    print("reuse_at", f"{start:.6f}")
    write, read = reuse(sock)
    print("write", write)
    if read:
        print("read", read)
    sock.close()
    if not read or not read.startswith("HTTP"):
        sock = connected()
        print("new_port", sock.getsockname()[1])
        sock.sendall(REQUEST)
        print("second", answer(sock))
    print("answered_after_ms", round((time.time() - start) * 1000))


main()
