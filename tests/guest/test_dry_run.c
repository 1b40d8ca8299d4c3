// SPDX-License-Identifier: GPL-2.0-only
/* --dry-run: counts what would be reset, at the time that it would be. */

#include "host.h"
#include "rules.h"

/* The half-closed connection goes on as if there were no rule */
static void still_usable(struct conn *c, uint32_t ack)
{
	assert_int_equal(app_state(c), TCP_CLOSE_WAIT);
	app_write(c, 100);
	peer_expect(c, "P. 1:101(100) ack %u", ack);
	peer_send(c, ". %u:%u(0) ack 101", ack, ack);
	peer_expect_nothing(c, 60000);
	assert_int_equal(app_state(c), TCP_CLOSE_WAIT);
	expect_counter("resets", 0);
	expect_counter("dry_run", 1);
	expect_counter("watching", 0);
}

static void idle(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--dry-run");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	peer_expect_nothing(&c, 60000);
	expect_counter("dry_run", 1);
	still_usable(&c, 2);
	host_close(h, c.fd);
	peer_expect(&c, "F. 101:101(0) ack 2");
	peer_send(&c, ". 2:2(0) ack 102");
	peer_expect_nothing(&c, 10000);
}

static void unread(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--dry-run");
	client(&c, h, 0);
	peer_send(&c, "FP. 1:5001(5000) ack 1");
	peer_expect_acks(&c, 5002);
	peer_expect_nothing(&c, 60000);
	expect_counter("dry_run", 0);
	app_read(&c, 5000);
	wait_for(counter("dry_run") == 1, 121000);
	still_usable(&c, 5002);
	app_read_eof(&c);
}

static void grace(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--dry-run --grace 10s");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	peer_expect_nothing(&c, 9900);
	expect_counter("dry_run", 0);
	wait_for(counter("dry_run") == 1, 2700);
	still_usable(&c, 2);
}

static void deadline(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--dry-run --deadline 10s");
	client(&c, h, 0);
	peer_send(&c, "FP. 1:5001(5000) ack 1");
	peer_expect_acks(&c, 5002);
	peer_expect_nothing(&c, 9900);
	expect_counter("dry_run", 0);
	wait_for(counter("dry_run") == 1, 800);
	assert_int_equal(app_unread(&c), 5000);
	still_usable(&c, 5002);
	app_read(&c, 5000);
	app_read_eof(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(idle),
		ON_ALL(unread),
		ON_ALL(grace),
		ON_ALL(deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
