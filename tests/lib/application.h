/* SPDX-License-Identifier: GPL-2.0-only */
/* The application: what it does with a connection's socket, and what it gets. */
#ifndef APPLICATION_H
#define APPLICATION_H

#include "peer.h"

/* Write or read @n bytes of the pattern; the read waits for them */
void app_write(struct conn *c, size_t n);
void app_read(struct conn *c, size_t n);

/* read() returns 0 / fails with @error; the same for send() */
void app_read_eof(struct conn *c);
void app_read_fails(struct conn *c, int error);
void app_write_fails(struct conn *c, int error);

int app_state(const struct conn *c);	/* TCP_ESTABLISHED... */
int app_unread(const struct conn *c);
int app_unacked(const struct conn *c);
int app_error(const struct conn *c);	/* takes SO_ERROR */

/* Wait, up to @ms, until the socket is in this state */
void app_wait_state(struct conn *c, int state, int ms);

#endif /* APPLICATION_H */
