/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host under test: a network namespace of its own for each test, with
 * the scripted peer at the far end of its only link, and the application's
 * sockets.
 *
 *	 application                                  script
 *	 socket ── TCP ── rules ── peer0 (TUN) ────── struct peer
 *	            192.0.2.1, 2001:db8::1   192.0.2.2, 2001:db8::2
 */
#ifndef HOST_H
#define HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "application.h"
#include "peer.h"

#define HOST_SOCKETS	512

struct host {
	enum kind kind;
	int netns;
	bool nft;			/* rules by the nft front end */
	struct peer peer;
	int sockets[HOST_SOCKETS];	/* closed at the end, -1 if free */
};

/* cmocka set-up and tear-down; *state is an enum kind before the set-up */
int host_setup(void **state);
int host_teardown(void **state);

/* The process moves to this host's namespace: sockets, rules, counters */
void host_enter(const struct host *h);

#define HOST_TEST(function, kind_, text) {			\
	.name = #function " " text,				\
	.test_func = function,					\
	.setup_func = host_setup,				\
	.teardown_func = host_teardown,				\
	.initial_state = (void *)(uintptr_t)(kind_),		\
}

#define ON_IPV4(function)	HOST_TEST(function, IPV4, "ipv4")
#define ON_IPV6(function)	HOST_TEST(function, IPV6, "ipv6")
#define ON_MAPPED(function)	HOST_TEST(function, MAPPED, "mapped")
#define ON_ALL(function) \
	ON_IPV4(function), ON_IPV6(function), ON_MAPPED(function)

/* The application's sockets; all of them are non-blocking */
int host_socket(struct host *h);
int host_keep(struct host *h, int fd);
int host_listen(struct host *h, uint16_t port);
int host_accept(struct host *h, int listener);
void host_close(struct host *h, int fd);

/* Close without a word: what a killed process does */
void host_abort(struct host *h, int fd);

/* A client's socket, any file descriptor; bind() and options come before */
void client_with(struct conn *c, struct host *h, int options, int fd);

/* The same, but no byte has been sent yet: not an idle connection.  The peer
 * can close its window before the first one only, as TCP reads its segments.
 */
void client_silent(struct conn *c, struct host *h, int options, int fd);

/*
 * The application sends one byte, which the peer acknowledges, and the script
 * begins behind it.  A connection that has carried nothing is not an idle one,
 * so all of the helpers here do this once it is established.
 */
void app_begins(struct conn *c);

/* The same for a connection whose two ends are both sockets of the test's */
void carry_byte(int from, int to);

/* The application connects to the peer's port 80 / the peer to its 8080 */
void client(struct conn *c, struct host *h, int options);
void server(struct conn *c, struct host *h, int options);

/* Addresses of this kind's sockets; returns their length */
socklen_t host_address(enum kind kind, struct sockaddr_storage *a,
		       const char *ipv4, const char *ipv6, uint16_t port);

/* Wait for a condition; the longer it takes, and the more it costs to ask, the less
 * often it is tried
 */
#define wait_until(condition, ms) ({					\
	int64_t start_ = now_us(), end_ = start_ + (ms) * 1000LL, asked_; \
	bool met_;							\
	while (asked_ = now_us(), !(met_ = (condition)) && now_us() < end_) \
		sleep_ms(1 + (asked_ - start_) / 64000 +		\
			 (now_us() - asked_) / 250);			\
	met_;								\
})
#define wait_for(condition, ms) do {					\
	if (!wait_until(condition, ms))					\
		peer_fail(NULL, "not within %d ms: %s", (int)(ms),	\
			  #condition);					\
} while (0)

void sleep_ms(int64_t ms);

/*
 * How late a kernel timer of @us can be: a tick or two, an eighth of its
 * time, and no more than the 60 s do that are the longest between two looks.
 */
int64_t timer_slack(int64_t us);

/* Run a shell command, which must succeed / may fail */
void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
int run_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Write a short text to a file below /proc or /sys */
void set(const char *path, const char *value);

#endif /* HOST_H */
