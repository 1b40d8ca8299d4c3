// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unread bytes, without a grace: up to 4 KiB of them postpone the reset for one
 * second since the last read or write, more of them for ever.  Whoever reads
 * in time is never interrupted, and after the reset every byte can be read.
 */

#include <errno.h>

#include "host.h"
#include "rules.h"

#define MS		1000LL
#define SECOND		(1000 * MS)
#define RST_ACK		0x14
#define MOST		4096		/* bytes that nobody may come for */
#define PAUSE		900		/* ms */

/* Whoever waits in connect() has its result; for the others see test_connect */
static void connected(struct conn *c, struct host *h, int options)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(h->kind, &a, PEER_IPV4, PEER_IPV6, 80);

	client(c, h, options);
	assert_int_equal(connect(c->fd, (struct sockaddr *)&a, len), 0);
}

/* @n bytes and the FIN behind them; returns when they were sent */
static int64_t say(struct conn *c, unsigned int n)
{
	int64_t start = now_us();

	peer_send(c, "FP. 1:%u(%u) ack 1", n + 1, n);
	peer_expect_acks(c, n + 2);
	return start;
}

/* The reset comes between @wait and 1.25 @wait after @last */
static void reset_after(struct conn *c, int64_t last, int64_t wait)
{
	const struct segment *g;
	int64_t after;

	do {
		g = peer_next(c, (2 * wait + SECOND) / MS);
		if (!g)
			peer_fail(c, "no reset");
	} while (g->flags != RST_ACK);
	after = g->when - last;
	if (after < wait || after > wait + wait / 4 + timer_slack(wait / 4))
		peer_fail(c, "reset after %lld us", (long long)after);
	app_wait_state(c, TCP_CLOSE, 0);
}

static void a_second_after(struct conn *c, int64_t last)
{
	reset_after(c, last, SECOND);
}

static void not_yet(struct conn *c)
{
	assert_int_equal(app_state(c), TCP_CLOSE_WAIT);
	expect_counter("resets", 0);
	expect_counter("watching", 1);
}

/* Nothing was lost, and then it is over */
static void read_to_the_end(struct conn *c, unsigned int n, int error)
{
	assert_int_equal(app_unread(c), n);
	app_read(c, n);
	app_read_eof(c);
	app_write_fails(c, error);
	app_read_eof(c);
	peer_expect_nothing(c, 10000);
}

static void up_to_4_kib(void **state)
{
	static const unsigned int sizes[] = { 1, 86, 535, 1000, MOST - 1, MOST };
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		connected(&c, h, i % 2 ? TIMESTAMPS | WINDOW_SCALE : 0);
		a_second_after(&c, say(&c, sizes[i]));
		read_to_the_end(&c, sizes[i], ECONNRESET);
		expect_counter("resets", i + 1);
		expect_counter("deadline", 0);
	}
}

static void of_an_accepted_connection(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	server(&c, h, TIMESTAMPS);
	a_second_after(&c, say(&c, 78));
	read_to_the_end(&c, 78, ECONNRESET);
}

/* As event loops have it, which learn from SO_ERROR that they are connected */
static void of_an_event_loop(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	assert_int_equal(app_error(&c), 0);
	a_second_after(&c, say(&c, 64));
	read_to_the_end(&c, 64, ECONNRESET);
}

/* Not one byte more.  When the last one too many is read, its time begins. */
static void more_than_4_kib(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t read;

	rule(h, ON_FIN);
	connected(&c, h, 0);
	say(&c, MOST + 1);
	peer_take_acks(&c, 3600000);
	not_yet(&c);
	assert_int_equal(app_unread(&c), MOST + 1);
	app_read(&c, 1);
	read = now_us();
	peer_take_acks(&c, 990);
	not_yet(&c);
	/* looks are 60 s apart by now */
	peer_expect_within(&c, 61250 + timer_slack(60 * SECOND) / MS,
			   "R. 1:1(0) ack %u", MOST + 3);
	assert_true(now_us() - read >= SECOND);
	read_to_the_end(&c, MOST, ECONNRESET);
}

static void much_more(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	connected(&c, h, 0);
	say(&c, 30000);
	peer_take_acks(&c, 600000);
	not_yet(&c);
	app_read(&c, 30000);
	app_read_eof(&c);
	/* all of it: at once, which is an eighth of the FIN's age */
	peer_expect_within(&c, 600000 / 8 + 100, "R. 1:1(0) ack 30002");
	expect_counter("resets", 1);
}

/* Whoever reads a little now and then, and stops before the end */
static void in_pieces(void **state)
{
	struct host *h = *state;
	int64_t last = 0;
	struct conn c;

	rule(h, ON_FIN);
	connected(&c, h, 0);
	say(&c, 4000);
	for (int i = 0; i < 15; i++) {
		peer_take_acks(&c, PAUSE);
		not_yet(&c);
		last = now_us();
		app_read(&c, 200);
	}
	a_second_after(&c, last);
	read_to_the_end(&c, 1000, ECONNRESET);
}

/* The same from above the limit and to the end */
static void in_pieces_to_the_end(void **state)
{
	int64_t start, took;
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	connected(&c, h, 0);
	start = say(&c, 12000);
	for (int i = 0; i < 24; i++) {
		peer_take_acks(&c, PAUSE);
		not_yet(&c);
		app_read(&c, 500);
	}
	took = now_us() - start;
	app_read_eof(&c);
	peer_expect_within(&c, (took / 8) / MS + 30, "R. 1:1(0) ack 12002");
	app_write_fails(&c, ECONNRESET);
	expect_counter("resets", 1);
}

/* Whoever answers is at work, too */
static void while_writing(void **state)
{
	struct host *h = *state;
	int64_t last = 0;
	struct conn c;

	rule(h, ON_FIN);
	connected(&c, h, 0);
	say(&c, 100);
	for (int i = 0; i < 15; i++) {
		peer_expect_nothing(&c, PAUSE);
		not_yet(&c);
		last = now_us();
		app_write(&c, 1);
		peer_expect(&c, "P. %d:%d(1) ack 102", i + 1, i + 2);
		peer_send(&c, ". 102:102(0) ack %d", i + 2);
	}
	a_second_after(&c, last);
	read_to_the_end(&c, 100, ECONNRESET);
}

/* What is on its way waits as long as it takes, unread bytes or not */
static void behind_an_answer(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	connected(&c, h, 0);
	say(&c, 100);
	app_write(&c, 10);
	peer_expect(&c, "P. 1:11(10) ack 102");
	for (int i = 0; i < 10; i++)
		while (peer_next(&c, 1000))
			;
	not_yet(&c);
	peer_send(&c, ". 102:102(0) ack 11");
	peer_expect_within(&c, 10000 / 8 + 1250 + 100, "R. 11:11(0) ack 102");
	read_to_the_end(&c, 100, ECONNRESET);
}

/* With a grace, it alone decides: longer or shorter, few bytes or many */
static void with_a_grace(void **state)
{
	static const struct {
		const char *option;
		int64_t grace;
		unsigned int bytes;
	} cases[] = {
		{ "--grace 1s", SECOND, 10000 },
		{ "--grace 10s", 10 * SECOND, 100 },
		{ "--grace 10s", 10 * SECOND, MOST + 1 },
		{ "--grace 100ms", 100 * MS, 100 },
		{ "--grace 100ms", 100 * MS, 10000 },
	};
	struct host *h = *state;
	struct conn c;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		rule(h, ON_FIN "%s", cases[i].option);
		connected(&c, h, 0);
		reset_after(&c, say(&c, cases[i].bytes), cases[i].grace);
		read_to_the_end(&c, cases[i].bytes, ECONNRESET);
		rule(h, "-t mangle -F INPUT");
	}
}

/* What would be reset is counted when it would be */
static void dry_run(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN "--dry-run");
	connected(&c, h, 0);
	start = say(&c, 500);
	wait_for(counter("dry_run") == 1, 2000);
	assert_in_range(now_us() - start, SECOND,
			SECOND * 5 / 4 + timer_slack(SECOND / 4));
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
	app_read(&c, 500);
	app_read_eof(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(up_to_4_kib),
		ON_ALL(of_an_accepted_connection),
		ON_ALL(of_an_event_loop),
		ON_ALL(more_than_4_kib),
		ON_IPV4(much_more),
		ON_ALL(in_pieces),
		ON_ALL(in_pieces_to_the_end),
		ON_ALL(while_writing),
		ON_IPV6(behind_an_answer),
		ON_ALL(with_a_grace),
		ON_IPV4(dry_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
