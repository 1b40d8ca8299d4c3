// SPDX-License-Identifier: GPL-2.0-only
/*
 * A socket that is being watched keeps the options of the rule that saw its
 * FIN, whatever becomes of the rule; max_watches bounds the watches.
 */

#include <errno.h>

#include "host.h"
#include "rules.h"

static void watched(struct conn *c, struct host *h)
{
	client(c, h, 0);
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, ". 1:1(0) ack 2");
	expect_counter("watching", 1);
}

/*
 * Reset between 10 s and 12.5 s after @start, but for a timer's slack, and
 * with the first rule's error
 */
static void as_the_rule_said(struct conn *c, int64_t start)
{
	const struct segment *g;

	g = peer_expect_within(c, 20000, "R. 1:1(0) ack 2");
	assert_in_range(g->when - start, 9990000, 12850000);
	app_wait_state(c, TCP_CLOSE, 0);
	app_write_fails(c, ECONNABORTED);
	expect_counter("resets", 1);
	expect_counter("fins", 1);
}

#define OPTIONS		"--grace 10s --reset-with econnaborted"

static void deleted(struct host *h)
{
	struct conn c;
	int64_t start;

	rule(h, ON_FIN OPTIONS);
	start = now_us();
	watched(&c, h);
	rule(h, "-t mangle -D INPUT -p tcp --tcp-flags FIN FIN -j HALFRST "
	     OPTIONS);
	as_the_rule_said(&c, start);
}

static void deleted_legacy(void **state)
{
	skip_without_legacy();
	deleted(*state);
}

static void deleted_nft(void **state)
{
	((struct host *)*state)->nft = true;
	deleted(*state);
}

/* Another rule takes its place; the watch does not follow it */
static void replaced(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN OPTIONS);
	start = now_us();
	watched(&c, h);
	rule(h, "-t mangle -R INPUT 1 -p tcp -j HALFRST --grace 1s --dry-run");
	as_the_rule_said(&c, start);
}

/* What Docker and kube-proxy do all day: the table is loaded anew */
static void rewritten(struct host *h)
{
	const char *tool = front_end(h);
	struct conn c;
	int64_t start;

	rule(h, ON_FIN OPTIONS);
	run("%s-save -t mangle >/tmp/rules", tool);
	start = now_us();
	watched(&c, h);
	/* as often as fits into half of the grace on a slow kernel */
	for (int i = 0; i < 100 && now_us() - start < 5000000; i++)
		run("%s-restore </tmp/rules", tool);
	expect_counter("watching", 1);
	as_the_rule_said(&c, start);
}

static void rewritten_legacy(void **state)
{
	skip_without_legacy();
	rewritten(*state);
}

static void rewritten_nft(void **state)
{
	((struct host *)*state)->nft = true;
	rewritten(*state);
}

/* Two rules see the same FIN: the first one's options count */
static void two_rules(void **state)
{
	struct host *h = *state;
	const struct segment *g;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN OPTIONS);
	rule(h, ON_FIN "--grace 1s");
	start = now_us();
	watched(&c, h);
	g = peer_expect_within(&c, 20000, "R. 1:1(0) ack 2");
	assert_in_range(g->when - start, 9990000, 12850000);
	app_write_fails(&c, ECONNABORTED);
	expect_counter("fins", 2);
	expect_counter("repeated", 1);
}

/* Looks only, and does not keep a later rule from acting, nor an earlier one */
static void dry_run_and_real(struct host *h, const char *first,
			     const char *second)
{
	const struct segment *g;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN "%s", first);
	rule(h, ON_FIN "%s", second);
	start = now_us();
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	g = peer_expect_within(&c, 20000, "R. 1:1(0) ack 2");
	assert_in_range(g->when - start, 9990000, 12850000);
	app_write_fails(&c, ECONNABORTED);
	expect_counter("fins", 2);
	expect_counter("resets", 1);
	expect_counter("watching", 0);
	rule(h, "-t mangle -F INPUT");
}

static void dry_run_in_front(void **state)
{
	dry_run_and_real(*state, "--dry-run", OPTIONS);
}

static void dry_run_with_a_grace_in_front(void **state)
{
	dry_run_and_real(*state, "--dry-run --grace 1h", OPTIONS);
}

static void dry_run_behind(void **state)
{
	dry_run_and_real(*state, OPTIONS, "--dry-run");
}

/* The recipe: look at what would be, and then mean it.  The peer says its FIN
 * again to the rule that has taken the first one's place.
 */
static void dry_run_then_meant(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--dry-run --grace 1h");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	rule(h, "-t mangle -R INPUT 1 -p tcp -j HALFRST --grace 2s");
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	peer_expect_within(&c, 5000, "R. 1:1(0) ack 2");
	expect_counter("resets", 1);
}

/* Three rules, and the first one that means it is the one in the middle */
static void first_real_one(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--dry-run --grace 5s");
	rule(h, ON_FIN "--reset-with etimedout --grace 2s");
	rule(h, ON_FIN "--reset-with econnreset");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	peer_expect_within(&c, 5000, "R. 1:1(0) ack 2");
	app_write_fails(&c, ETIMEDOUT);
	expect_counter("resets", 1);
}

/* Another owner's rule comes first and does not match */
static void second_rule_matches(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--uid-owner 4711");
	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 2");
	expect_counter("other_owner", 1);
	expect_counter("resets", 1);
}

static void full(void **state)
{
	struct host *h = *state;
	struct conn c[5];

	rule(h, ON_FIN "--grace 10s");
	set(MAX_WATCHES, "3");
	for (int i = 0; i < 5; i++) {
		client(&c[i], h, 0);
		peer_send(&c[i], "F. 1:1(0) ack 1");
		peer_expect(&c[i], ". 1:1(0) ack 2");
	}
	expect_counter("watching", 3);
	expect_counter("full", 2);
	for (int i = 0; i < 3; i++)
		peer_expect_within(&c[i], 13000, "R. 1:1(0) ack 2");
	expect_counter("watching", 0);
	expect_counter("resets", 3);

	/* there is room again, for a repeated FIN */
	peer_send(&c[4], "F. 1:1(0) ack 1");
	peer_expect(&c[4], ". 1:1(0) ack 2");
	peer_expect_nothing(&c[3], 13000);
	peer_expect(&c[4], "R. 1:1(0) ack 2");
	expect_counter("resets", 4);
}

static int unlimited(void **state)
{
	set(MAX_WATCHES, MAX_WATCHES_DEFAULT);
	return host_teardown(state);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		ON_ALL(deleted_legacy),
		ON_ALL(deleted_nft),
		ON_ALL(replaced),
		ON_ALL(rewritten_legacy),
		ON_ALL(rewritten_nft),
		ON_ALL(two_rules),
		ON_ALL(second_rule_matches),
		ON_ALL(dry_run_in_front),
		ON_IPV4(dry_run_with_a_grace_in_front),
		ON_IPV6(dry_run_behind),
		ON_MAPPED(dry_run_then_meant),
		ON_IPV4(first_real_one),
		ON_ALL(full),
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++)
		if (tests[i].test_func == full)
			tests[i].teardown_func = unlimited;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
