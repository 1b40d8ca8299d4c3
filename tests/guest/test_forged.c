// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount
 *
 * Forged FINs against a real one, with two rules that see some of either: a
 * socket's reset has the options of the rule that its real FIN met, and none is
 * reset whose real FIN met no rule.
 *
 *	1                        1001                         the edge
 *	├── a hole ──────────────┤FIN├─────────────────────────┤
 *	BEFORE   INSIDE, a hole's     BEHIND                       OUT
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "dice.h"
#include "fin.h"
#include "rules.h"
#include "segment.h"

#define HOLE		1000
#define END		(1 + HOLE)	/* the real FIN's own number */
#define ENDS		4		/* that a socket's watch remembers */
#define CROWD		250

static uint32_t seed = 2718281;

/* How rules know which FIN they are for; by u32, which small kernels have, too */
enum mark { BY_DSCP, BY_TTL, BY_LENGTH };

static void marked_rule(const struct host *h, enum mark by, int mark,
			const char *options)
{
	const bool v6 = h->kind == IPV6;
	char match[64];

	switch (by) {
	case BY_DSCP:
		snprintf(match, sizeof(match), "u32 --u32 '0>>%d&0x3F=%d'",
			 v6 ? 22 : 18, mark);
		break;
	case BY_TTL:
		snprintf(match, sizeof(match), "u32 --u32 '%s=%d'",
			 v6 ? "4&0xFF" : "8>>24", mark);
		break;
	case BY_LENGTH:
		snprintf(match, sizeof(match), "length --length %d",
			 (v6 ? 60 : 40) + mark);
		break;
	}
	rule(h, "-t mangle -A INPUT -p tcp --tcp-flags FIN FIN -m %s "
	     "-j HALFRST %s", match, options);
}

/* Its FIN has the number @at; marked by its length it has bytes in front */
static void send_fin(const struct host *h, const struct conn *c, uint32_t at,
		     enum mark by, int mark, struct forged f)
{
	f.sport = c->peer_port;
	f.dport = c->app_port;
	f.len = by == BY_LENGTH ? mark : 0;
	f.seq = c->iss + at - f.len;
	f.ack += c->irs + 1;
	f.window = 65535;
	f.flags = FIN | ACK;
	f.dscp = by == BY_DSCP ? mark : 0;
	f.ttl = by == BY_TTL ? mark : 0;
	f.fragment = -1;
	forge(h, &f);
}

enum place {
	BEFORE, INSIDE, BEHIND, OUT,
	NOT_MINE,			/* INSIDE, but acknowledges too much */
	BROKEN,				/* INSIDE, with a wrong checksum */
	PLACES
};

static const char *const names[PLACES] = {
	"before the window", "inside the hole", "behind the real one",
	"out of the window", "with a wrong ACK", "with a wrong checksum",
};

static void send_forged(const struct host *h, const struct conn *c,
			enum place place, int i, enum mark by, int mark)
{
	const struct forged not_mine = { .ack = 100000 },
			    broken = { .bad_checksum = true }, fine = { 0 };

	switch (place) {
	case BEFORE:
		send_fin(h, c, -1000 - i * 100, by, mark, fine);
		break;
	case INSIDE:
		send_fin(h, c, 50 + i * 90, by, mark, fine);
		break;
	case BEHIND:
		send_fin(h, c, END + 50 + i * 90, by, mark, fine);
		break;
	case OUT:
		send_fin(h, c, 100000 + i * 100, by, mark, fine);
		break;
	case NOT_MINE:
		send_fin(h, c, 50 + i * 90, by, mark, not_mine);
		break;
	case BROKEN:
		send_fin(h, c, 50 + i * 90, by, mark, broken);
		break;
	case PLACES:
		break;
	}
}

/* Two rules: 10 is a forged one's mark, 20 the real one's or nobody's */
static void two_rules(const struct host *h, enum mark by)
{
	marked_rule(h, by, 10, "--reset-with epipe");
	marked_rule(h, by, 20, "--grace 2s --reset-with etimedout");
}

static void read_all(const struct conn *c)
{
	char buffer[4096];

	while (recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
		;
}

/* @n forged ones come before the real one, and @m after it */
static void behind_a_hole(struct host *h, enum mark by, enum place place, int n,
			  int m, bool ruled)
{
	int64_t start;
	struct conn c;

	client(&c, h, 0);
	for (int i = 0; i < n; i++)
		send_forged(h, &c, place, i, by, 10);
	send_fin(h, &c, END, by, ruled ? 20 : 0, (struct forged){ 0 });
	for (int i = 0; i < m; i++)
		send_forged(h, &c, place, n + i, by, 10);
	fuzz_drain(h);
	/* with bytes of its own it fills the end of the hole itself */
	start = now_us();
	peer_send(&c, "P. 1:%d(%d) ack 1", END - 20, HOLE - 20);
	if (by != BY_LENGTH || !ruled)
		peer_send(&c, "P. %d:%d(20) ack 1", END - 20, END);
	app_wait_state(&c, TCP_CLOSE_WAIT, 0);
	read_all(&c);
	if (ruled)
		fin_reset(&c, start, 2000, 2500, ETIMEDOUT);
	else
		fin_no_reset(&c, 5000);
	host_abort(h, c.fd);
	fuzz_drain(h);
}

/* No hole: TCP has taken the real one before */
static void in_close_wait(struct host *h, enum mark by, enum place place,
			  bool ruled)
{
	int64_t start;
	struct conn c;

	client(&c, h, 0);
	peer_send(&c, "P. 1:%d(%d) ack 1", END - 20, HOLE - 20);
	if (by != BY_LENGTH || !ruled)
		peer_send(&c, "P. %d:%d(20) ack 1", END - 20, END);
	start = now_us();
	send_fin(h, &c, END, by, ruled ? 20 : 0, (struct forged){ 0 });
	app_wait_state(&c, TCP_CLOSE_WAIT, 0);
	read_all(&c);
	for (int i = 0; i < 5; i++)
		send_forged(h, &c, place, i, by, 10);
	if (ruled)
		fin_reset(&c, start, 2000, 2500, ETIMEDOUT);
	else
		fin_no_reset(&c, 5000);
	host_abort(h, c.fd);
	fuzz_drain(h);
}

static void against_a_real_one(struct host *h, enum mark by)
{
	two_rules(h, by);
	for (enum place p = 0; p < PLACES; p++) {
		print_message("# %s\n", names[p]);
		for (int ruled = 0; ruled < 2; ruled++) {
			behind_a_hole(h, by, p, 1, 0, ruled);
			behind_a_hole(h, by, p, 0, ENDS - 1, ruled);
			behind_a_hole(h, by, p, ENDS - 1, 0, ruled);
			in_close_wait(h, by, p, ruled);
			/* TCP holds none of these: they give way */
			if (p != INSIDE && p != BEHIND)
				behind_a_hole(h, by, p, 5, 5, ruled);
		}
	}
}

static void by_dscp(void **state)
{
	against_a_real_one(*state, BY_DSCP);
}

static void by_ttl(void **state)
{
	against_a_real_one(*state, BY_TTL);
}

static void by_length(void **state)
{
	against_a_real_one(*state, BY_LENGTH);
}

/*
 * More forged ones than a watch remembers, and TCP holds all of them: the real
 * one's rule may be lost, but no other takes its place.
 */
static void too_many(struct host *h, enum place place, int n, int m, bool ruled)
{
	struct conn c;

	client(&c, h, 0);
	for (int i = 0; i < n; i++)
		send_forged(h, &c, place, i, BY_DSCP, 10);
	send_fin(h, &c, END, BY_DSCP, ruled ? 20 : 0, (struct forged){ 0 });
	for (int i = 0; i < m; i++)
		send_forged(h, &c, place, n + i, BY_DSCP, 10);
	fuzz_drain(h);
	peer_send(&c, "P. 1:%d(%d) ack 1", END, HOLE);
	app_wait_state(&c, TCP_CLOSE_WAIT, 0);
	read_all(&c);
	if (fin_answer(&c, 70000)) {
		assert_true(ruled);
		app_write_fails(&c, ETIMEDOUT);
	}
	host_abort(h, c.fd);
	fuzz_drain(h);
}

static void more_than_remembered(void **state)
{
	struct host *h = *state;

	two_rules(h, BY_DSCP);
	for (enum place p = INSIDE; p <= BEHIND; p++) {
		for (int ruled = 0; ruled < 2; ruled++) {
			too_many(h, p, ENDS, 0, ruled);
			too_many(h, p, 0, ENDS, ruled);
			too_many(h, p, ENDS + 1, ENDS + 1, ruled);
		}
	}
}

/* What TCP holds behind the hole is never given up, whatever comes after it and
 * whether TCP holds that or drops it.
 */
static void held(void **state)
{
	struct host *h = *state;
	int64_t start;
	struct conn c;

	two_rules(h, BY_DSCP);
	behind_a_hole(h, BY_DSCP, INSIDE, 0, ENDS, true);
	behind_a_hole(h, BY_DSCP, INSIDE, 0, ENDS + 1, true);
	behind_a_hole(h, BY_DSCP, INSIDE, ENDS - 1, 5, true);

	client(&c, h, 0);
	for (int i = 0; i < ENDS - 1; i++)
		send_forged(h, &c, INSIDE, i, BY_DSCP, 10);
	send_fin(h, &c, END, BY_DSCP, 20, (struct forged){ 0 });
	send_forged(h, &c, BROKEN, ENDS, BY_DSCP, 10);
	/* in order, as TCP would take it at once */
	send_fin(h, &c, 1, BY_DSCP, 10, (struct forged){ .bad_checksum = true });
	fuzz_drain(h);
	start = now_us();
	peer_send(&c, "P. 1:%d(%d) ack 1", END, HOLE);
	app_wait_state(&c, TCP_CLOSE_WAIT, 0);
	read_all(&c);
	fin_reset(&c, start, 2000, 2500, ETIMEDOUT);
}

/* ---- by dice, against many ---- */

struct victim {
	struct conn c;
	int mark;		/* of its real FIN */
	int real_after;		/* this many forged ones */
	int forged;
	int held;		/* by TCP, of the forged ones */
};

static void forge_one(const struct host *h, struct victim *v)
{
	const struct conn *c = &v->c;
	uint32_t dice = chance(&seed), at = dice >> 8;
	int mark = dice % 3 * 10;
	struct forged f = { .bad_checksum = dice >> 6 & 1 };

	if (v->forged++ == v->real_after)
		send_fin(h, c, END, BY_DSCP, v->mark, (struct forged){ 0 });
	switch (dice >> 3 & 7) {
	case 0:		/* anywhere but here */
		at = (1 << 20) + at % (1u << 31);
		break;
	case 1:
		at = -(at % 100000);
		break;
	case 2:		/* at the edge; which is at 64241 or 64801 */
		at = 64200 + at % 700;
		break;
	case 3:
		f.ack = 1000 + at % 1000000;
		at = at % 60000;
		break;
	case 4:
	case 5:
		at = END + 1 + at % 60000;
		break;
	default:
		at = 2 + at % (HOLE - 2);
	}
	if (at == END)
		at--;
	/* besides the real one, and with a place left for what TCP drops */
	if (at - 1 < 65000 && !f.bad_checksum && !f.ack)
		f.bad_checksum = v->held++ >= ENDS - 2;
	send_fin(h, c, at, BY_DSCP, mark, f);
}

/* How many with that mark are reset, with that error? */
static int reset_ones(struct victim *v, int n, int mark, int error)
{
	int resets = 0;

	for (int i = 0; i < n; i++)
		if (v[i].mark == mark && app_state(&v[i].c) == TCP_CLOSE) {
			assert_int_equal(app_error(&v[i].c), error);
			resets++;
		}
	return resets;
}

static void random_ones(struct host *h, int n, int forged)
{
	int of[3] = { 0 };
	struct victim *v = calloc(n, sizeof(*v));

	for (int i = 0; i < n; i++) {
		client(&v[i].c, h, 0);
		v[i].mark = i % 3 * 10;
		v[i].real_after = chance(&seed) % 6;
	}
	for (int i = 0; i < forged; i++) {
		forge_one(h, &v[chance(&seed) % n]);
		if (!(i % 100))
			fuzz_drain(h);
	}
	for (int i = 0; i < n; i++) {
		if (v[i].forged <= v[i].real_after)
			send_fin(h, &v[i].c, END, BY_DSCP, v[i].mark,
				 (struct forged){ 0 });
		of[i % 3]++;
		peer_send(&v[i].c, "P. 1:%d(%d) ack 1", END, HOLE);
		app_wait_state(&v[i].c, TCP_CLOSE_WAIT, 0);
		read_all(&v[i].c);
		fuzz_drain(h);
	}
	/* 10 is reset after a second, 20 after four, and 0 never */
	sleep_ms(2500);
	assert_int_equal(reset_ones(v, n, 10, EPIPE), of[1]);
	assert_int_equal(reset_ones(v, n, 20, 0), 0);
	sleep_ms(4000);
	assert_int_equal(reset_ones(v, n, 20, ETIMEDOUT), of[2]);
	sleep_ms(70000);
	assert_int_equal(reset_ones(v, n, 0, 0), 0);
	printf("# %d sockets, %d forged FINs\n", n, forged);
	fuzz_drain(h);
	for (int i = 0; i < n; i++)
		host_abort(h, v[i].c.fd);
	free(v);
}

static void by_dice(void **state)
{
	struct host *h = *state;
	int rounds = how_often(1, 4), n = how_often(100, CROWD);

	marked_rule(h, BY_DSCP, 10, "--grace 1s --reset-with epipe");
	marked_rule(h, BY_DSCP, 20, "--grace 4s --reset-with etimedout");
	for (int i = 0; i < rounds; i++)
		random_ones(h, n, how_often(2000, 25000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(by_dscp),
		ON_ALL(by_ttl),
		ON_ALL(by_length),
		ON_ALL(held),
		ON_ALL(more_than_remembered),
		ON_ALL(by_dice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
