/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Many connections over loopback, to a server process that can die at once:
 *
 *	this process                          child process
 *	client[0..n-1] ── lo, INPUT, rules ── accepted sockets
 *
 * and what the kernel has allocated for them.
 */
#ifndef CROWD_H
#define CROWD_H

#include <sys/types.h>

#include "host.h"

struct crowd {
	enum kind kind;
	int n;
	int *client;
	pid_t server;
};

/* A network namespace of its own with nothing but loopback in it */
void crowd_namespace(void);

/* @n connections; the server sends @unread bytes on each of them */
void crowd_open(struct crowd *c, enum kind kind, int n, int unread);
void crowd_server_dies(struct crowd *c);
void crowd_close(struct crowd *c);

/*
 * A dead server's end says FIN again until it is answered, or for the first
 * time, as a probe of the window, because there was no memory for its clone.
 */
bool crowd_repeats_fin(void);

/* How many clients are in this state: TCP_CLOSE... */
int crowd_in_state(const struct crowd *c, int state);

/* TCP_INFO of any TCP socket, and the state in it */
struct tcp_info socket_info(int fd);
int socket_state(int fd);

/*
 * Objects in use in a slab cache, exactly: what the CPUs keep for themselves
 * is flushed first.  0 if there is no such cache.
 */
long slab_objects(const char *cache);
long slab_bytes(const char *cache);	/* with what its pages leave over */

/* A line of /proc/net/snmp's Tcp section, "OutRsts" for instance */
long tcp_counter(const char *name);

/* A number out of a file, -1 if it is not there */
long number_in(const char *path);

/* Is HALFRST part of the kernel, so that it never goes? */
bool built_in(void);

/* Do @n rules hold the module?  Nobody counts where it is built in. */
bool referred_to(long n);

/* Small and repeatable; never 0 */
uint32_t chance(uint32_t *seed);

/* @usual times, or @often with HALFRST_LONG */
int how_often(int usual, int often);

#endif /* CROWD_H */
