#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A server that closes what is idle for two seconds by FIN alone, without
TLS's close_notify: mute.py http|tls12|tls13 [CERTIFICATE].  Prints the method
and the path of each request."""

import http.server
import ssl
import sys

VERSIONS = {"tls12": ssl.TLSVersion.TLSv1_2, "tls13": ssl.TLSVersion.TLSv1_3}


class Handler(http.server.BaseHTTPRequestHandler):
    """Python's own server; it closes TLS as it closes TCP"""

    protocol_version = "HTTP/1.1"
    timeout = 2
    wbufsize = -1  # an answer is one segment

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        print(self.command, self.path, flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "8")
        self.end_headers()
        self.wfile.write(b"picture\n")

    do_POST = do_GET

    def log_message(self, *_):
        pass


def main():
    protocol, *certificate = sys.argv[1:]
    port = 443 if protocol in VERSIONS else 80
    server = http.server.ThreadingHTTPServer(("", port), Handler)
    if protocol in VERSIONS:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = VERSIONS[protocol]
        context.maximum_version = VERSIONS[protocol]
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


main()
