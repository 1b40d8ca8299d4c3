// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount
 *
 * Several FINs of one socket come to TCP before anybody looks at it, in one
 * softirq: each is a claim of its own, whatever lies between them.
 *
 *	peer ── peer0 ── ingress ── ifb0, a qdisc with a plug ── INPUT ── application
 */

#include <errno.h>

#include "dice.h"
#include "fin.h"
#include "rules.h"

/* What the peer sends from here on waits for unplug() */
static void plug(void)
{
	skip_without("ifb");
	skip_without("sch_plug");
	skip_without("act_mirred");
	skip_without("cls_matchall");
	run("ip link add ifb0 type ifb && ip link set ifb0 up && "
	    "tc qdisc add dev ifb0 root plug limit 1000000 && "
	    "tc qdisc add dev peer0 ingress && "
	    "tc filter add dev peer0 parent ffff: matchall "
	    "action mirred egress redirect dev ifb0");
}

static void unplug(void)
{
	run("tc qdisc del dev peer0 ingress && "
	    "tc qdisc change dev ifb0 root plug release_indefinite");
}

/* Marks: 1 is the real one's rule, 2 another */
static void rules(const struct host *h)
{
	fin_rule(h, 1, "--reset-with etimedout");
	fin_rule(h, 2, "--reset-with epipe");
}

/* The forged one is the last in the list when the real one comes */
static void next_to_each_other(void **state)
{
	struct host *h = *state;
	int64_t start;
	struct conn c;

	rules(h);
	client(&c, h, 0);
	plug();
	fin_send(h, &c, &(struct fin){ .at = 101, .mark = 2 });
	fin_send(h, &c, &(struct fin){ .at = 1, .mark = 1 });
	fin_send(h, &c, &(struct fin){ .at = 201, .mark = 2 });
	expect_counter("fins", 0);
	start = now_us();
	unplug();
	fin_reset(&c, start, 0, 1000, ETIMEDOUT);
	expect_counter("fins", 3);
	expect_counter("resets", 1);
}

/* Another socket's FINs are between them */
static void apart(void **state)
{
	struct host *h = *state;
	struct conn c[3];
	int64_t start;

	rules(h);
	for (int i = 0; i < 3; i++)
		client(&c[i], h, 0);
	plug();
	for (int i = 0; i < 3; i++)
		fin_send(h, &c[i], &(struct fin){ .at = 101, .mark = 2 });
	for (int i = 0; i < 3; i++)
		fin_send(h, &c[i], &(struct fin){ .at = 1, .mark = 1 });
	start = now_us();
	unplug();
	for (int i = 0; i < 3; i++)
		fin_reset(&c[i], start, 0, 1000, ETIMEDOUT);
	expect_counter("fins", 6);
	expect_counter("resets", 3);
}

/* Neither takes effect at once: two watches meet in the table */
static void into_the_table(void **state)
{
	struct host *h = *state;
	struct conn c[3];
	int64_t start;

	rules(h);
	for (int i = 0; i < 3; i++)
		client(&c[i], h, 0);
	plug();
	for (int i = 0; i < 3; i++)
		fin_send(h, &c[i], &(struct fin){ .at = 101, .mark = 2 });
	for (int i = 0; i < 3; i++)
		fin_send(h, &c[i], &(struct fin){ .at = 501, .mark = 1 });
	unplug();
	expect_counter("fins", 6);
	expect_counter("watching", 3);
	for (int i = 0; i < 3; i++) {
		start = now_us();
		peer_send(&c[i], "P. 1:501(500) ack 1");
		app_read(&c[i], 500);
		fin_reset(&c[i], start, 0, 2000, ETIMEDOUT);
	}
}

/* Copies of one FIN, and two rules that see it, are still one */
static void copies(void **state)
{
	struct host *h = *state;
	int64_t start;
	struct conn c;

	rule(h, ON_FIN "--dry-run");
	rule(h, ON_FIN "--reset-with etimedout");
	client(&c, h, 0);
	plug();
	for (int i = 0; i < 3; i++)
		fin_send(h, &c, &(struct fin){ .at = 1 });
	start = now_us();
	unplug();
	fin_reset(&c, start, 0, 1000, ETIMEDOUT);
	expect_counter("fins", 6);
	expect_counter("repeated", 5);
	expect_counter("resets", 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(next_to_each_other),
		ON_ALL(apart),
		ON_ALL(into_the_table),
		ON_ALL(copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
