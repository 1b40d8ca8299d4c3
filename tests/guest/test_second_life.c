// SPDX-License-Identifier: GPL-2.0-only
/*
 * A socket whose application ends its connection by connect(AF_UNSPEC) and
 * connects it again, from the same port to the same address: the second life
 * has everything in common with the first one but its sequence numbers, and
 * does not inherit its watch.
 */

#include <errno.h>
#include <string.h>

#include "host.h"
#include "rules.h"

#define MS	1000LL
#define SECOND	(1000 * MS)

/* Not bound by connect(): such a port would go with the first connection */
static int bound(struct host *h)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(h->kind, &a, APP_IPV4, APP_IPV6, 5555);
	int fd = host_socket(h);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	return fd;
}

/* Ends the connection, which sends RST to the peer, as TCP does */
static void end(struct conn *c)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	const struct segment *g;

	assert_int_equal(connect(c->fd, &none, sizeof(none)), 0);
	do {
		g = peer_next(c, PEER_PATIENCE);
		if (!g)
			peer_fail(c, "no RST");
	} while (!(g->flags & 4));
	app_error(c);		/* ECONNRESET, TCP's own word for it */
}

static void first_life(struct conn *c, struct host *h, const char *options)
{
	rule(h, ON_FIN "%s", options);
	client_with(c, h, 0, bound(h));
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, ". 1:1(0) ack 2");
	expect_counter("watching", 1);
}

static void second_life_from(struct conn *c, struct host *h, uint32_t iss)
{
	int port = c->app_port;

	end(c);
	h->peer.iss = iss;
	client_with(c, h, 0, c->fd);
	assert_int_equal(c->app_port, port);
}

/* Its numbers are others, as a host's own are with time */
static void second_life(struct conn *c, struct host *h)
{
	second_life_from(c, h, h->peer.iss + 1234567);
}

static int64_t reset_after(struct conn *c, int64_t start, int64_t longest)
{
	const struct segment *g;

	do {
		g = peer_next(c, longest / MS);
		if (!g)
			peer_fail(c, "no reset");
	} while (g->flags != 0x14);
	app_wait_state(c, TCP_CLOSE, 0);
	return g->when - start;
}

/* Its peer has not closed: nothing happens to it, ever */
static void established(void **state)
{
	struct host *h = *state;
	struct conn c;

	first_life(&c, h, "--grace 2s --deadline 5s");
	second_life(&c, h);
	app_write(&c, 100);
	peer_expect(&c, "P. 1:101(100) ack 1");
	peer_send(&c, ". 1:1(0) ack 101");
	peer_expect_nothing(&c, 130000);
	assert_int_equal(app_state(&c), TCP_ESTABLISHED);
	expect_counter("closed", 1);
	expect_counter("resets", 0);
	expect_counter("watching", 0);
}

/* A deadline counts from its own FIN, and is that of its own rule */
static void own_deadline(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t start, after;

	first_life(&c, h, "--grace 2s --deadline 10s");
	sleep_ms(1000);
	second_life(&c, h);
	rule(h, "-t mangle -F");
	rule(h, ON_FIN "--deadline 20s --reset-with etimedout");
	app_write(&c, 100);
	peer_expect(&c, "P. 1:101(100) ack 1");
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	after = reset_after(&c, start, 60 * SECOND);
	if (after < 20 * SECOND ||
	    after > 20 * SECOND + timer_slack(10 * SECOND))
		peer_fail(&c, "reset after %lld us", (long long)after);
	app_write_fails(&c, ETIMEDOUT);
	expect_counter("resets", 1);
	expect_counter("repeated", 0);
	wait_for(counter("watching") == 0, 60000);
	expect_counter("closed", 1);
}

/* Without a grace it is reset at once, while the first one's is not over */
static void own_rule(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t start;

	first_life(&c, h, "--grace 1h --reset-with econnreset");
	sleep_ms(20000);
	second_life(&c, h);
	rule(h, "-t mangle -F");
	rule(h, ON_FIN "--reset-with etimedout");
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	assert_true(reset_after(&c, start, 60 * SECOND) < 12 * MS);
	app_write_fails(&c, ETIMEDOUT);
	expect_counter("repeated", 0);
	wait_for(counter("watching") == 0, 120000);
	expect_counter("closed", 1);
	expect_counter("resets", 1);
}

/* Even if the peer begins with the number that it began with before: what tells
 * one life from the other is ours.
 */
static void same_numbers_established(void **state)
{
	struct host *h = *state;
	struct conn c;

	first_life(&c, h, "--grace 2s --deadline 5s");
	second_life_from(&c, h, h->peer.iss);
	wait_for(counter("watching") == 0, 10000);
	expect_counter("closed", 1);
	peer_expect_nothing(&c, 60000);
	assert_int_equal(app_state(&c), TCP_ESTABLISHED);
	expect_counter("resets", 0);
}

static void same_numbers_own_rule(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t start;

	first_life(&c, h, "--grace 1h --reset-with econnreset");
	sleep_ms(20000);
	second_life_from(&c, h, h->peer.iss);
	rule(h, "-t mangle -F");
	rule(h, ON_FIN "--reset-with etimedout");
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	assert_true(reset_after(&c, start, 60 * SECOND) < 12 * MS);
	app_write_fails(&c, ETIMEDOUT);
	expect_counter("repeated", 0);
	expect_counter("closed", 1);
	expect_counter("resets", 1);
}

/* ... and it is closed by a FIN that no rule has seen */
static void same_numbers_no_rule(void **state)
{
	struct host *h = *state;
	struct conn c;

	first_life(&c, h, "--grace 30s");
	second_life_from(&c, h, h->peer.iss);
	rule(h, "-t mangle -F");
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	peer_expect_nothing(&c, 130000);
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
	expect_counter("closed", 1);
	expect_counter("resets", 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(established),
		ON_ALL(own_deadline),
		ON_ALL(own_rule),
		ON_ALL(same_numbers_established),
		ON_ALL(same_numbers_own_rule),
		ON_ALL(same_numbers_no_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
