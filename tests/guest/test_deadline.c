// SPDX-License-Identifier: GPL-2.0-only
/* --deadline: reset that long after the FIN, whatever is pending. */

#include <errno.h>

#include "host.h"
#include "rules.h"

#define MS		1000LL
#define RST_ACK		0x14

/* The reset comes @ms after the FIN, which was sent at @start */
static void expect_reset(struct conn *c, int64_t start, int ms,
			 unsigned long deadline)
{
	const struct segment *g;
	int64_t after;

	do {
		g = peer_next(c, 2 * ms);
		if (!g)
			peer_fail(c, "no reset");
	} while (g->flags != RST_ACK);
	after = g->when - start;
	if (after < ms * MS || after > ms * MS + timer_slack(ms * MS / 2))
		peer_fail(c, "reset %lld us after the FIN, deadline %d ms",
			  (long long)after, ms);
	app_wait_state(c, TCP_CLOSE, 0);
	expect_counter("resets", 1);
	expect_counter("deadline", deadline);
	peer_expect_nothing(c, 60000);
}

/* What has arrived stays readable all the same */
static void unread(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN "--deadline 5s --reset-with etimedout");
	client(&c, h, 0);
	start = now_us();
	peer_send(&c, "FP. 1:5001(5000) ack 1");
	expect_reset(&c, start, 5000, 1);
	app_read(&c, 5000);
	app_read_eof(&c);
	app_write_fails(&c, ETIMEDOUT);
}

static void unacknowledged(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN "--deadline 20s");
	client(&c, h, 0);
	app_write(&c, 100);
	peer_expect(&c, "P. 1:101(100) ack 1");
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	expect_reset(&c, start, 20000, 1);
	app_write_fails(&c, ECONNRESET);
}

static void unsent(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN "--deadline 3s");
	client_silent(&c, h, 0, host_socket(h));
	peer_send(&c, ". 1:1(0) ack 1 win 0");
	app_write(&c, 100);
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1 win 0");
	expect_reset(&c, start, 3000, 1);
}

/* Nothing pending, but reads and writes in every grace: nothing is lost */
static void active(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN "--grace 2s --deadline 5s");
	client(&c, h, 0);
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	for (int i = 0; i < 4; i++) {
		sleep_ms(1000);
		app_write(&c, 1);
		peer_expect(&c, "P. %d:%d(1) ack 2", i + 1, i + 2);
		peer_send(&c, ". 2:2(0) ack %d", i + 2);
	}
	expect_reset(&c, start, 5000, 0);
}

/* A quiet socket does not wait for the deadline */
static void quiet(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--deadline 1h");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 2");
	expect_counter("resets", 1);
	expect_counter("deadline", 0);
}

static void same_as_grace(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN "--grace 3s --deadline 3s");
	client(&c, h, 0);
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	expect_reset(&c, start, 3000, 0);
}

/* Nobody could have read before it was accepted: its time begins then */
static void accepted_late(void **state)
{
	struct host *h = *state;
	int listener = host_listen(h, 8080);
	struct conn c;
	int64_t start;

	rule(h, ON_FIN "--deadline 5s --reset-with econnaborted");
	peer_connect(&c, &h->peer, 8080, 0);
	peer_send(&c, "FP. 1:5001(5000) ack 1");
	peer_take_acks(&c, 57000);
	expect_counter("watching", 1);
	c.fd = host_accept(h, listener);
	start = now_us();
	wait_for(app_state(&c) == TCP_CLOSE, 60000);
	/* the look that finds it accepted is an eighth of its age late */
	assert_in_range(now_us() - start, 5000 * MS,
			5000 * MS + 57000 * MS / 8 + timer_slack(5000 * MS));
	app_read(&c, 5000);
	app_read_eof(&c);
	app_write_fails(&c, ECONNABORTED);
	expect_counter("resets", 1);
}

static void hours(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN "--deadline 3h");
	client(&c, h, 0);
	start = now_us();
	peer_send(&c, "FP. 1:5001(5000) ack 1");
	expect_reset(&c, start, 3 * 3600 * 1000, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(unread),
		ON_ALL(unacknowledged),
		ON_ALL(unsent),
		ON_ALL(active),
		ON_ALL(quiet),
		ON_ALL(same_as_grace),
		ON_ALL(accepted_late),
		ON_IPV4(hours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
