# SPDX-License-Identifier: GPL-2.0-only
"""Reads what tcpdump has written."""

import struct
from collections import namedtuple

PORTS = (80, 443)

# Time in ms; out: to a server's port, and port is the other one; flags as
# "FIN ACK"; data and bytes: lengths of the payload and of the IP packet;
# alert: the payload is one TLS alert
Segment = namedtuple("Segment", "time out port flags data bytes seq alert")


def is_alert(payload, length):
    """One record of the type, or, as TLS 1.3 hides that, so short that it
    can hold no more than an alert."""
    if length < 7 or len(payload) < 5 or payload[1] != 3:
        return False
    inside = payload[3] << 8 | payload[4]
    return length == 5 + inside and (
        payload[0] == 21 or (payload[0] == 23 and inside == 19))


def capture(path):
    """The IPv4 TCP segments of a pcap file."""
    with open(path, "rb") as f:
        raw = f.read()
    at = 24
    while at < len(raw):
        sec, usec, size = struct.unpack_from("<III", raw, at)
        ip = raw[at + 16 + 14:at + 16 + size]
        tcp = ip[(ip[0] & 15) * 4:]
        total = struct.unpack_from("!H", ip, 2)[0]
        sport, dport, seq = struct.unpack_from("!HHI", tcp)
        data = total - (ip[0] & 15) * 4 - (tcp[12] >> 4) * 4
        flags = " ".join(name for bit, name in
                         ((2, "SYN"), (1, "FIN"), (4, "RST"), (16, "ACK"))
                         if tcp[13] & bit)
        yield Segment(sec * 1000 + usec / 1000, dport in PORTS,
                      sport if dport in PORTS else dport, flags, data, total,
                      seq, is_alert(tcp[(tcp[12] >> 4) * 4:], data))
        at += 16 + size
