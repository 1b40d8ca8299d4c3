// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tracepoints: each socket's story, told by tracefs, field by field.
 *
 *	halfrst_watch ─┬─ halfrst_reset		reason=still, deadline
 *	reason=fin     └─ halfrst_forget	reason=dry-run, closed, ...
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "crowd.h"
#include "host.h"
#include "rules.h"

#define TRACEFS	"/sys/kernel/tracing/"
#define EVENTS	TRACEFS "events/halfrst/"

#define OWNER	10400
#define CROWD	10

struct event {
	char name[32];
	char saddr[64];
	char daddr[64];
	char reason[32];
	char sk[32];
	unsigned int sport;
	unsigned int dport;
	unsigned int family;
	unsigned int uid;
	unsigned int msecs;
};

static char *contents(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;

	if (!f)
		peer_fail(NULL, "%s: %s", path, strerror(errno));
	if (getdelim(&text, &size, '\0', f) < 0)
		peer_fail(NULL, "%s is empty", path);
	fclose(f);
	return text;
}

/* Load the rule, and with it the module, and record from here on */
static void record(const struct host *h, const char *options)
{
	rule(h, ON_FIN "%s", options);
	set(EVENTS "enable", "0");
	fclose(fopen(TRACEFS "trace", "we"));	/* empties it */
	set(EVENTS "enable", "1");
}

/* The events recorded so far; returns how many, of which @max are stored */
static int recorded(struct event *e, int max)
{
	char *text = contents(TRACEFS "trace"), *line;
	int n = 0;

	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char *name = strstr(line, "halfrst_"), rest;

		if (*line == '#' || !name)
			continue;
		if (n < max && sscanf(name, "%31[^:]: saddr=%63s sport=%u "
				      "daddr=%63s dport=%u family=%u uid=%u "
				      "reason=%31s msecs=%u watch=%31s %c",
				      e[n].name, e[n].saddr, &e[n].sport,
				      e[n].daddr, &e[n].dport, &e[n].family,
				      &e[n].uid, e[n].reason, &e[n].msecs,
				      e[n].sk, &rest) != 10)
			peer_fail(NULL, "not an event: %s", line);
		n++;
	}
	free(text);
	return n;
}

/* An AF_INET6 socket's address is said to be that, mapped or not */
static void about(const struct event *e, const struct conn *c,
		  const char *name, const char *reason)
{
	enum kind kind = c->peer->kind;

	assert_string_equal(e->name, name);
	assert_string_equal(e->reason, reason);
	assert_string_equal(e->saddr, kind == IPV6 ? APP_IPV6 :
						     "::ffff:" APP_IPV4);
	assert_string_equal(e->daddr, kind == IPV6 ? PEER_IPV6 :
						     "::ffff:" PEER_IPV4);
	assert_int_equal(e->sport, c->app_port);
	assert_int_equal(e->dport, c->peer_port);
	assert_int_equal(e->family, kind == IPV4 ? AF_INET : AF_INET6);
	assert_int_equal(e->uid, OWNER);
}

/*
 * The whole story: watched, and @least to @most ms later this end.  The same
 * socket in both events.
 */
static void story(const struct conn *c, const char *end, const char *reason,
		  unsigned int least, unsigned int most)
{
	struct event e[2];

	/* told a moment after the RST could be seen */
	wait_until(recorded(e, 2) >= 2, 1000);
	assert_int_equal(recorded(e, 2), 2);
	about(&e[0], c, "halfrst_watch", "fin");
	assert_int_equal(e[0].msecs, 0);
	about(&e[1], c, end, reason);
	assert_in_range(e[1].msecs, least, most);
	assert_string_equal(e[0].sk, e[1].sk);
}

static void owned_client(struct conn *c, struct host *h)
{
	setfsuid(OWNER);
	client(c, h, 0);
	setfsuid(0);
	assert_int_equal(c->peer_port, 80);
}

static void quiet(void **state)
{
	struct host *h = *state;
	struct conn c;

	record(h, "");
	owned_client(&c, h);
	assert_int_equal(recorded(NULL, 0), 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 2");
	story(&c, "halfrst_reset", "still", 0, 30);
}

/* A server's socket: the ports change places */
static void quiet_server(void **state)
{
	struct host *h = *state;
	struct conn c;

	record(h, "");
	setfsuid(OWNER);
	server(&c, h, 0);
	setfsuid(0);
	assert_int_equal(c.app_port, 8080);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 2");
	story(&c, "halfrst_reset", "still", 0, 30);
}

/* The time is the one that the wire shows */
static void grace(void **state)
{
	struct host *h = *state;
	const struct segment *g;
	int64_t start, took;
	struct conn c;

	record(h, "--grace 5s");
	owned_client(&c, h);
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	assert_int_equal(recorded(NULL, 0), 1);
	g = peer_expect_within(&c, 10000, "R. 1:1(0) ack 2");
	took = (g->when - start) / 1000;
	story(&c, "halfrst_reset", "still", 4995, 6280);
	story(&c, "halfrst_reset", "still", took > 50 ? took - 50 : 0,
	      took + 20);
}

static void deadline(void **state)
{
	struct host *h = *state;
	struct conn c;

	record(h, "--deadline 3s");
	owned_client(&c, h);
	/* more than what is waited for a second alone */
	peer_send(&c, "FP. 1:5001(5000) ack 1");
	peer_expect(&c, ". 1:1(0) ack 5002");
	peer_expect_within(&c, 10000, "R. 1:1(0) ack 5002");
	story(&c, "halfrst_reset", "deadline", 2995,
	      (3000000 + timer_slack(3000000)) / 1000);
}

static void dry_run(void **state)
{
	struct host *h = *state;
	struct conn c;

	record(h, "--dry-run");
	owned_client(&c, h);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	wait_for(counter("watching") == 0, 1000);
	story(&c, "halfrst_forget", "dry-run", 0, 30);
}

/* Noticed within twice the time that the application took */
static void closed(void **state)
{
	struct host *h = *state;
	struct conn c;

	record(h, "--grace 1m");
	owned_client(&c, h);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	peer_expect_nothing(&c, 2000);
	host_close(h, c.fd);
	peer_expect(&c, "F. 1:1(0) ack 2");
	assert_int_equal(recorded(NULL, 0), 1);
	peer_send(&c, ". 2:2(0) ack 2");
	wait_for(counter("watching") == 0, 10000);
	story(&c, "halfrst_forget", "closed", 2000,
	      (4200000 + timer_slack(4200000)) / 1000);
}

/* A checkpoint takes hold of the socket while it is being watched */
static void exempt(void **state)
{
	struct host *h = *state;
	struct conn c;
	int on = 1;

	record(h, "--grace 5s");
	owned_client(&c, h);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	assert_false(setsockopt(c.fd, IPPROTO_TCP, TCP_REPAIR, &on,
				sizeof(on)));
	wait_for(counter("watching") == 0, 10000);
	story(&c, "halfrst_forget", "exempt", 0, 2000);
}

/* Not a FIN that TCP could accept: nothing begins.  And one that it drops */
static void expired(void **state)
{
	struct host *h = *state;
	struct conn c;

	record(h, "");
	owned_client(&c, h);
	peer_send(&c, "F. 1000001:1000001(0) ack 1");
	expect_counter("expired", 1);
	peer_take_acks(&c, 1000);
	assert_int_equal(recorded(NULL, 0), 0);
	peer_send_twisted(&c, BAD_CHECKSUM, "F. 1:1(0) ack 1");
	peer_take_acks(&c, 58000);
	assert_int_equal(recorded(NULL, 0), 1);
	wait_for(counter("watching") == 0, 20000);
	story(&c, "halfrst_forget", "expired", 59990,
	      (60000000 + timer_slack(60000000)) / 1000);
}

/* Somebody else's socket is not in the story */
static void other_owner(void **state)
{
	struct host *h = *state;
	struct conn c;

	record(h, "--uid-owner 10401");
	owned_client(&c, h);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	expect_counter("other_owner", 1);
	assert_int_equal(recorded(NULL, 0), 0);
}

/* A second rule for the same FIN does not begin a second story */
static void two_rules(void **state)
{
	struct host *h = *state;
	struct conn c;

	record(h, "--dry-run");
	rule(h, ON_FIN);
	owned_client(&c, h);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 2");
	expect_counter("repeated", 1);
	story(&c, "halfrst_reset", "still", 0, 30);
}

/* How many stories end with this reason; each has begun, and the others go on */
static int ended(const char *reason)
{
	struct event e[8 * CROWD];
	int n = recorded(e, 8 * CROWD), ends = 0;

	assert_in_range(n, CROWD, 8 * CROWD);
	for (int i = 0; i < n; i++) {
		int before = i;

		while (before-- && strcmp(e[before].sk, e[i].sk))
			;
		if (!strcmp(e[i].name, "halfrst_watch")) {
			assert_true(before < 0 ||
				    strcmp(e[before].name, e[i].name));
			continue;
		}
		assert_string_equal(e[i].name, "halfrst_forget");
		assert_string_equal(e[i].reason, reason);
		assert_true(before >= 0);
		assert_string_equal(e[before].name, "halfrst_watch");
		ends++;
	}
	assert_int_equal(n - 2 * ends, counter("watching"));
	return ends;
}

/*
 * All FINs come in one softirq, so that all of them are watched until the first
 * look.  Some do not survive it, and are told.
 */
static void at_once(enum kind kind, const char *netem, const char *max_watches,
		    unsigned long watching, const char *reason)
{
	const struct host h = { .kind = kind };
	struct crowd c;

	crowd_namespace();
	crowd_open(&c, kind, CROWD, 0);
	record(&h, "--grace 1h");
	set(MAX_WATCHES, max_watches);
	run("tc qdisc add dev lo root netem %s slot 2s", netem);
	crowd_server_dies(&c);
	wait_for(counter("watching") == watching && counter("fins") >= CROWD &&
		 counter(reason), 20000);
	assert_true(ended(reason) > 0);
	counters_add_up();
	crowd_close(&c);
	/* no event of these comes during the next test */
	wait_for(counter("watching") == 0, 20000);
}

static void full(void **state)
{
	(void)state;
	at_once(IPV4, "", "3", 3, "full");
	at_once(IPV6, "", "3", 3, "full");
}

/* A copy of each FIN, and the order of all of them is random */
static void repeated(void **state)
{
	static const char copies[] = "delay 1s 500ms duplicate 100%";

	(void)state;
	at_once(IPV4, copies, MAX_WATCHES_DEFAULT, CROWD, "repeated");
	at_once(MAPPED, copies, MAX_WATCHES_DEFAULT, CROWD, "repeated");
}

/* Tools take the fields' names, types and order from here */
static void format(void **state)
{
	static const char *const events[] = { "watch", "reset", "forget" };
	static const char *const fields[] = {
		"field:const void * watch;", "field:int reason;",
		"field:__u32 uid;", "field:__u32 msecs;",
		"field:__u8 saddr[16];", "field:__u8 daddr[16];",
		"field:__u16 family;", "field:__u16 sport;",
		"field:__u16 dport;",
	};
	static const char *const reasons[] = {
		"0, \"fin\"", "1, \"still\"", "2, \"deadline\"",
		"3, \"dry-run\"", "4, \"closed\"", "5, \"exempt\"",
		"6, \"expired\"", "7, \"unload\"", "8, \"owner\"",
		"9, \"full\"", "10, \"nomem\"", "11, \"repeated\"",
	};

	record(*state, "");
	for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
		char path[128], *text, *at;

		snprintf(path, sizeof(path), EVENTS "halfrst_%s/format",
			 events[i]);
		text = contents(path);
		at = strstr(text, "\n\n");	/* behind the common ones */
		for (size_t j = 0; j < sizeof(fields) / sizeof(*fields); j++) {
			if (at)
				at = strstr(at, fields[j]);
			if (!at)
				peer_fail(NULL, "%s: no \"%s\" here:\n%s",
					  path, fields[j], text);
		}
		for (size_t j = 0; j < sizeof(reasons) / sizeof(*reasons); j++)
			if (!strstr(text, reasons[j]))
				peer_fail(NULL, "%s: no \"%s\":\n%s", path,
					  reasons[j], text);
		free(text);
	}
}

static int no_events(void **state)
{
	(void)state;
	set(EVENTS "enable", "0");
	set(MAX_WATCHES, MAX_WATCHES_DEFAULT);
	return 0;
}

static int leave(void **state)
{
	no_events(state);
	return host_teardown(state);
}

/* Until there is entropy, a trace of Linux 4.15 to 5.18 does not tell one pointer from
 * another, and an old kernel in a guest finds none.
 */
static void add_entropy(void)
{
	/* struct rand_pool_info: bits, bytes and these */
	uint32_t some[2 + 16] = { 512, 64 };
	int fd = open("/dev/random", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, RNDADDENTROPY, some))
		perror("RNDADDENTROPY");
	close(fd);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		ON_ALL(quiet),
		ON_ALL(quiet_server),
		ON_ALL(grace),
		ON_ALL(deadline),
		ON_ALL(dry_run),
		ON_ALL(closed),
		ON_ALL(exempt),
		ON_ALL(expired),
		ON_ALL(other_owner),
		ON_ALL(two_rules),
		ON_IPV4(format),
		cmocka_unit_test_teardown(full, no_events),
		cmocka_unit_test_teardown(repeated, no_events),
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++)
		if (tests[i].setup_func)
			tests[i].teardown_func = leave;
	add_entropy();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
