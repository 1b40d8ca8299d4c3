#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The versions of the Python libraries that are installed here."""

import importlib.metadata
import platform

print("Python", platform.python_version())
for name in ("urllib3", "httpx", "h2", "aiohttp", "psycopg2", "redis",
             "PyMySQL", "mysqlclient", "pymemcache", "pylibmc"):
    try:
        print(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        pass
try:
    import pycurl
    print(pycurl.version)
except ImportError:
    pass
