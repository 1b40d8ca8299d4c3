/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Many connections over loopback, to a server process that can die at once:
 *
 *	this process                          child process
 *	client[0..n-1] ── lo, INPUT, rules ── accepted sockets
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

#endif /* CROWD_H */
