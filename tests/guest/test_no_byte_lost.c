// SPDX-License-Identifier: GPL-2.0-only
/*
 * No byte lost: every byte that arrived before the FIN can be read, then
 * read() returns 0, then write() fails with the chosen error.
 */

#include <errno.h>

#include "host.h"
#include "rules.h"

#define CHUNK	1400

/* The application's window allows this many bytes and a FIN beyond @sent */
static unsigned int room(const struct conn *c, uint32_t sent)
{
	int32_t left = c->app_edge - 1 - (sent + 1);

	return left > 0 ? left : 0;
}

/*
 * Send @total bytes, the FIN with the last of them.  The application reads
 * @read_size at a time, and only when the window is full.
 */
static void fill(struct conn *c, uint32_t total, size_t read_size)
{
	uint32_t sent = 0;

	peer_send(c, "P. 1:2(1) ack 1");	/* the window is in its ACK */
	peer_expect_acks(c, 2);
	sent = 1;
	while (sent < total) {
		uint32_t n = total - sent < CHUNK ? total - sent : CHUNK;
		bool last = sent + n == total;

		if (n <= room(c, sent)) {
			peer_send(c, "%s %u:%u(%u) ack 1", last ? "FP." : "P.",
				  sent + 1, sent + 1 + n, n);
			sent += n;
		} else {
			peer_take_acks(c, 100);
			if (n > room(c, sent))
				app_read(c, read_size);
		}
	}
	if (total == 1)
		peer_send(c, "F. 2:2(0) ack 1");
	/* the last window may have been taken already */
	peer_take_acks(c, 500);
	if (c->app_ack != total + 2)
		peer_fail(c, "the FIN was not acknowledged");
}

static void then_nothing(struct conn *c, uint32_t total, int error)
{
	/* the looks are as far apart as the reading was long */
	const struct segment *g = peer_next(c, 600000);

	if (!g)
		peer_fail(c, "no reset");
	if (g->flags != 0x14 || peer_relative_seq(c, g) != 1 ||
	    peer_relative_ack(c, g) != total + 2)
		peer_fail(c, "this is not the reset");
	app_wait_state(c, TCP_CLOSE, 0);
	app_read_eof(c);
	app_write_fails(c, error);
	app_read_eof(c);
	peer_expect_nothing(c, 10000);
	expect_counter("resets", 1);
}

static void read_slowly(struct conn *c, uint32_t total, size_t size, int pause)
{
	while (c->read < total) {
		size_t left = total - c->read;

		assert_int_equal(app_state(c), TCP_CLOSE_WAIT);
		expect_counter("resets", 0);
		app_read(c, left < size ? left : size);
		sleep_ms(pause);
		if (c->read < total)
			peer_take_acks(c, 0);
	}
}

static void unread(void **state, uint32_t total, size_t size, int pause)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	fill(&c, total, 20000);
	read_slowly(&c, total, size, pause);
	app_read_eof(&c);
	then_nothing(&c, total, ECONNRESET);
}

static void one_byte(void **state)
{
	unread(state, 1, 1, 0);
}

static void one_segment(void **state)
{
	unread(state, 1000, 10, 7);
}

static void half_a_window(void **state)
{
	unread(state, 30000, 1000, 50);
}

static void several_windows(void **state)
{
	unread(state, 300000, 4000, 100);
}

/* An hour with more than 4 KiB unread is not a reason */
static void unread_for_an_hour(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	fill(&c, 5000, 1);
	app_read(&c, 900);
	peer_take_acks(&c, 3600000);
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
	expect_counter("watching", 1);
	expect_counter("resets", 0);
	app_read(&c, 4100);
	app_read_eof(&c);
	then_nothing(&c, 5000, ECONNRESET);
}

static void chosen_error(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--reset-with etimedout");
	client(&c, h, TIMESTAMPS | WINDOW_SCALE);
	fill(&c, 200000, 10000);
	read_slowly(&c, 200000, 10000, 1);
	then_nothing(&c, 200000, ETIMEDOUT);
}

/* A look without taking leaves the bytes unread */
static void peeked(void **state)
{
	struct host *h = *state;
	struct conn c;
	char buffer[5000];

	rule(h, ON_FIN);
	client(&c, h, 0);
	fill(&c, 5000, 1);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(recv(c.fd, buffer, 5000, MSG_PEEK), 5000);
		peer_take_acks(&c, 100);
	}
	expect_counter("resets", 0);
	app_read(&c, 5000);
	then_nothing(&c, 5000, ECONNRESET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(one_byte),
		ON_ALL(one_segment),
		ON_ALL(half_a_window),
		ON_ALL(several_windows),
		ON_IPV4(unread_for_an_hour),
		ON_ALL(chosen_error),
		ON_ALL(peeked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
