#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Clients of data and log servers that close while the client is idle:
data.py CLIENT HOST COUNT.

Writes the numbers below COUNT, one by one, and prints the same lines as
web.py; after each it waits until a line comes in.  In the end, on a
connection of its own, it prints what the server has, each as "has N"; a log
server says so itself."""

import sys
import time

HOST = sys.argv[2]


class SQL:
    """An application that keeps its connection and makes a new one only
    after an error"""

    method = "INSERT"
    errors = Exception

    def __init__(self):
        self.conn = None
        self.query("CREATE TABLE IF NOT EXISTS seen (n int)")

    def query(self, *query):
        if not self.conn:
            self.conn = self.connect()
        try:
            cursor = self.conn.cursor()
            cursor.execute(*query)
            return cursor
        except self.errors:
            self.conn = None
            raise

    def write(self, n):
        self.query("INSERT INTO seen VALUES (%s)", (n,))

    def read(self):
        self.conn = None
        cursor = self.query("SELECT n FROM seen")
        return [n for n, in cursor.fetchall()]

    def documented(self, error):
        return False


class Psycopg2(SQL):
    def connect(self):
        import psycopg2
        self.errors = psycopg2.Error
        conn = psycopg2.connect(
            host=HOST, port=80, user="bob", dbname="postgres",
            sslmode="disable", gssencmode="disable")
        conn.autocommit = True
        return conn


class Pymysql(SQL):
    """"Server has gone away" (2006): nothing was sent"""

    def connect(self):
        import pymysql
        return pymysql.connect(host=HOST, port=80, user="root",
                               database="halfrst", autocommit=True)

    def documented(self, error):
        return error.args[:1] == (2006,)


class Mysqldb(Pymysql):
    """MariaDB's Connector/C"""

    def connect(self):
        import MySQLdb
        conn = MySQLdb.connect(host=HOST, port=80, user="root",
                               database="halfrst")
        conn.autocommit(True)
        return conn


class Redis:
    """The client's own pool"""

    method = "RPUSH"

    def __init__(self):
        import redis
        self.redis = redis
        self.client = redis.Redis(HOST, 80)

    def write(self, n):
        self.client.rpush("seen", n)

    def read(self):
        return map(int, self.redis.Redis(HOST, 80).lrange("seen", 0, -1))

    def documented(self, error):
        return False


class Pymemcache:
    """One connection.  "RetryingClient" repeats after the errors that it is
    given; the documentation's example is MemcacheUnexpectedCloseError"""

    method = "append"

    def __init__(self):
        self.client = self.connect()
        self.client.set("seen", "")

    def connect(self):
        from pymemcache.client.base import Client
        return Client((HOST, 80))

    def write(self, n):
        self.client.append("seen", f"{n} ", noreply=False)

    def read(self):
        return map(int, self.connect().get("seen").split())

    def documented(self, error):
        return type(error).__name__ == "MemcacheUnexpectedCloseError"


class Pylibmc(Pymemcache):
    """libmemcached"""

    def connect(self):
        import pylibmc
        return pylibmc.Client([f"{HOST}:80"])

    def write(self, n):
        self.client.append("seen", f"{n} ")


class Rsyslog:
    """A program that logs to the local daemon, which sends it on by TCP"""

    method = "log"

    def __init__(self):
        import socket
        self.log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.log.connect("/run/alice/log")

    def write(self, n):
        self.log.send(f"<14>test: message {n}".encode())

    def read(self):
        return []

    def documented(self, error):
        return False


class Logging(Rsyslog):
    """Python's SocketHandler, sending lines: it neither looks nor tells, and
    makes a new connection for the message after an error"""

    def __init__(self):
        import logging.handlers
        handler = logging.handlers.SocketHandler(HOST, 80)
        handler.makePickle = lambda record: record.getMessage().encode()
        self.log = logging.getLogger()
        self.log.addHandler(handler)
        self.log.setLevel("INFO")

    def write(self, n):
        self.log.info("message %d\n", n)


def attempt(client, n):
    """What the user would be told, or None"""
    try:
        client.write(n)
    except Exception as e:
        again = "again: " if client.documented(e) else ""
        return again + " ".join(f"{type(e).__name__}: {e}".split())
    return None


def main():
    client = globals()[sys.argv[1].title()]()
    for n in range(int(sys.argv[3])):
        errors = []
        start = time.time()
        for _ in range(3):
            error = attempt(client, n)
            if not error:
                break
            errors.append(error)
        took = (time.time() - start) * 1000
        print(n, client.method, f"{took:.1f}", *errors, sep="\t", flush=True)
        sys.stdin.readline()
    for n in client.read():
        print("has", n, flush=True)


main()
