#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Requests with a pause between each two, by a library that keeps its
connection: clients-http.py CLIENT URL PAUSE METHOD,METHOD...

Prints a line for each request: number, method, milliseconds until the answer
and the errors that its user would have been shown, separated by tabs.  The
user tries again, three times at most.  The number is the last part of the
URL, so that the server's log tells what arrived twice."""

import http.client
import io
import sys
import time
import urllib.parse
import urllib.request

BODY = b"hello"


def curl():
    """libcurl, one handle: looks at the socket before it uses it again."""
    import pycurl
    handle = pycurl.Curl()

    def request(method, url):
        handle.setopt(pycurl.URL, url)
        handle.setopt(pycurl.WRITEDATA, io.BytesIO())
        if method == "POST":
            handle.setopt(pycurl.POSTFIELDS, BODY)
        else:
            handle.setopt(pycurl.HTTPGET, 1)
        handle.perform()
        return handle.getinfo(pycurl.RESPONSE_CODE)
    return request


def urllib3():
    """A pool: looks at the socket before it uses it again."""
    import urllib3
    pool = urllib3.PoolManager()

    def request(method, url):
        body = BODY if method == "POST" else None
        return pool.request(method, url, body=body).status
    return request


def httpclient():
    """Python's own http.client, which does not look.  An application that
    repeats what is safe to repeat: a GET, and any request whose write
    failed."""
    kept = {}

    def request(method, url):
        parts = urllib.parse.urlsplit(url)
        body = BODY if method == "POST" else None
        while True:
            old = parts.netloc in kept
            conn = kept.setdefault(parts.netloc,
                                   http.client.HTTPConnection(parts.netloc))
            written = False
            try:
                conn.request(method, parts.path, body)
                written = True
                answer = conn.getresponse()
                answer.read()
                return answer.status
            except (OSError, http.client.HTTPException):
                kept.pop(parts.netloc).close()
                if not old or written and method != "GET":
                    raise
    return request


def fresh():
    """A connection for each request, for what is in between to be tried."""
    def request(method, url):
        body = BODY if method == "POST" else None
        with urllib.request.urlopen(url, body) as answer:
            answer.read()
            return answer.status
    return request


def attempt(request, method, url):
    """What the user would be told, or None"""
    try:
        status = request(method, url)
    except Exception as e:
        return " ".join(f"{type(e).__name__}: {e}".split())
    return None if status == 200 else f"HTTP {status}"


def main():
    client, url, pause, methods = sys.argv[1:]
    request = globals()[client]()
    for n, method in enumerate(methods.split(",")):
        if n:
            time.sleep(float(pause))
        errors = []
        start = time.time()
        for _ in range(3):
            error = attempt(request, method, f"{url}/{n}")
            if not error:
                break
            errors.append(error)
        took = (time.time() - start) * 1000
        print(n, method, f"{took:.1f}", *errors, sep="\t", flush=True)


main()
