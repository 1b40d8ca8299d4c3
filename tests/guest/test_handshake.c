// SPDX-License-Identifier: GPL-2.0-only
/*
 * A FIN that meets a connection whose handshake is not over: TCP makes the
 * socket out of that very segment, and nothing that was to be known of it is
 * known before.  It is watched as any other one; its owner is who accepts it.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host.h"
#include "rules.h"

#define PORT		8080
#define MS		1000LL

static int listener_of(struct host *h, bool deferred)
{
	int fd = host_listen(h, PORT), seconds = 30;

	if (deferred)
		assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT,
					    &seconds, sizeof(seconds)), 0);
	return fd;
}

/* The peer's SYN, and the answer to it; whatever it sends is the third */
static void knock(struct conn *c, struct host *h)
{
	const struct segment *g;

	peer_syn(c, &h->peer, PORT, 0);
	g = peer_next(c, PEER_PATIENCE);
	assert_non_null(g);
	c->irs = g->seq;
	c->app_port = PORT;
}

static void take(struct conn *c, struct host *h, int listener, uid_t uid,
		 gid_t gid)
{
	setfsgid(gid);
	setfsuid(uid);
	c->fd = host_accept(h, listener);
	setfsuid(0);
	setfsgid(0);
}

static const struct segment *reset_of(struct conn *c, int ms)
{
	const struct segment *g;

	do {
		g = peer_next(c, ms);
		if (!g)
			peer_fail(c, "no reset");
	} while (g->flags != 0x14);
	app_wait_state(c, TCP_CLOSE, 0);
	return g;
}

/* The handshake's last ACK was lost: the FIN takes its place */
static void fin_completes(struct host *h, const char *options, int least,
			  int most)
{
	int listener = listener_of(h, false);
	struct conn c;
	int64_t start, after;

	rule(h, ON_FIN "%s", options);
	knock(&c, h);
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	take(&c, h, listener, 0, 0);
	after = reset_of(&c, 10000)->when - start;
	if (after < least * MS || after > most * MS + timer_slack(most * MS))
		peer_fail(&c, "reset after %lld us", (long long)after);
	app_read_eof(&c);
	app_write_fails(&c, ECONNRESET);
	expect_counter("wrong_state", 0);
	expect_counter("resets", 1);
}

static void last_ack_lost(void **state)
{
	fin_completes(*state, "--grace 2s", 2000, 2500);
}

/* At once when a process has accepted it */
static void last_ack_lost_without_grace(void **state)
{
	fin_completes(*state, "", 0, 12);
}

/* Request and FIN in one segment: what wakes a deferred listener */
static void request_with_fin(struct host *h, bool deferred)
{
	int listener = listener_of(h, deferred);
	struct conn c;
	int64_t start;

	rule(h, ON_FIN);
	knock(&c, h);
	peer_send(&c, "FP. 1:101(100) ack 1");
	take(&c, h, listener, 0, 0);
	sleep_ms(500);
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
	expect_counter("watching", 1);
	app_read(&c, 100);
	start = now_us();
	assert_true(reset_of(&c, 10000)->when - start <= 500 * MS / 8 + 12 * MS);
	app_read_eof(&c);
	app_write_fails(&c, ECONNRESET);
	expect_counter("wrong_state", 0);
	expect_counter("resets", 1);
}

static void request_and_fin(void **state)
{
	request_with_fin(*state, false);
}

static void request_and_fin_deferred(void **state)
{
	request_with_fin(*state, true);
}

/* Its answer is sent before anything happens to it */
static void answered(void **state)
{
	struct host *h = *state;
	int listener = listener_of(h, true);
	struct conn c;

	rule(h, ON_FIN);
	knock(&c, h);
	peer_send(&c, "FP. 1:101(100) ack 1");
	take(&c, h, listener, 0, 0);
	peer_expect(&c, ". 1:1(0) ack 102");
	sleep_ms(200);
	app_read(&c, 100);
	app_write(&c, 1000);
	host_close(h, c.fd);
	peer_expect(&c, "P. 1:1001(1000) ack 102");
	peer_expect(&c, "F. 1001:1001(0) ack 102");
	peer_send(&c, ". 102:102(0) ack 1002");
	peer_expect_nothing(&c, 5000);
	expect_counter("resets", 0);
	expect_counter("closed", 1);
}

/* Who accepts is not known when the FIN comes */
static void owner_at_the_look(void **state)
{
	static const struct {
		const char *option;
		uid_t uid;
		gid_t gid;
		bool reset;
	} tries[] = {
		{ "--uid-owner 10400", 10400, 0, true },
		{ "--uid-owner 10400", 10401, 0, false },
		{ "--gid-owner 10400", 0, 10400, true },
		{ "--gid-owner 10400", 0, 0, false },
		{ "! --gid-owner 10400", 0, 0, true },
		{ "! --gid-owner 10400", 0, 10400, false },
	};
	unsigned long resets = 0, other = 0;
	struct host *h = *state;
	int listener = listener_of(h, true);
	struct conn c;

	for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++) {
		rule(h, ON_FIN "--grace 500ms %s", tries[i].option);
		knock(&c, h);
		peer_send(&c, "FP. 1:2(1) ack 1");
		sleep_ms(50);
		take(&c, h, listener, tries[i].uid, tries[i].gid);
		app_read(&c, 1);
		peer_take_acks(&c, 400);
		if (tries[i].reset) {
			reset_of(&c, 10000);
			resets++;
		} else {
			peer_expect_nothing(&c, 3000);
			assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
			other++;
		}
		expect_counter("resets", resets);
		expect_counter("other_owner", other);
		expect_counter("watching", 0);
		rule(h, "-t mangle -F");
	}
	expect_counter("wrong_state", 0);
}

/* It waits in the queue for as long as nobody accepts it */
static void never_accepted(void **state)
{
	struct host *h = *state;
	int listener = listener_of(h, true);
	struct conn c;

	rule(h, ON_FIN "--deadline 5s");
	knock(&c, h);
	peer_send(&c, "FP. 1:101(100) ack 1");
	peer_take_acks(&c, 100000);
	expect_counter("watching", 1);
	expect_counter("resets", 0);
	host_close(h, listener);
	peer_expect(&c, "R. 1:1(0) ack 102");
	wait_for(counter("watching") == 0, 70000);
	expect_counter("closed", 1);
}

/* Those of this namespace that the kernel has memory for */
static int sockets_used(void)
{
	FILE *f = fopen("/proc/net/sockstat", "r");
	int used = -1;

	if (!f || fscanf(f, "sockets: used %d", &used) != 1)
		peer_fail(NULL, "/proc/net/sockstat: %s", strerror(errno));
	fclose(f);
	return used;
}

/* No more of them than there may be watches; each is let go of */
static void bounded(void **state)
{
	struct host *h = *state;
	int listener = listener_of(h, true), before;
	struct conn c[10];

	rule(h, ON_FIN "--grace 10s");
	set(MAX_WATCHES, "3");
	for (int i = 0; i < 10; i++) {
		knock(&c[i], h);
		/* acknowledges what was never sent: no connection of it */
		peer_send(&c[i], "F. 1:1(0) ack 1000");
	}
	expect_counter("watching", 3);
	expect_counter("full", 7);
	expect_counter("wrong_state", 0);
	wait_for(counter("watching") == 0, 200000);
	expect_counter("resets", 0);
	/* a request that is held would hold the listener */
	before = sockets_used();
	host_close(h, listener);
	wait_for(sockets_used() == before - 1, 200000);
}

static int unlimited(void **state)
{
	set(MAX_WATCHES, MAX_WATCHES_DEFAULT);
	return host_teardown(state);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		ON_ALL(last_ack_lost),
		ON_IPV4(last_ack_lost_without_grace),
		ON_IPV6(request_and_fin),
		ON_ALL(request_and_fin_deferred),
		ON_ALL(answered),
		ON_IPV4(owner_at_the_look), ON_IPV6(owner_at_the_look),
		ON_MAPPED(never_accepted),
		ON_IPV4(bounded),
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++)
		if (tests[i].test_func == bounded)
			tests[i].teardown_func = unlimited;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
