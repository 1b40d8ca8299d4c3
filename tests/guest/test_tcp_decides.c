// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCP decides: a FIN that TCP does not accept has no effect.  It costs nothing if
 * TCP could not take it, else one entry at most, which goes away after 60 s.  A
 * FIN that TCP accepts later takes effect then.
 */

#include <errno.h>

#include "host.h"
#include "rules.h"

/* The connection never noticed */
static void goes_on(struct conn *c)
{
	expect_counter("watching", 0);
	expect_counter("resets", 0);

	assert_int_equal(app_state(c), TCP_ESTABLISHED);
	app_write(c, 100);
	peer_expect(c, "P. 1:101(100) ack 1");
	peer_send(c, "P. 1:201(200) ack 101");
	peer_expect(c, ". 101:101(0) ack 201");
	app_read(c, 200);

	peer_send(c, "F. 201:201(0) ack 101");
	peer_expect(c, "R. 101:101(0) ack 202");
	expect_counter("resets", 1);
}

/* The FIN was watched, and came to nothing */
static void no_effect(struct conn *c)
{
	expect_counter("watching", 1);
	peer_take_acks(c, 58000);
	expect_counter("watching", 1);
	peer_expect_nothing(c, 6000);
	expect_counter("expired", 1);
	goes_on(c);
}

/* It was none that TCP could take */
static void impossible(struct conn *c)
{
	expect_counter("expired", 1);
	expect_counter("watching", 0);
	peer_take_acks(c, 64000);
	goes_on(c);
}

static void beyond_the_window(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send(&c, "F. 1000001:1000001(0) ack 1");
	impossible(&c);
}

static void before_the_window(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send(&c, "F. 4294867296:4294867296(0) ack 1");
	impossible(&c);
}

/* It acknowledges what was never sent */
static void wrong_ack(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1000001");
	impossible(&c);
}

static void without_ack(void **state)
{
	struct host *h = *state;
	struct conn c;

	skip_by_helper("conntrack calls it invalid");
	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send(&c, "F 1:1(0)");
	expect_counter("fins", 0);
	peer_take_acks(&c, 64000);
	goes_on(&c);
}

static void bad_checksum(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send_twisted(&c, BAD_CHECKSUM, "F. 1:1(0) ack 1");
	no_effect(&c);
}

static void old_timestamp(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, TIMESTAMPS);
	peer_send_twisted(&c, OLD_TIMESTAMP, "F. 1:1(0) ack 1");
	no_effect(&c);
}

static void dropped_by_a_later_rule(void **state)
{
	struct host *h = *state;
	struct conn c;

	skip_by_helper("it comes after that rule");
	rule(h, ON_FIN);
	rule(h, "-t filter -A INPUT -p tcp --tcp-flags FIN FIN -j DROP");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	expect_counter("watching", 1);
	rule(h, "-t filter -F");
	no_effect(&c);
}

/*
 * The true FIN comes while a forged one is being watched: it takes effect as
 * if there had been no other.  @forged is sent @ms before it.
 */
static void true_one_comes(struct host *h, const char *options,
			   const char *forged, int twist, int ms)
{
	bool possible = twist;	/* TCP drops it, but may have taken it */
	const struct segment *g;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN "%s", options);
	client(&c, h, TIMESTAMPS);
	peer_send_twisted(&c, twist, "%s", forged);
	peer_take_acks(&c, ms);
	expect_counter("watching", possible);
	expect_counter("expired", !possible);
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	do {
		g = peer_next(&c, 40000);
		if (!g)
			peer_fail(&c, "no reset");
	} while (g->flags != 0x14);
	if (g->when - start > 10000)
		peer_fail(&c, "reset %lld us after the true FIN",
			  (long long)(g->when - start));
	app_wait_state(&c, TCP_CLOSE, 0);
	/* a request that comes later never leaves */
	sleep_ms(5000);
	app_write_fails(&c, ECONNRESET);
	peer_expect_nothing(&c, 1000);
	expect_counter("resets", 1);
	expect_counter("repeated", possible);
	expect_counter("deadline", 0);
	rule(h, "-t mangle -F");
}

static void spoofed_then_true(void **state)
{
	true_one_comes(*state, "", "F. 1000001:1000001(0) ack 1", 0, 21000);
}

static void bad_checksum_then_true(void **state)
{
	true_one_comes(*state, "", "F. 1:1(0) ack 1", BAD_CHECKSUM, 21000);
}

static void wrong_ack_then_true(void **state)
{
	true_one_comes(*state, "", "F. 1:1(0) ack 1000001", 0, 300);
}

static void spoofed_then_true_with_deadline(void **state)
{
	true_one_comes(*state, "--deadline 40s", "F. 1000001:1000001(0) ack 1",
		       0, 21000);
}

/* Neither the grace nor the deadline has begun with the forged FIN */
static void times_begin_with_the_true_one(void **state)
{
	struct host *h = *state;
	const struct segment *g;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN "--grace 2s --deadline 30s");
	client(&c, h, 0);
	peer_send(&c, "F. 1000001:1000001(0) ack 1");
	peer_take_acks(&c, 28000);
	app_write(&c, 100);
	peer_expect(&c, "P. 1:101(100) ack 1");
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	do {
		g = peer_next(&c, 60000);
		if (!g)
			peer_fail(&c, "no reset");
	} while (g->flags != 0x14);
	assert_in_range(g->when - start, 30000000,
			30000000 + timer_slack(15000000));
	expect_counter("deadline", 1);
}

/* The grace goes by, and the reset comes in its time */
static void grace_begins_with_the_true_one(void **state)
{
	struct host *h = *state;
	const struct segment *g;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN "--grace 2s");
	client(&c, h, 0);
	peer_send(&c, "F. 1000001:1000001(0) ack 1");
	peer_take_acks(&c, 21000);
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	do {
		g = peer_next(&c, 60000);
		if (!g)
			peer_fail(&c, "no reset");
	} while (g->flags != 0x14);
	assert_in_range(g->when - start, 2000000, 2500000 + timer_slack(500000));
}

/*
 * The FIN comes before the 100 bytes that go before it; the reset is due
 * when the age of the watch has doubled.
 */
static void gap(struct host *h, int ms)
{
	const struct segment *g;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send(&c, "F. 101:101(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 1");
	sleep_ms(ms);
	assert_int_equal(app_state(&c), TCP_ESTABLISHED);
	expect_counter("resets", 0);
	peer_send(&c, "P. 1:101(100) ack 1");
	app_wait_state(&c, TCP_CLOSE_WAIT, 0);
	app_read(&c, 100);
	do {
		g = peer_next(&c, ms + timer_slack(ms * 1000LL) / 1000);
		if (!g)
			peer_fail(&c, "no reset");
	} while (g->flags == 0x10);
	if (g->flags != 0x14 || peer_relative_ack(&c, g) != 102)
		peer_fail(&c, "this is not the reset");
	app_wait_state(&c, TCP_CLOSE, 0);
	peer_expect_nothing(&c, 10000);
	expect_counter("fins", 1);
	expect_counter("resets", 1);
}

static void gap_of_5ms(void **state)
{
	gap(*state, 5);
}

static void gap_of_500ms(void **state)
{
	gap(*state, 500);
}

static void gap_of_20s(void **state)
{
	gap(*state, 20000);
}

/* Silence is counted from the last read, not from when it was noticed */
static void gap_with_grace(void **state)
{
	struct host *h = *state;
	const struct segment *g;
	int64_t read;
	struct conn c;

	rule(h, ON_FIN "--grace 2s");
	client(&c, h, 0);
	peer_send(&c, "F. 101:101(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 1");
	sleep_ms(21000);
	peer_send(&c, "P. 1:101(100) ack 1");
	app_read(&c, 100);
	read = now_us();
	do {
		g = peer_next(&c, 60000);
		if (!g)
			peer_fail(&c, "no reset");
	} while (g->flags == 0x10);
	if (g->when - read < 2000000 || g->when - read > 2600000)
		peer_fail(&c, "reset %lld us after the last read",
			  (long long)(g->when - read));
}

static void gap_for_ever(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send(&c, "F. 101:101(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 1");
	peer_expect_nothing(&c, 64000);
	expect_counter("expired", 1);
	expect_counter("watching", 0);
	assert_int_equal(app_state(&c), TCP_ESTABLISHED);
}

static void no_entry(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	for (int i = 0; i < 1000; i++)
		peer_send(&c, "F. %d:%d(0) ack 1", 1000001 + i, 1000001 + i);
	expect_counter("fins", 1000);
	expect_counter("watching", 0);
	expect_counter("expired", 1000);
	peer_take_acks(&c, 1000);
	goes_on(&c);
}

/* FINs for connections that do not exist cost nothing that stays */
static void no_connection(void **state)
{
	struct host *h = *state;
	struct conn c, stranger;

	skip_by_helper("no connection, no helper");
	rule(h, ON_FIN);
	client(&c, h, 0);
	for (int i = 0; i < 1000; i++) {
		stranger = c;
		stranger.peer_port = 1024 + i;
		peer_send(&stranger, "F. 1:1(0) ack 1");
	}
	expect_counter("no_socket", 1000);
	expect_counter("watching", 0);
	peer_expect_nothing(&c, 1000);
	assert_int_equal(app_state(&c), TCP_ESTABLISHED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(beyond_the_window),
		ON_ALL(before_the_window),
		ON_ALL(wrong_ack),
		ON_ALL(without_ack),
		ON_ALL(bad_checksum),
		ON_ALL(old_timestamp),
		ON_ALL(dropped_by_a_later_rule),
		ON_ALL(spoofed_then_true),
		ON_IPV4(bad_checksum_then_true),
		ON_IPV6(wrong_ack_then_true),
		ON_MAPPED(spoofed_then_true_with_deadline),
		ON_IPV4(times_begin_with_the_true_one),
		ON_IPV6(grace_begins_with_the_true_one),
		ON_ALL(gap_of_5ms),
		ON_ALL(gap_of_500ms),
		ON_ALL(gap_of_20s),
		ON_ALL(gap_with_grace),
		ON_ALL(gap_for_ever),
		ON_ALL(no_entry),
		ON_ALL(no_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
