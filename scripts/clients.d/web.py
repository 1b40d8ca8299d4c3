#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Requests with a pause between each two, by a library that keeps its
connection: web.py CLIENT URL PAUSE METHOD,METHOD...

Prints a line for each request: number, method, milliseconds until the answer
and the errors of the attempts, separated by tabs.  The user tries again,
three times at most.  An error after which a program that follows its library's
documentation repeats the request by itself begins with "again: "; that
program's user does not see it.  The number is the last part of the URL, so
that the server's log tells what arrived twice."""

import http.client
import io
import os
import ssl
import sys
import time
import urllib.parse
import urllib.request

BODY = b"hello"
CA = os.environ.get("SSL_CERT_FILE")


class Sync:
    """What the clients below have in common: they do nothing in a pause, and
    their documentation names no error to repeat a request after."""

    pause = staticmethod(time.sleep)

    def documented(self, error, method):
        return False


class Curl(Sync):
    """libcurl, one handle: looks at the socket before it uses it again."""

    def __init__(self):
        import pycurl
        self.curl, self.handle = pycurl, pycurl.Curl()
        self.handle.setopt(pycurl.CAINFO, CA)

    def request(self, method, url):
        self.handle.setopt(self.curl.URL, url)
        self.handle.setopt(self.curl.WRITEDATA, io.BytesIO())
        if method == "POST":
            self.handle.setopt(self.curl.POSTFIELDS, BODY)
        else:
            self.handle.setopt(self.curl.HTTPGET, 1)
        self.handle.perform()
        return self.handle.getinfo(self.curl.RESPONSE_CODE)


class Urllib3(Sync):
    """A pool: looks at the socket before it uses it again."""

    def __init__(self):
        import urllib3
        self.pool = urllib3.PoolManager(ca_certs=CA)

    def request(self, method, url):
        body = BODY if method == "POST" else None
        return self.pool.request(method, url, body=body).status


class Httpclient(Sync):
    """Python's own http.client, which does not look.  An application that
    repeats what is safe to repeat: a GET, and any request whose write
    failed."""

    def __init__(self):
        self.kept = {}
        self.context = ssl.create_default_context()

    def connection(self, parts):
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.netloc)
        return http.client.HTTPSConnection(parts.netloc,
                                           context=self.context)

    def request(self, method, url):
        parts = urllib.parse.urlsplit(url)
        body = BODY if method == "POST" else None
        while True:
            old = parts.netloc in self.kept
            conn = self.kept.setdefault(parts.netloc, self.connection(parts))
            written = False
            try:
                conn.request(method, parts.path, body)
                written = True
                answer = conn.getresponse()
                answer.read()
                return answer.status
            except (OSError, http.client.HTTPException):
                self.kept.pop(parts.netloc).close()
                if not old or written and method != "GET":
                    raise


class Fresh(Sync):
    """A connection for each request, for what is in between to be tried."""

    def request(self, method, url):
        body = BODY if method == "POST" else None
        with urllib.request.urlopen(url, body) as answer:
            answer.read()
            return answer.status


class Httpx(Sync):
    """HTTP/2 where the server speaks it.  "HTTPX Exceptions": TransportError
    is the base of all that a connection may raise."""

    def __init__(self):
        import httpx
        self.httpx = httpx
        self.client = httpx.Client(http2=True, verify=CA)

    def request(self, method, url):
        body = BODY if method == "POST" else None
        return self.client.request(method, url, content=body).status_code

    def documented(self, error, method):
        return method == "GET" and isinstance(error,
                                              self.httpx.TransportError)


class Aiohttp:
    """"Client exceptions": ClientConnectionError is the base of what "is
    related to low-level connection problems"."""

    def __init__(self):
        import asyncio
        import aiohttp
        self.asyncio, self.aiohttp = asyncio, aiohttp
        self.loop = asyncio.new_event_loop()
        self.session = self.loop.run_until_complete(self.opened())

    async def opened(self):
        return self.aiohttp.ClientSession()

    async def requested(self, method, url):
        body = BODY if method == "POST" else None
        async with self.session.request(method, url, data=body) as answer:
            await answer.read()
            return answer.status

    def pause(self, seconds):
        self.loop.run_until_complete(self.asyncio.sleep(seconds))

    def request(self, method, url):
        return self.loop.run_until_complete(self.requested(method, url))

    def documented(self, error, method):
        return method == "GET" and isinstance(
            error, self.aiohttp.ClientConnectionError)


class AiohttpBusy(Aiohttp):
    """The event loop is kept from being told of the close."""

    pause = staticmethod(time.sleep)


class AiohttpIdiom(AiohttpBusy):
    """A program that repeats after an end of file only, as many do."""

    def documented(self, error, method):
        return method == "GET" and isinstance(
            error, self.aiohttp.ServerDisconnectedError)


def attempt(client, method, url):
    """What the user would be told, or None"""
    try:
        status = client.request(method, url)
    except Exception as e:
        again = "again: " if client.documented(e, method) else ""
        return again + " ".join(f"{type(e).__name__}: {e}".split())
    return None if status == 200 else f"HTTP {status}"


def main():
    name, url, pause, methods = sys.argv[1:]
    client = globals()[name.title().replace("-", "")]()
    for n, method in enumerate(methods.split(",")):
        if n:
            client.pause(float(pause))
        errors = []
        start = time.time()
        for _ in range(3):
            error = attempt(client, method, f"{url}/{n}")
            if not error:
                break
            errors.append(error)
        took = (time.time() - start) * 1000
        print(n, method, f"{took:.1f}", *errors, sep="\t", flush=True)
    os._exit(0)  # the last connection dies with its client, unclosed


main()
