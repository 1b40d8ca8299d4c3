#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A log server on port 80 that closes what is idle for two seconds.  Prints
"LOG /N" for each message that ends in N."""

import re
import socketserver


class Handler(socketserver.StreamRequestHandler):
    timeout = 2

    def handle(self):
        try:
            for line in iter(self.rfile.readline, b""):
                number = re.search(rb"(\d+)\s*$", line)
                print(f"LOG /{number[1].decode()}", flush=True)
        except TimeoutError:
            pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server(("", 80), Handler).serve_forever()
