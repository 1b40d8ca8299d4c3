#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What a client finds when it comes back to a connection whose server has closed
it and whose last words it has not read: client.py early | goaway | bye | greeting
[N].  Prints the socket's state, and what became of the next request: "wasted" if
it was written to nobody, "not sent" if the write failed."""

import http.client
import imaplib
import socket
import ssl
import sys
import time

STATES = {1: "ESTABLISHED", 7: "CLOSE", 8: "CLOSE_WAIT"}
HOST = "127.0.0.1"


def state(sock):
    """TCP's, past any TLS"""
    return STATES[sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]]


def untrusting(alpn):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([alpn])
    return context


def early():
    """A connection that is opened before there is a request"""
    connection = http.client.HTTPSConnection(HOST,
                                             context=untrusting("http/1.1"))
    connection.connect()
    time.sleep(6)
    said = state(connection.sock)
    try:
        connection.request("POST", "/")     # one write: it has no body
    except OSError:
        return said, "not sent"
    try:
        return said, str(connection.getresponse().status)
    except OSError:
        return said, "wasted"


def goaway():
    """An HTTP/2 client that reads when it waits for an answer only"""
    import h2.config
    import h2.connection
    import h2.events

    raw = socket.create_connection((HOST, 443))
    tls = untrusting("h2").wrap_socket(raw)
    h2c = h2.connection.H2Connection(
        h2.config.H2Configuration(header_encoding="utf-8"))

    def ask(method):
        stream = h2c.get_next_available_stream_id()
        h2c.send_headers(stream, [(":method", method), (":path", "/"),
                                  (":scheme", "https"),
                                  (":authority", "server")], end_stream=True)
        tls.sendall(h2c.data_to_send())

    def answered():
        while True:
            data = tls.recv(65536)
            if not data:
                return False
            events = h2c.receive_data(data)
            tls.sendall(h2c.data_to_send())
            if any(isinstance(e, h2.events.StreamEnded) for e in events):
                return True

    h2c.initiate_connection()
    ask("GET")
    if not answered():
        sys.exit("no answer")
    time.sleep(6)
    said = state(tls)
    try:
        ask("POST")
    except OSError:
        return said, "not sent"
    return said, "answered" if answered() else "wasted"


def bye():
    """A mail program whose user comes back after half an hour"""
    imap = imaplib.IMAP4(HOST)
    imap.login("alice", "secret")
    time.sleep(40 * 60)
    said = state(imap.sock)
    try:
        imap.send(b"1 NOOP\r\n")
        written = "wasted"
    except OSError:
        written = "not sent"
    return said, written, imap.readline().decode().split()[1]


def greeting(n="20"):
    """A pool that is filled and forgotten"""
    pool = [socket.create_connection((HOST, 143)) for _ in range(int(n))]
    time.sleep(10 * 60)
    states = [state(sock) for sock in pool]
    greetings = sum(sock.recv(4096).startswith(b"* OK") for sock in pool)
    return (*(f"{name} {states.count(name)}" for name in sorted(set(states))),
            f"greetings {greetings}")


print(*{"early": early, "goaway": goaway, "bye": bye,
        "greeting": greeting}[sys.argv[1]](*sys.argv[2:]), sep=", ")
