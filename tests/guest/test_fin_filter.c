// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount
 *
 * Which FINs are watched at all: those that TCP may take.  What it takes must be
 * among them, since nobody repeats it, and what it cannot take must not, since
 * it would cost memory.
 *
 * A FIN with a checksum that is wrong shows what the filter says to it.
 */

#include <errno.h>

#include "dice.h"
#include "fin.h"
#include "rules.h"

static void asked(struct host *h, struct conn *c, const char *what,
		  uint32_t seq, int len, uint32_t ack, bool watched)
{
	unsigned long expired = counter("expired");

	print_message("# %s: %d(%d) ack %d\n", what, seq, len, ack);
	peer_send_twisted(c, BAD_CHECKSUM, "F. %u:%u(%d) ack %u", seq,
			  seq + len, len, ack);
	expect_counter("watching", watched);
	expect_counter("expired", expired + !watched);
	host_abort(h, c->fd);
	wait_for(counter("watching") == 0, 130000);
	fuzz_drain(h);
}

static void numbers(void **state)
{
	struct host *h = *state;
	static const struct {
		const char *what;
		bool from_edge;
		int seq, len;
		bool watched;
	} tries[] = {
		{ "the next one",		false,	0,	0,	true },
		{ "behind bytes",		false,	0,	100,	true },
		{ "with old bytes",		false,	-50,	100,	true },
		{ "in a place that is taken",	false,	-1,	0,	true },
		{ "before what is taken",	false,	-2,	0,	false },
		{ "with old bytes alone",	false,	-101,	99,	false },
		{ "long before it",		false,	-100000, 0,	false },
		{ "behind a hole",		false,	1,	0,	true },
		{ "the last in the window",	true,	-1,	0,	true },
		{ "beginning in the window",	true,	-1,	1000,	true },
		{ "at its edge",		true,	0,	0,	true },
		{ "at its edge, with bytes",	true,	0,	1000,	true },
		{ "behind its edge",		true,	1,	0,	false },
		{ "behind it, with bytes",	true,	1,	1000,	false },
		{ "far behind it",		true,	100000,	0,	false },
		{ "half the numbers away",	false,	0x7fffff00, 0,	false },
		{ "more than half of them",	false,	(int)0x80000100, 0, false },
	};
	struct conn c;

	rule(h, ON_FIN);
	for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++) {
		client(&c, h, i & 1 ? WINDOW_SCALE : 0);
		asked(h, &c, tries[i].what,
		      (tries[i].from_edge ? c.app_edge : 1) + tries[i].seq,
		      tries[i].len, 1, tries[i].watched);
	}
}

/* 100 bytes are on their way, and the peer's window is 65535 */
static void acknowledged(void **state)
{
	struct host *h = *state;
	static const struct {
		const char *what;
		uint32_t ack;
		bool watched;
	} tries[] = {
		{ "everything",			101,		true },
		{ "some",			50,		true },
		{ "nothing new",		1,		true },
		{ "what was never sent",	102,		false },
		{ "much of that",		1000000,	false },
		{ "as old as can be",		1 - 65535,	true },
		{ "too old",			1 - 65536,	false },
		{ "far too old",		1 - 1000000,	false },
	};
	struct conn c;

	rule(h, ON_FIN);
	for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++) {
		client(&c, h, 0);
		app_write(&c, 100);
		peer_expect(&c, "P. 1:101(100) ack 1");
		asked(h, &c, tries[i].what, 1, 0, tries[i].ack,
		      tries[i].watched);
	}
}

static void close_wait(void **state)
{
	struct host *h = *state;
	static const struct {
		const char *what;
		int seq, len;
		bool watched;
	} tries[] = {
		{ "once more",			101,	0,	true },
		{ "once more, with its bytes",	1,	100,	true },
		{ "a number less",		100,	0,	false },
		{ "a number more",		102,	0,	false },
		{ "with a byte more",		101,	1,	false },
		{ "in the window",		1000,	0,	false },
		{ "out of it",			1000000, 0,	false },
	};
	struct conn c;

	skip_by_helper("the connection has none");
	for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++) {
		client(&c, h, 0);
		peer_send(&c, "FP. 1:101(100) ack 1");
		app_wait_state(&c, TCP_CLOSE_WAIT, 0);
		rule(h, ON_FIN "--grace 1h");
		asked(h, &c, tries[i].what, tries[i].seq, tries[i].len, 1,
		      tries[i].watched);
		rule(h, "-t mangle -F");
	}
}

/* The handshake is not over for us: its last ACK is the FIN's, or was lost */
static void request(struct host *h, const char *what, bool from_edge, int seq,
		    bool watched)
{
	int listener = host_listen(h, 8080);
	unsigned long expired = counter("expired");
	const struct segment *g;
	struct conn c;

	print_message("# %s: %d\n", what, seq);
	peer_syn(&c, &h->peer, 8080, 0);
	g = peer_next(&c, PEER_PATIENCE);
	assert_non_null(g);
	c.irs = g->seq;
	seq += from_edge ? 1 + g->window : 1;
	peer_send_twisted(&c, BAD_CHECKSUM, "F. %u:%u(0) ack 1", seq, seq);
	expect_counter("watching", watched);
	expect_counter("expired", expired + !watched);
	/* it may go on, and ends as it should */
	peer_send(&c, "F. 1:1(0) ack 1");
	c.fd = host_accept(h, listener);
	app_wait_state(&c, TCP_CLOSE, 1000);
	host_close(h, c.fd);
	host_close(h, listener);
	wait_for(counter("watching") == 0, 130000);
	fuzz_drain(h);
}

static void of_a_request(void **state)
{
	struct host *h = *state;

	rule(h, ON_FIN);
	request(h, "the next one", false, 0, true);
	request(h, "behind a hole", false, 1, true);
	request(h, "at the edge", true, 0, true);
	request(h, "behind the edge", true, 1, false);
	request(h, "far away", false, 100000000, false);
	request(h, "before it", false, -2, false);
}

/* Bytes until there is no window left; returns their end */
static uint32_t fill_window(struct conn *c)
{
	for (int i = 0; i < 100 && c->app_edge != c->app_ack; i++) {
		peer_send(c, "P. %u:%u(%u) ack 1", c->app_ack, c->app_edge,
			  c->app_edge - c->app_ack);
		peer_take_acks(c, 300);
	}
	assert_int_equal(c->app_edge, c->app_ack);
	return c->app_edge;
}

static void zero_window(void **state)
{
	struct host *h = *state;
	static const struct {
		const char *what;
		int seq, len;
		bool watched;
	} tries[] = {
		{ "the next one",		0,	0,	true },
		{ "behind bytes",		0,	10,	true },
		{ "a number more",		1,	0,	false },
	};
	int small = 4096;
	struct conn c;
	uint32_t nxt;

	rule(h, ON_FIN);
	for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++) {
		int fd = host_socket(h);

		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		client_with(&c, h, 0, fd);
		nxt = fill_window(&c);
		asked(h, &c, tries[i].what, nxt + tries[i].seq, tries[i].len,
		      1, tries[i].watched);
	}
}

/* The FIN of 20,000 bytes that GRO has made one segment of, in a hole or not */
static void merged(void **state)
{
	struct host *h = *state;
	int64_t start;
	struct conn c;

	rule(h, ON_FIN);
	for (int hole = 0; hole < 2; hole++) {
		client(&c, h, 0);
		if (hole) {
			peer_send(&c, "FP. 10001:30001(20000) ack 1");
			expect_counter("watching", 1);
			peer_send(&c, "P. 1:10001(10000) ack 1");
		} else {
			peer_send(&c, "FP. 1:30001(30000) ack 1");
		}
		app_wait_state(&c, TCP_CLOSE_WAIT, 0);
		app_read(&c, 30000);
		start = now_us();
		fin_reset(&c, start, 0, 1000, ECONNRESET);
		expect_counter("resets", 1 + hole);
		expect_counter("expired", 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(numbers),
		ON_ALL(acknowledged),
		ON_ALL(close_wait),
		ON_ALL(of_a_request),
		ON_ALL(zero_window),
		ON_ALL(merged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
