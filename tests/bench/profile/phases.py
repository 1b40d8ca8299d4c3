#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Where the instructions of a window go: phases.py KALLSYMS PATH [tree]

PATH is what path.c wrote.  Who called whom is told from the addresses: the
first instruction of a function is a call, any other is a return to it.
Prints "INSTRUCTIONS|PHASE", or with "tree" every call.
"""
import bisect
import sys

# The innermost of these that is being executed says which phase it is
PHASES = {
    "window": "the program itself",
    "entry_SYSCALL_64": "close() and poll(): system call, file, waiting",
    "tcp_send_fin": "send the FIN",
    "__tcp_push_pending_frames": "send the FIN",
    "tcp_send_active_reset": "send the RST",
    "net_rx_action": "receive: loopback, IP, rules",
    "tcp_v4_rcv": "TCP processes FIN or RST",
    "halfrst_tg": "HALFRST: target and watch",
    "tasklet_action": "HALFRST: look",
    "halfrst_tasklet": "HALFRST: look",
    "halfrst_reset": "send the RST",
    "tcp_v4_do_rcv": "TCP processes FIN or RST",
    "tcp_done_with_error": "the socket's end: error, state",
    "tcp_reset": "the socket's end: error, state",
    "schedule": "task switches",
    "__schedule": "task switches",
    "preempt_schedule_common": "task switches",
    "asm_sysvec_apic_timer_interrupt": "interrupts",
    "asm_common_interrupt": "interrupts",
}
EVENTS = {
    "loopback_xmit": "a segment is on the wire",
    "tcp_set_state": "a socket changes state",
    "halfrst_tg": "the target sees the FIN",
    "halfrst_look": "the look begins",
    "__x64_sys_poll": "poll() begins",
}


class Call:
    def __init__(self, name, start):
        self.name, self.start, self.own, self.calls = name, start, 0, []

    def total(self):
        return self.own + sum(c.total() for c in self.calls)

    def show(self, depth):
        print(f"{'  ' * depth}{self.start:6} {self.total():6} {self.name}")
        for c in self.calls:
            c.show(depth + 1)


def symbols(path):
    found = []
    with open(path) as f:
        for line in f:
            address, kind, name = line.split()[:3]
            if kind in "tTwW":
                found.append((int(address, 16), name))
    found.sort()
    return [a for a, _ in found], [n for _, n in found]


def main():
    addresses, names = symbols(sys.argv[1])
    stack, phase, events, n = [], {}, [], 0

    with open(sys.argv[2]) as f:
        for line in f:
            line = line.strip()
            if line == "open":
                window = Call("window", 0)
                stack, phase, events, n = [window], {}, [], 0
                last = None
                continue
            if line == "close":
                break
            n += 1
            a = int(line, 16)
            if a < 1 << 63:
                del stack[1:]
                name, first = "window", False
            else:
                i = bisect.bisect_right(addresses, a) - 1
                name, first = names[i], addresses[i] == a
            if first:
                stack.append(Call(name, n))
                stack[-2].calls.append(stack[-1])
                if name in EVENTS:
                    events.append((n, name))
            elif name != last:
                known = [i for i, c in enumerate(stack) if c.name == name]
                if known:
                    del stack[known[-1] + 1:]
                else:	# another task
                    stack = [window, Call(name, n)]
                    window.calls.append(stack[-1])
            stack[-1].own += 1
            last = name
            p = next((PHASES[c.name] for c in reversed(stack)
                      if c.name in PHASES), "other")
            phase[p] = phase.get(p, 0) + 1

    if sys.argv[3:] == ["tree"]:
        window.show(0)
        return
    for p in sorted(phase, key=phase.get, reverse=True):
        print(f"{phase[p]}|{p}")
    print(f"{n}|all of the above")
    for at, name in events:
        print(f"@{at}|{EVENTS[name]} ({name})")


main()
