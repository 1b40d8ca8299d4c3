#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What guest.sh measured, as text, figures and one page.

report.py DIRECTORY KERNEL DATE: reads the captures, states, clients'
accounts and counters in DIRECTORY, prints every packet and a table, writes
wide.svg, narrow.svg and report.html there.  Fails if HALFRST did not do what
README.md promises."""

import html
import math
import os
import sys
import textwrap
from collections import namedtuple

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from capture import capture  # noqa: E402

CASES = (("nothing", "Nothing installed"),
         ("chain", "Five MARK/REJECT rules"),
         ("halfrst", "One HALFRST rule"))
SCHEMES = ("https", "http")

# Times in ms since the server's FIN; out: from the phone to the server
Packet = namedtuple("Packet",
                    "sent got out port flags data bytes seq "
                    "alert")
State = namedtuple("State", "since until name")


#
# Reading
#

def pairs(here, there):
    """What one end sent with what the other got: the wire keeps order."""
    if [p[1:] for p in here] != [p[1:] for p in there]:
        sys.exit("demo: the two captures differ: a packet was lost between")
    for sent, got in zip(here, there):
        yield Packet(sent.time, got.time, *sent[1:])


def words(path):
    """A file of lines "name value" as a dictionary."""
    with open(path) as f:
        return dict(line.rstrip("\n").split(" ", 1) for line in f)


class Case:
    """One of the three runs of HTTPS or HTTP"""

    def __init__(self, where, scheme, name, title):
        self.scheme, self.name, self.title = scheme, name, title
        base = f"{where}/{scheme}.{name}"
        phone = list(capture(f"{base}.phone.pcap"))
        server = list(capture(f"{base}.server.pcap"))
        self.client = words(f"{base}.client")
        port = int(self.client["port"])
        packets = [*pairs([p for p in phone if p.out],
                          [p for p in server if p.out]),
                   *pairs([p for p in server if not p.out],
                          [p for p in phone if not p.out])]
        packets.sort()
        zero = next(p.sent for p in packets
                    if p.port == port and not p.out and "FIN" in p.flags)
        self.zero = zero
        packets = [p._replace(sent=p.sent - zero, got=p.got - zero)
                   for p in packets]
        # The first is close_notify, if that is said, or the FIN
        first = min([0, *(p.sent for p in packets if p.alert and
                          p.port == port and not p.out and p.sent > -500)])
        self.after = [p for p in packets
                      if p.port == port and p.sent >= first]
        self.retry = next((p for p in packets if p.port != port), None)
        self.reuse = float(self.client["reuse_at"]) * 1000 - zero
        # A ms of tolerance, as two clocks' roundings meet
        self.void = [p for p in self.after
                     if p.out and p.sent > self.reuse - 1]
        self.states = {end: self.history(f"{base}.{end}.states", port)
                       for end in ("phone", "server")}
        self.rule, self.counters = self.counts(f"{base}.counters")

    def history(self, path, port):
        """The states of one end's socket; the last one is "gone"."""
        found = []
        with open(path) as f:
            for line in f:
                time, number, name = line.split(" ", 2)
                if number == str(port):
                    found.append((float(time) * 1000 - self.zero,
                                  name.strip()))
        ends = [time for time, _ in found[1:]] + [None]
        return [State(since, until, name)
                for (since, name), until in zip(found, ends)]

    @staticmethod
    def counts(path):
        """(packets that matched the HALFRST rule, /proc/net/xt_halfrst)"""
        rule, counters = None, {}
        with open(path) as f:
            for line in f:
                field = line.split()
                if len(field) == 2 and field[1].isdigit():
                    counters[field[0]] = int(field[1])
                elif len(field) > 2 and field[2] == "HALFRST":
                    rule = int(field[0])
        return rule, counters

    def gone(self, end):
        """When the socket went, or None"""
        return next((s.since for s in self.states[end] if s.name == "gone"),
                    None)

    def write(self):
        """What the next write did, in words"""
        if "read" in self.client:
            return f"{self.client['write']}, then {self.client['read']}"
        return self.client["write"]

    def wasted(self, packet):
        """Would nobody miss it?  Requests to the dead connection, what they
        cause, and a FIN that has to be said twice."""
        if packet.sent > self.reuse - 1:
            return True
        if not packet.data and packet.flags == "ACK":
            return False
        return any(p is not packet and p.sent < packet.sent and
                   p[2:] == packet[2:] for p in self.after)


def label(packet):
    if packet.alert:
        return "close_notify"
    if packet.data:
        return "request" if packet.out else "response"
    return packet.flags


def ms(value):
    return "still there" if value is None else f"{value:.0f} ms"


#
# Text
#

def table(cases):
    """Rows of (what, value for each case)"""
    def row(what, value):
        return what, *(value(c) for c in cases)

    yield row("packets after the response", lambda c: str(len(c.after)))
    yield row("bytes (IP)", lambda c: str(sum(p.bytes for p in c.after)))
    yield row("server's socket gone, after its FIN",
              lambda c: ms(c.gone("server")))
    yield row("client's socket gone, after that FIN",
              lambda c: ms(c.gone("phone")))
    yield row("the next write",
              lambda c: c.write().replace(", then end of file", "*"))
    yield row("packets it sends into the void", lambda c: str(len(c.void)))
    yield row("until the next answer",
              lambda c: c.client["answered_after_ms"] + " ms")


def print_text(cases):
    scheme = cases[0].scheme.upper()
    for case in cases:
        print(f"\n{scheme}. {case.title}: after the response\n"
              "     sent by           when   segment       bytes (IP)")
        for p in case.after:
            print(f"     {'client -->' if p.out else '<-- server'}"
                  f" {round(p.sent, 1) + 0.0:10.1f} ms   {label(p):12} {p.bytes:5}"
                  f"{'   wasted' if case.wasted(p) else ''}")
    print(f"\n{scheme:37}{'nothing':>12}{'chain':>12}{'HALFRST':>12}")
    for what, *values in table(cases):
        print(f"{what:37}" + "".join(f"{v:>12}" for v in values))
    if any("end of file" in c.write() for c in cases):
        print("* but nobody reads it: the client gets an end of file.")
    last = cases[-1]
    print("\nnft: the helper is halfrst." if last.rule is None else
          f"\niptables -v: {last.rule} packets met the HALFRST rule.")
    print("/proc/net/xt_halfrst: " +
          ", ".join(f"{k} {v}" for k, v in last.counters.items() if v) +
          "\n(One FIN of the connection that was reset; one of the new one,"
          "\nwhich the client closed first: not HALFRST's business.)")


def broken_promises(case):
    """What README.md says about HALFRST and was not so"""
    want = [(False, "FIN ACK"), (True, "RST ACK")]
    error = "ECONNRESET"
    if case.scheme == "https":
        # close_notify, and its own ACK; Python's ssl calls each error so
        error = "SSLEOFError"
        want[:1] = [(False, "close_notify"), want[0], (True, "ACK")]
    packets = [(p.out, label(p)) for p in case.after]
    if packets != want:
        yield f"packets after the response are {packets}"
    if case.write() != error:
        yield f"the next write: {case.write()}"
    if case.void:
        yield f"{len(case.void)} packets went into the void"
    if not case.client.get("second", "").startswith("HTTP/1.1 200"):
        yield "the request was not answered on a new connection"
    if case.counters.get("resets") != 1:
        yield f"counters: {case.counters}"
    if case.gone("server") is None or case.gone("server") > 100:
        yield f"server's socket gone after {case.gone('server')} ms"


#
# Figures. Colours of Okabe and Ito; what they say, shapes or words say too.
#

WHAT = ("A server closes an idle HTTPS connection. The client's application is not "
        "told, and writes its next request 2 seconds later.")
BLUE, RED, ORANGE, GREEN, GREY = (
    "#0072B2", "#D55E00", "#E69F00", "#009E73", "#767676")
WIDTH, LEFT, RIGHT, TOP = 345, 98, 248, 120
LINE = 17  # between arrows that leave one end at the same time


def bursts(case):
    """The packets of a figure, those together that left one end at once"""
    found = []
    for p in sorted([*case.after, *([case.retry] if case.retry else [])]):
        if found and found[-1][-1].out == p.out and \
                p.sent - found[-1][-1].sent < 2:
            found[-1].append(p)
        else:
            found.append([p])
    return found


class Scale:
    """One axis of time for all figures: idle stretches are cut short."""

    def __init__(self, cases):
        # A time, and how many arrows have to leave then
        times = {-1000: 1, self.rough(max(c.reuse for c in cases)) + 110: 1}
        for c in cases:
            for burst in bursts(c):
                for time in (burst[0].sent, burst[-1].got):
                    times.setdefault(self.rough(time), 1)
                first = self.rough(burst[0].sent)
                times[first] = max(times[first], len(burst))
        self.knots, y, last = [], TOP, None
        for time in sorted(times):
            if self.knots:
                y += min((time - last) * 0.9, 52) + LINE * (times[last] - 1)
            self.knots.append((time, y))
            last = time

    @staticmethod
    def rough(time):
        """To 5 ms: what happens at the same time in all runs is one knot"""
        return 5 * round(time / 5)

    def __call__(self, time):
        if time is None:
            return self.knots[-1][1]
        time = min(max(time, self.knots[0][0]), self.knots[-1][0])
        for (t0, y0), (t1, y1) in zip(self.knots, self.knots[1:]):
            if time <= t1:
                return y0 + (y1 - y0) * (time - t0) / (t1 - t0)
        return self.knots[-1][1]

    def cuts(self):
        """Where the axis skips more than a quarter of a second"""
        for (t0, y0), (t1, y1) in zip(self.knots, self.knots[1:]):
            if t1 - t0 > 200:
                yield (y0 + y1) / 2

    @property
    def bottom(self):
        return self.knots[-1][1]


def text(x, y, words, size=12, colour="#222", anchor="start", bold=False):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}"'
            f' fill="{colour}" text-anchor="{anchor}"'
            f'{" font-weight=%sbold%s" % (chr(34), chr(34)) if bold else ""}'
            f' class="halo">{html.escape(words)}</text>')


def lifeline(x, side, states, y):
    """A socket's life: thin while in use, wide and hatched while it is only
    kept, nothing when it is gone."""
    for s in states:
        if s.until is not None and s.until < y.knots[0][0]:
            continue
        top, low = y(s.since), y(s.until)
        if s.name == "gone":
            if s.since > y.knots[-1][0]:
                break
            yield (f'<path d="M{x - 6} {top - 6:.1f} l12 12 m0 -12 l-12 12"'
                   f' stroke="#222" stroke-width="2"/>')
            yield (f'<line x1="{x}" x2="{x}" y1="{top + 8:.1f}"'
                   f' y2="{y.bottom:.1f}" stroke="#bbb"'
                   ' stroke-dasharray="2 4"/>')
            yield text(x + side * 12, top + 4, f"gone, {ms(s.since)}", 11,
                       "#222", "start" if side > 0 else "end")
            break
        kept = s.name not in ("ESTABLISHED", "SYN_SENT", "SYN_RECV")
        yield (f'<rect x="{x - (5 if kept else 2)}" y="{top:.1f}"'
               f' width="{10 if kept else 4}" height="{low - top:.1f}"'
               f' fill="{"url(#kept)" if kept else BLUE}"/>')
        if low - top > 14:
            yield text(x + side * 12, (max(top, TOP) + low) / 2 + 4, s.name,
                       11, "#8a4b00" if kept else BLUE,
                       "start" if side > 0 else "end")


def arrow(out, y0, y1, colour, words, head):
    x0, x1 = (LEFT + 7, RIGHT - 9) if out else (RIGHT - 7, LEFT + 9)
    dash = ' stroke-dasharray="5 3"' if head == "wasted" else ""
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    slope = math.degrees(math.atan((y1 - y0) / (x1 - x0)))
    return (f'<line x1="{x0}" y1="{y0:.1f}" x2="{x1}" y2="{y1:.1f}"'
            f' stroke="{colour}" stroke-width="2"{dash}'
            f' marker-end="url(#{head})"/>'
            f'<g transform="rotate({slope:.1f} {x:.1f} {y:.1f})">' +
            text(x, y - 4, words, 12, colour, "middle", head == "wasted") +
            "</g>")


def panel(case, y):
    """One run, as the children of an svg or g element"""
    yield text(WIDTH / 2, 22, case.title, 17, "#000", "middle", True)
    verdict = ("Next write:", f"{len(case.void)} packets into the void, no "
               "error." if "read" in case.client else
               "fails. Nothing is sent.")
    yield text(WIDTH / 2, 44, " ".join(verdict), 13,
               RED if case.void else "#222", "middle", bool(case.void))
    yield text(WIDTH / 2, 62, f"{len(case.after)} packets. Server's socket "
               f"gone after {ms(case.gone('server'))}.", 13, "#222", "middle")
    yield text(LEFT, 92, "client", 14, "#000", "middle", True)
    yield text(RIGHT, 92, "server", 14, "#000", "middle", True)
    yield text(LEFT, 107, "(application idle)", 10, GREY, "middle")
    yield text(RIGHT, 107, "(closes after 2 s)", 10, GREY, "middle")
    yield from lifeline(LEFT, -1, case.states["phone"], y)
    yield from lifeline(RIGHT, 1, case.states["server"], y)
    for cut in y.cuts():
        for x in (LEFT, RIGHT):
            yield (f'<rect x="{x - 7}" y="{cut - 3:.1f}" width="14"'
                   ' height="6" fill="#fff"/>')
        yield text((LEFT + RIGHT) / 2, cut + 4, "· · ·", 14, "#444", "middle")
    for burst in bursts(case):
        for i, p in enumerate(burst):
            look = ((GREEN, "SYN (new connection)", "new")
                    if p is case.retry else
                    (RED, label(p), "wasted") if case.wasted(p) else
                    (BLUE, label(p), "used"))
            yield arrow(p.out, y(p.sent) + LINE * i,
                        y(p.got) - LINE * (len(burst) - 1 - i), *look)
    at = y(case.reuse)
    yield (f'<path d="M{LEFT - 8} {at:.1f} l-9 -5 v10 z" fill="#000"/>')
    yield text(LEFT - 20, at + 4, "write()", 12, "#000", "end", True)
    yield text(LEFT - 20, at + 18, case.client["write"], 11, "#000", "end")
    yield text(RIGHT + 12, y(0) - 2, "FIN: 0 ms", 11, "#222")


def bars(cases, width):
    """Packets and bytes after the response; the wasted part is hatched."""
    y = 0
    for what, size in (("packets after the response", lambda p: 1),
                       ("bytes after the response", lambda p: p.bytes)):
        y += 22
        yield text(10, y, f"{cases[0].scheme.upper()}: {what}", 14, "#000",
                   bold=True)
        top = max(sum(map(size, c.after)) for c in cases)
        for c in cases:
            y += 22
            yield text(10, y, c.title, 12)
            used, waste = (sum(size(p) for p in c.after
                               if c.wasted(p) == w) for w in (False, True))
            x, unit = 165, (width - 165 - 115) / top
            for part, fill in ((used, BLUE), (waste, "url(#waste)")):
                yield (f'<rect x="{x:.1f}" y="{y - 12}" height="15"'
                       f' width="{part * unit:.1f}" fill="{fill}"/>')
                x += part * unit
            yield text(x + 6, y, f"{used + waste}" +
                       (f", {waste} wasted" if waste else ""), 12)
        y += 8


def legend(width):
    items = ((f'<line x1="0" x2="24" y1="-4" y2="-4" stroke="{BLUE}"'
              ' stroke-width="2" marker-end="url(#used)"/>', "needed", 95),
             (f'<line x1="0" x2="24" y1="-4" y2="-4" stroke="{RED}"'
              ' stroke-width="2" stroke-dasharray="5 3"'
              ' marker-end="url(#wasted)"/>', "wasted", 95),
             ('<rect x="8" y="-14" width="10" height="18" fill="url(#kept)"/>',
              "socket kept, no use", 155),
             ('<path d="M6 -10 l12 12 m0 -12 l-12 12" stroke="#222"'
              ' stroke-width="2"/>', "socket gone", 110))
    x, y = 10, 0
    for shape, words, size in items:
        if x + size > width:
            x, y = 10, y + 20
        yield (f'<g transform="translate({x} {y})">{shape}' +
               text(32, 0, words, 12) + "</g>")
        x += size + 8


DEFS = f"""<title>An idle HTTP connection that the server closes</title>
<style>text{{font-family:system-ui,-apple-system,"Segoe UI",Roboto,
"DejaVu Sans",sans-serif}}
.halo{{paint-order:stroke;stroke:#fff;stroke-width:4px;
stroke-linejoin:round}}</style><defs>
<pattern id="kept" width="5" height="5" patternUnits="userSpaceOnUse"
 patternTransform="rotate(45)"><rect width="5" height="5" fill="{ORANGE}"/>
<rect width="2" height="5" fill="#7a4a00"/></pattern>
<pattern id="waste" width="6" height="6" patternUnits="userSpaceOnUse"
 patternTransform="rotate(45)"><rect width="6" height="6" fill="{RED}"/>
<rect width="2" height="6" fill="#fff"/></pattern>
""" + "".join(f"""<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5"
 markerWidth="6" markerHeight="6" orient="auto">
<path d="M0 0L10 5L0 10z" fill="{colour}"/></marker>"""
              for name, colour in (("used", BLUE), ("wasted", RED),
                                   ("new", GREEN))) + "</defs>"


def svg(name, width, height, parts):
    """One picture; two of them fit into a page, as ids get its name"""
    return (f'<svg xmlns="http://www.w3.org/2000/svg" role="img"'
            f' viewBox="0 0 {width:.0f} {height:.0f}">{DEFS}'
            f'<rect width="100%" height="100%" fill="#fff"/>'
            + "\n".join(parts) + "</svg>\n").replace(
                'id="', f'id="{name}-').replace("url(#", f"url(#{name}-")


def moved(x, y, parts):
    return [f'<g transform="translate({x:.0f} {y:.0f})">', *parts, "</g>"]


def figure(groups, name, columns, source):
    """All panels of the first scheme, legend, and bars of each scheme, beside
    or below one another"""
    cases = groups[0]
    y = Scale(cases)
    tall = y.bottom + 25
    width = WIDTH * columns + 10
    parts, at = [], 8

    def paragraph(words, size, colour, bold=False):
        nonlocal at
        for line in textwrap.wrap(words, int((width - 20) / size / 0.54)):
            at += size + 5
            parts.append(text(10, at, line, size, colour, bold=bold))

    paragraph(WHAT, 15, "#000", True)
    at += 10
    for i, case in enumerate(cases):
        parts += moved(5 + WIDTH * (i % columns), at + tall * (i // columns),
                       panel(case, y))
    at += -(-len(cases) // columns) * tall + 15
    parts += moved(5, at, legend(width))
    at += 10 if columns > 1 else 30
    for i, group in enumerate(groups):
        beside = columns > 1
        parts += moved(5 + width / 2 * i if beside else 5, at,
                       bars(group, width / 2 - 20 if beside else width - 10))
        at += 195 if not beside or group is groups[-1] else 0
    paragraph(" ".join(source), 11, "#555")
    return svg(name, width, at + 12, parts)


def page(groups, narrow, wide, source):
    rows = "".join(
        f"<tr><th>{cases[0].scheme.upper()}<th>nothing<th>chain<th>HALFRST" +
        "".join("<tr><th>" + html.escape(what) + "".join(
            f"<td>{html.escape(v)}" for v in values)
            for what, *values in table(cases)) for cases in groups)
    packets = "".join(
        f"<h3>{c.scheme.upper()}: {html.escape(c.title)}</h3><table><tr><th>sent by<th>ms after "
        "the FIN<th>segment<th>bytes (IP)<th>" + "".join(
            f"<tr><td>{'client' if p.out else 'server'}"
            f"<td>{round(p.sent, 1) + 0.0:.1f}"
            f"<td>{label(p)}<td>{p.bytes}"
            f"<td>{'wasted' if c.wasted(p) else ''}" for p in c.after) +
        "</table>" for cases in groups for c in cases)
    return f"""<!DOCTYPE html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>HALFRST: an idle connection that the server closes</title>
<style>body{{font:16px/1.45 system-ui,sans-serif;max-width:64rem;
margin:1rem auto;padding:0 .7rem;color:#222;background:#fff}}
svg{{width:100%;height:auto}}.narrow{{display:none}}
table{{border-collapse:collapse;margin:1rem 0;font-size:.9rem}}
th,td{{border:1px solid #999;padding:.3rem .5rem;text-align:left}}
@media(max-width:700px){{.wide{{display:none}}.narrow{{display:block}}
th,td{{padding:.2rem .25rem;font-size:.8rem}}}}</style>
<h1>An idle connection that the server closes</h1>
<div class="wide">{wide}</div><div class="narrow">{narrow}</div>
<table>{rows}</table>
<p>* The write succeeds, but the client then reads an end of file.</p>
<h2>Every packet after the response</h2>{packets}
<p>{html.escape(' '.join(source))} The captures are beside this page, one for
each end of each run: <code>https</code> and <code>http</code>,
<code>.nothing</code>, <code>.chain</code> and <code>.halfrst</code>,
<code>.phone.pcap</code> and <code>.server.pcap</code>.</p></html>
"""


def main():
    where, kernel, date = sys.argv[1:]
    groups = [[Case(where, scheme, *case) for case in CASES]
              for scheme in SCHEMES]
    source = (f"Measured on {kernel}, {date}. nginx, keepalive_timeout 2, TLS 1.3; "
              "25 ms each way.",
              "Times count from the server's FIN. Idle stretches (· · ·) "
              "are cut short.")
    drawings = {}
    for name, columns in (("wide", 3), ("narrow", 1)):
        drawings[name] = figure(groups, name, columns, source)
        with open(f"{where}/{name}.svg", "w") as f:
            f.write(drawings[name])
    with open(f"{where}/report.html", "w") as f:
        f.write(page(groups, drawings["narrow"], drawings["wide"], source))
    broken = []
    for cases in groups:
        print_text(cases)
        broken += [f"{cases[-1].scheme}: {promise}"
                   for promise in broken_promises(cases[-1])]
    for promise in broken:
        print("demo: HALFRST failed:", promise, file=sys.stderr)
    sys.exit(bool(broken))


main()
