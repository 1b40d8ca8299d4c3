#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Clients of data servers that go and come back while the client is idle:
clients-data.py CLIENT HOST COUNT.

Writes the numbers below COUNT, one by one, and prints the same lines as
clients-http.py; after each it waits until a line comes in.  In the end, on a
connection of its own, it prints what the server has, each as "has N"."""

import sys
import time

HOST = sys.argv[2]


class Psycopg2:
    """An application that keeps its connection and makes a new one only
    after an error"""

    method = "INSERT"

    def __init__(self):
        import psycopg2
        self.psycopg2 = psycopg2
        self.conn = None
        self.query("CREATE TABLE IF NOT EXISTS seen (n int)")

    def query(self, *query):
        if not self.conn:
            self.conn = self.psycopg2.connect(
                host=HOST, port=80, user="bob", dbname="postgres",
                sslmode="disable", gssencmode="disable")
            self.conn.autocommit = True
        try:
            cursor = self.conn.cursor()
            cursor.execute(*query)
            return cursor
        except self.psycopg2.Error:
            self.conn = None
            raise

    def write(self, n):
        self.query("INSERT INTO seen VALUES (%s)", (n,))

    def read(self):
        self.conn = None
        return [n for n, in self.query("SELECT n FROM seen").fetchall()]


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


def attempt(client, n):
    """What the user would be told, or None"""
    try:
        client.write(n)
    except Exception as e:
        return " ".join(f"{type(e).__name__}: {e}".split())
    return None


def main():
    client = {"psycopg2": Psycopg2, "redis": Redis}[sys.argv[1]]()
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
