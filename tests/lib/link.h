/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two hosts with real TCP at both ends:
 *
 *	near namespace                         far namespace
 *	the application, rules ── near0 (veth) far0 ── the peer
 *	   192.0.2.1, 2001:db8::1              192.0.2.2, 2001:db8::2
 */
#ifndef LINK_H
#define LINK_H

#include "host.h"

struct link {
	enum kind kind;
	int near;
	int far;
};

/* @netem: how both directions treat packets, "delay 5ms loss 1%", or NULL;
 * the calling thread is in the near namespace afterwards.
 */
void link_open(struct link *l, enum kind kind, const char *netem);
void link_close(struct link *l);

/* The calling thread moves */
void link_enter_near(const struct link *l);
void link_enter_far(const struct link *l);

/* Blocking sockets; connect from one end to a listener at the other */
int link_listen_near(const struct link *l, uint16_t port);
int link_listen_far(const struct link *l, uint16_t port);
int link_connect_near(const struct link *l, uint16_t port);
int link_connect_far(const struct link *l, uint16_t port);

/* Rules for the near end */
void link_rule(const struct link *l, const char *text);

/* A test whose *state says of which kind the link is that it opens */
#define LINK_TEST(function, kind_) {				\
	.name = #function " " #kind_,				\
	.test_func = function,					\
	.initial_state = (void *)(uintptr_t)(kind_),		\
}
#define LINK_ALL(function) \
	LINK_TEST(function, IPV4), LINK_TEST(function, IPV6),	\
	LINK_TEST(function, MAPPED)

/* A connection from the far end that has carried a byte: @app is the near end's, and a
 * rule with @options watches it.  At the end nothing does.
 */
struct served {
	struct link l;
	int listener;
	int peer;
	int app;
};

void served_open(struct served *s, enum kind kind, uint16_t port,
		 const char *options);
void served_close(struct served *s);

#endif /* LINK_H */
