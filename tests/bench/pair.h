/* SPDX-License-Identifier: GPL-2.0-only */
/* Connections whose two ends are both in this process, and the clock. */
#ifndef PAIR_H
#define PAIR_H

#include <netinet/in.h>
#include <stdint.h>

/* Under QEMU's -icount a nanosecond is an instruction */
int64_t now(void);

void die(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/* How long the CPUs have been idle since boot; the rest was instructions */
int64_t idle(void);

/* Accepted sockets inherit the listener's options */
int pair_listener(uint32_t address, uint16_t port);

struct pair {
	int client;
	int server;
};

void pair_open(struct pair *p, int listener);

/* Into a namespace that has a name */
void netns_enter(const char *name);

/* @n connections to port 80 of as many loopback addresses as they need; or, from
 * the namespace "alone" to that in $SERVER_NETNS, of addresses from 198.18.0.1 on
 */
struct pair *pairs_open(int n);

/* Make close() of @fd send a RST instead of a FIN */
void abortive(int fd);

/* The state of a socket, TCP_ESTABLISHED... */
int tcp_state(int fd);

/* A line of /proc/net/snmp's Tcp section, "InSegs" for instance */
int64_t tcp_counter(const char *name);

/* A line of /proc/meminfo, in bytes */
int64_t memory(const char *name);

/* Sorts @n values and returns the one in the middle */
int64_t median(int64_t *values, int n);

#endif /* PAIR_H */
