#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A log server, logs.py PORT CERTIFICATE: TLS 1.3, closes what is idle for two
seconds.  Prints each line that it gets."""

import socketserver
import ssl
import sys


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        tls = context.wrap_socket(self.request, server_side=True)
        tls.settimeout(2)
        try:
            for line in tls.makefile("rb"):
                print(line.decode().strip(), flush=True)
        except TimeoutError:
            pass
        tls.setblocking(False)
        try:
            tls.unwrap()        # says close_notify, waits for none
        except OSError:
            pass
        tls.close()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.minimum_version = ssl.TLSVersion.TLSv1_3
context.load_cert_chain(sys.argv[2])
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
