// SPDX-License-Identifier: GPL-2.0-only
/*
 * One packet: when the peer closes an idle connection it sees exactly one
 * segment after its FIN, a RST|ACK that acknowledges the FIN.
 */

#include <errno.h>
#include <time.h>

#include "host.h"
#include "rules.h"

#define LONG_AFTER	120000

static void nothing_more(struct conn *c)
{
	peer_expect_nothing(c, LONG_AFTER);
	app_wait_state(c, TCP_CLOSE, 0);
	expect_counter("resets", 1);
	expect_counter("watching", 0);
}

/*
 * On a connection that never received data TCP delays the ACK of the FIN to
 * the next tick only.  Begin right behind a tick, so that it is 1 ms away at
 * least; the reset takes a tenth of that.
 */
static void after_a_tick(void)
{
	struct timespec before, now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &before);
	do
		clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	while (now.tv_nsec == before.tv_nsec);
}

/* Without a rule the socket stays half-closed: what all this is about */
static void no_rule(void **state)
{
	struct conn c;

	client(&c, *state, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	peer_expect_nothing(&c, LONG_AFTER);
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
}

static void fin_alone(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	after_a_tick();
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 2");
	nothing_more(&c);
	expect_counter("fins", 1);
}

static void accepted_connection(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	server(&c, h, TIMESTAMPS | WINDOW_SCALE);
	after_a_tick();
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 2");
	nothing_more(&c);
}

static void after_request_and_response(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, TIMESTAMPS | WINDOW_SCALE);
	app_write(&c, 100);
	peer_expect(&c, "P. 1:101(100) ack 1");
	peer_send(&c, "P. 1:301(300) ack 101");
	peer_expect(&c, ". 101:101(0) ack 301");
	app_read(&c, 300);
	sleep_ms(2000);
	peer_send(&c, "F. 301:301(0) ack 101");
	peer_expect(&c, "R. 101:101(0) ack 302");
	nothing_more(&c);
}

/* The FIN may be the first to acknowledge the last request */
static void fin_acknowledges(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	app_write(&c, 100);
	peer_expect(&c, "P. 1:101(100) ack 1");
	after_a_tick();
	peer_send(&c, "F. 1:1(0) ack 101");
	peer_expect(&c, "R. 101:101(0) ack 2");
	nothing_more(&c);
}

/* Unread, they postpone the reset: a few for a second, many for ever */
static void with_data(struct host *h, unsigned int bytes, int ms)
{
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send(&c, "FP. 1:%u(%u) ack 1", bytes + 1, bytes);
	peer_expect_acks(&c, bytes + 2);
	peer_expect_nothing(&c, ms);
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
	assert_int_equal(app_unread(&c), bytes);
	expect_counter("resets", 0);
	app_read(&c, bytes);
	peer_expect_within(&c, 60000, "R. 1:1(0) ack %u", bytes + 2);
	nothing_more(&c);
	expect_counter("fins", 1);
}

static void fin_with_data(void **state)
{
	with_data(*state, 100, 900);
}

/* As GRO hands it over: data and FIN in one segment above the MTU */
static void fin_with_merged_data(void **state)
{
	with_data(*state, 10000, 30000);
}

/* Data that is read at once costs no wait: the looks begin at 10 ms */
static void data_read_at_once(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send(&c, "FP. 1:101(100) ack 1");
	start = now_us();
	app_read(&c, 100);
	peer_expect(&c, "R. 1:1(0) ack 102");
	assert_true(now_us() - start < 40000);
	nothing_more(&c);
}

/* Read out of band as the last byte before the FIN, it is not unread */
static void urgent_byte_read(void **state)
{
	struct host *h = *state;
	struct conn c;
	uint8_t byte;

	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send_bytes(&c, "!", "PU. 1:2(1) ack 1 urg 1");
	peer_expect_acks(&c, 2);
	assert_int_equal(recv(c.fd, &byte, 1, MSG_OOB), 1);
	assert_int_equal(byte, '!');
	peer_send(&c, "F. 2:2(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 3");
	app_read_eof(&c);
	app_write_fails(&c, ECONNRESET);
	nothing_more(&c);
}

/* The same when it was read after a look */
static void urgent_byte_read_later(void **state)
{
	struct host *h = *state;
	struct conn c;
	uint8_t byte;

	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send_bytes(&c, "!", "PU. 1:2(1) ack 1 urg 1");
	peer_expect_acks(&c, 2);
	peer_send(&c, "F. 2:2(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 3");
	peer_expect_nothing(&c, 900);
	assert_int_equal(recv(c.fd, &byte, 1, MSG_OOB), 1);
	peer_expect_within(&c, 900 / 8 + 100, "R. 1:1(0) ack 3");
	nothing_more(&c);
}

static void fin_repeated(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--grace 5s");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	for (int i = 0; i < 3; i++) {
		peer_send(&c, "F. 1:1(0) ack 1");
		peer_expect(&c, ". 1:1(0) ack 2");
	}
	expect_counter("watching", 1);
	peer_expect_within(&c, 7000, "R. 1:1(0) ack 2");
	nothing_more(&c);
	expect_counter("fins", 4);
	expect_counter("repeated", 3);
}

/* The target finds the FIN by itself; other segments are not counted */
static void rule_without_flags(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, "-t mangle -A INPUT -p tcp -j HALFRST");
	client(&c, h, 0);
	peer_send(&c, "P. 1:101(100) ack 1");
	peer_expect(&c, ". 1:1(0) ack 101");
	app_read(&c, 100);
	expect_counter("fins", 0);
	peer_send(&c, "F. 101:101(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 102");
	nothing_more(&c);
	expect_counter("fins", 1);
}

static void every_table(struct host *h)
{
	static const char *const tables[] = { "mangle", "filter", "security" };
	struct conn c;

	for (size_t i = 0; i < 3; i++) {
		rule(h, "-t %s -A INPUT -p tcp -j HALFRST", tables[i]);
		client(&c, h, 0);
		after_a_tick();
		peer_send(&c, "F. 1:1(0) ack 1");
		peer_expect(&c, "R. 1:1(0) ack 2");
		peer_expect_nothing(&c, 1000);
		expect_counter("resets", i + 1);
		rule(h, "-t %s -D INPUT -p tcp -j HALFRST", tables[i]);

		client(&c, h, 0);
		peer_send(&c, "F. 1:1(0) ack 1");
		peer_expect(&c, ". 1:1(0) ack 2");
		peer_expect_nothing(&c, 1000);
		expect_counter("fins", i + 1);
	}
}

static void tables_of_legacy(void **state)
{
	struct host *h = *state;

	skip_without_legacy();
	h->nft = false;
	every_table(h);
}

static void tables_of_nft(void **state)
{
	struct host *h = *state;

	h->nft = true;
	every_table(h);
}

/* A hundred connections, a hundred resets, each with its own numbers */
static void many(void **state)
{
	struct host *h = *state;
	struct conn c[100];

	rule(h, ON_FIN);
	for (int i = 0; i < 100; i++) {
		client(&c[i], h, 0);
		app_write(&c[i], i + 1);
		peer_expect(&c[i], "P. 1:%d(%d) ack 1", i + 2, i + 1);
		peer_send(&c[i], "P. 1:2(1) ack %d", i + 2);
		app_read(&c[i], 1);
		peer_expect_acks(&c[i], 2);
	}
	for (int i = 0; i < 100; i++)
		peer_send(&c[i], "F. 2:2(0) ack %d", i + 2);
	for (int i = 0; i < 100; i++)
		peer_expect(&c[i], "R. %d:%d(0) ack 3", i + 2, i + 2);
	for (int i = 0; i < 100; i++)
		peer_expect_nothing(&c[i], 100);
	expect_counter("fins", 100);
	expect_counter("resets", 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(no_rule),
		ON_ALL(fin_alone),
		ON_ALL(accepted_connection),
		ON_ALL(after_request_and_response),
		ON_ALL(fin_acknowledges),
		ON_ALL(fin_with_data),
		ON_ALL(fin_with_merged_data),
		ON_ALL(data_read_at_once),
		ON_IPV4(urgent_byte_read), ON_IPV6(urgent_byte_read),
		ON_IPV4(urgent_byte_read_later),
		ON_ALL(fin_repeated),
		ON_ALL(rule_without_flags),
		ON_ALL(tables_of_legacy),
		ON_ALL(tables_of_nft),
		ON_ALL(many),
	};

	peer_strict = true;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
