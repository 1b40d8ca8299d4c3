// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/net/xt_halfrst: who may read it, what is in it, and what makes each
 * counter move.  nomem is the fault injection's.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "kernel.h"
#include "rules.h"

#define PROC		"/proc/self/net/xt_halfrst"
#define NOBODY		65534

/* The counters and their order are an interface */
static const char *const names[] = {
	"fins", "resets", "deadline", "dry_run", "closed", "watching",
	"no_socket", "other_owner", "wrong_state", "exempt", "expired",
	"full", "nomem", "repeated",
};

#define NAMES	(sizeof(names) / sizeof(*names))

static void read_all(char *text, size_t size)
{
	FILE *f = open_net("xt_halfrst");
	ssize_t n;

	if (!f)
		peer_fail(NULL, PROC ": %s", strerror(errno));
	n = read(fileno(f), text, size - 1);
	if (n < 0)
		peer_fail(NULL, PROC ": %s", strerror(errno));
	text[n] = '\0';
	fclose(f);
}

/* How much each counter has moved */
struct counts {
	unsigned long n[NAMES];
};

/* "fins 1 resets 1": these, and no other */
static void moved(struct counts *c, const char *text)
{
	char *words = strdup(text), *name, *value, *rest;
	size_t i;

	for (name = strtok_r(words, " ", &rest); name;
	     name = strtok_r(NULL, " ", &rest)) {
		value = strtok_r(NULL, " ", &rest);
		for (i = 0; i < NAMES && strcmp(names[i], name); i++)
			;
		assert_true(i < NAMES);
		c->n[i] += strtoul(value, NULL, 10);
	}
	free(words);
}

/* The file is, byte for byte, what these counters look like */
static void shown(const struct counts *c)
{
	char want[1024], have[1024];
	size_t len = 0;

	for (size_t i = 0; i < NAMES; i++)
		len += snprintf(want + len, sizeof(want) - len, "%s %lu\n",
				names[i], c->n[i]);
	/* counted a moment after what was counted could be seen */
	wait_until((read_all(have, sizeof(have)), !strcmp(have, want)), 1000);
	assert_string_equal(have, want);
}

/*
 * One scenario for each counter.  Each begins without a rule, and leaves no
 * watch.
 */

static void resets(struct host *h, struct conn *c)
{
	rule(h, ON_FIN);
	client(c, h, 0);
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, "R. 1:1(0) ack 2");
}

static void deadline(struct host *h, struct conn *c)
{
	rule(h, ON_FIN "--deadline 3s");
	client(c, h, 0);
	peer_send(c, "FP. 1:5001(5000) ack 1");
	peer_expect_acks(c, 5002);
	peer_expect_within(c, 10000, "R. 1:1(0) ack 5002");
}

/* In time for the deadline, but nothing is lost by it */
static void deadline_kept(struct host *h, struct conn *c)
{
	rule(h, ON_FIN "--grace 2s --deadline 60s");
	client(c, h, 0);
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, ". 1:1(0) ack 2");
	peer_expect_within(c, 10000, "R. 1:1(0) ack 2");
}

static void dry_run(struct host *h, struct conn *c)
{
	rule(h, ON_FIN "--dry-run");
	client(c, h, 0);
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, ". 1:1(0) ack 2");
}

static void closed(struct host *h, struct conn *c)
{
	rule(h, ON_FIN "--grace 10s");
	client(c, h, 0);
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, ". 1:1(0) ack 2");
	host_close(h, c->fd);
	peer_expect(c, "F. 1:1(0) ack 2");
	peer_send(c, ". 2:2(0) ack 2");
}

/* The connection is gone, its peer has not heard of that */
static void no_socket(struct host *h, struct conn *c)
{
	rule(h, ON_FIN);
	client(c, h, 0);
	host_abort(h, c->fd);
	peer_expect(c, "R. 1:1(0) ack 1");
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, "R 1:1(0)");
}

static void other_owner(struct host *h, struct conn *c)
{
	rule(h, ON_FIN "--uid-owner 10400");
	client(c, h, 0);
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, ". 1:1(0) ack 2");
}

static void wrong_state(struct host *h, struct conn *c)
{
	rule(h, ON_FIN);
	client(c, h, 0);
	host_close(h, c->fd);
	peer_expect(c, "F. 1:1(0) ack 1");
	peer_send(c, "F. 1:1(0) ack 2");
	peer_expect(c, ". 2:2(0) ack 2");
}

static void exempt(struct host *h, struct conn *c)
{
	int on = 1;

	rule(h, ON_FIN);
	client(c, h, 0);
	assert_false(setsockopt(c->fd, IPPROTO_TCP, TCP_REPAIR, &on,
				sizeof(on)));
	peer_send(c, "F. 1:1(0) ack 1");
	peer_take_acks(c, 1000);
}

/* A FIN beyond the window */
static void expired(struct host *h, struct conn *c)
{
	rule(h, ON_FIN);
	client(c, h, 0);
	peer_send(c, "F. 1000001:1000001(0) ack 1");
	peer_take_acks(c, 70000);
}

/* One that has to wait */
static void full(struct host *h, struct conn *c)
{
	rule(h, ON_FIN);
	set(MAX_WATCHES, "0");
	client(c, h, 0);
	peer_send(c, "FP. 1:101(100) ack 1");
	peer_expect_acks(c, 102);
	set(MAX_WATCHES, MAX_WATCHES_DEFAULT);
}

static void repeated(struct host *h, struct conn *c)
{
	rule(h, ON_FIN "--grace 2s");
	client(c, h, 0);
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, ". 1:1(0) ack 2");
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, ". 1:1(0) ack 2");
	peer_expect_within(c, 10000, "R. 1:1(0) ack 2");
}

static const struct scenario {
	void (*play)(struct host *h, struct conn *c);
	const char *moves;
} scenarios[] = {
	{ resets,	"fins 1 resets 1" },
	{ deadline,	"fins 1 resets 1 deadline 1" },
	{ deadline_kept, "fins 1 resets 1" },
	{ dry_run,	"fins 1 dry_run 1" },
	{ closed,	"fins 1 closed 1" },
	{ no_socket,	"fins 1 no_socket 1" },
	{ other_owner,	"fins 1 other_owner 1" },
	{ wrong_state,	"fins 1 wrong_state 1" },
	{ exempt,	"fins 1 exempt 1" },
	{ expired,	"fins 1 expired 1" },
	{ full,		"fins 1 full 1" },
	{ repeated,	"fins 2 resets 1 repeated 1" },
};

/* fins is the sum of what became of them, after each scenario */
static void each_moves_its_own(void **state)
{
	struct host *h = *state;
	struct counts counts = { 0 };
	unsigned long sum;
	struct conn c;

	for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++) {
		const struct scenario *s = &scenarios[i];

		print_message("# scenario %zu: %s\n", i, s->moves);
		s->play(h, &c);
		wait_for(counter("watching") == 0, 30000);
		moved(&counts, s->moves);
		shown(&counts);
		sum = counter("resets") + counter("dry_run") +
		      counter("closed") + counter("no_socket") +
		      counter("other_owner") + counter("wrong_state") +
		      counter("exempt") + counter("expired") +
		      counter("full") + counter("nomem") +
		      counter("repeated") + counter("watching");
		assert_int_equal(counter("fins"), sum);
		rule(h, "-t mangle -F INPUT");
	}
}

static void watching(void **state)
{
	struct host *h = *state;
	struct counts counts = { 0 };
	struct conn c[3];

	rule(h, ON_FIN "--grace 5s");
	for (int i = 0; i < 3; i++) {
		client(&c[i], h, 0);
		shown(&counts);
		peer_send(&c[i], "F. 1:1(0) ack 1");
		peer_expect(&c[i], ". 1:1(0) ack 2");
		moved(&counts, "fins 1 watching 1");
		shown(&counts);
	}
	for (int i = 0; i < 3; i++)
		peer_expect_within(&c[i], 10000, "R. 1:1(0) ack 2");
	memset(&counts, 0, sizeof(counts));
	moved(&counts, "fins 3 resets 3");
	shown(&counts);
}

/* Not a FIN, not a rule for it: nothing is counted */
static void at_rest(void **state)
{
	struct host *h = *state;
	struct counts counts = { 0 };
	struct conn c;

	rule(h, "-t mangle -A INPUT -p tcp -j HALFRST");
	shown(&counts);
	client(&c, h, 0);
	peer_send(&c, "P. 1:101(100) ack 1");
	peer_expect(&c, ". 1:1(0) ack 101");
	app_read(&c, 100);
	rule(h, "-t mangle -F INPUT");
	peer_send(&c, "F. 101:101(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 102");
	shown(&counts);
}

/* What a process without any right sees; returns an errno value */
static int as_nobody(const char *path, int flags)
{
	char byte;
	int fd;

	if (setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return errno;
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if (flags == O_RDONLY && read(fd, &byte, 1) != 1)
		return EIO;
	return 0;
}

static int child(const char *path, int flags)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(as_nobody(path, flags));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void read_by_nobody(void **state)
{
	struct stat st;

	rule(*state, ON_FIN);
	assert_false(stat(PROC, &st));
	assert_int_equal(st.st_mode, S_IFREG | 0444);
	assert_int_equal(child("/proc/net/xt_halfrst", O_RDONLY), 0);
	assert_int_equal(child("/proc/net/xt_halfrst", O_WRONLY), EACCES);
}

/* The sum holds at any moment while many things happen at once */
static void mixed(void **state)
{
	struct host *h = *state;
	struct counts counts = { 0 };
	struct conn c[40];

	rule(h, ON_FIN "--grace 4s");
	for (int i = 0; i < 40; i++) {
		client(&c[i], h, 0);
		switch (i % 4) {
		case 0:		/* reset later */
			peer_send(&c[i], "F. 1:1(0) ack 1");
			break;
		case 1:		/* closed by the application */
			peer_send(&c[i], "F. 1:1(0) ack 1");
			peer_expect(&c[i], ". 1:1(0) ack 2");
			host_close(h, c[i].fd);
			break;
		case 2:		/* closed by the application first */
			host_close(h, c[i].fd);
			peer_expect(&c[i], "F. 1:1(0) ack 1");
			peer_send(&c[i], "F. 1:1(0) ack 2");
			break;
		case 3:		/* the peer says it three times */
			for (int n = 0; n < 3; n++)
				peer_send(&c[i], "F. 1:1(0) ack 1");
			break;
		}
		counters_add_up();
	}
	while (counter("watching")) {
		counters_add_up();
		sleep_ms(50);
	}
	counters_add_up();
	moved(&counts, "fins 60 resets 20 closed 10 wrong_state 10 repeated 20");
	shown(&counts);
}

static int unlimited(void **state)
{
	set(MAX_WATCHES, MAX_WATCHES_DEFAULT);
	return host_teardown(state);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		ON_ALL(each_moves_its_own),
		ON_ALL(watching),
		ON_ALL(at_rest),
		ON_IPV4(read_by_nobody),
		ON_ALL(mixed),
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++)
		tests[i].teardown_func = unlimited;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
