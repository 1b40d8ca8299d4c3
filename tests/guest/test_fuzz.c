// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount
 *
 * Segments by dice at real connections. Whatever comes: only a socket that
 * TCP itself had moved to CLOSE_WAIT is reset, every quiet one in CLOSE_WAIT
 * is, and all watches end. HALFRST_SEED repeats a run.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dice.h"
#include "kernel.h"
#include "rules.h"

#define CONNECTIONS	64
#define SEGMENTS	2000	/* in a round */
#define TRACING		"/sys/kernel/tracing/"

static uint32_t seed;
static unsigned long rounds_total, segments_total, resets_total;

static const char *const options[] = {
	"", "--grace 30ms", "--deadline 20ms", "--grace 200ms --deadline 1s",
};

/* What became of a socket, by the application's port */
static struct {
	bool was_half_closed;
	char *story;
} trace[65536];

static void remember(int port, const char *line)
{
	char *old = trace[port].story;

	if (asprintf(&trace[port].story, "%s# %s", old ? old : "", line) < 0)
		peer_fail(NULL, "out of memory");
	free(old);
}

static void forget(void)
{
	for (int port = 0; port < 65536; port++) {
		free(trace[port].story);
		trace[port].story = NULL;
	}
}

/* "family=AF_INET protocol=... sport=80 dport=... oldstate=... newstate=" */
static void trace_line(const char *line)
{
	const char *sport = strstr(line, " sport="), *s;
	int port = sport ? atoi(sport + 7) & 0xffff : 0;

	if (sport)
		remember(port, line);
	s = strstr(line, "newstate=");
	if (s && strstr(line, "inet_sock_set_state:")) {
		trace[port].was_half_closed =
			!!strstr(line, "oldstate=TCP_CLOSE_WAIT newstate=TCP_CLOSE\n");
		return;
	}
	if (strstr(line, "halfrst_reset:")) {
		resets_total++;
		if (!trace[port].was_half_closed)
			peer_fail(NULL, "not from CLOSE_WAIT: %s", line);
	}
}

static void trace_read(FILE *pipe)
{
	char line[1024];

	while (fgets(line, sizeof(line), pipe)) {
		if (strstr(line, "LOST") && strstr(line, "EVENTS"))
			peer_fail(NULL, "the trace lost events");
		trace_line(line);
	}
	clearerr(pipe);
}

static FILE *trace_open(void)
{
	FILE *f;

	set(TRACING "trace", "0");
	set(TRACING "events/sock/inet_sock_set_state/enable", "1");
	set(TRACING "events/halfrst/enable", "1");
	f = fdopen(open(TRACING "trace_pipe", O_RDONLY | O_NONBLOCK), "r");
	if (!f)
		peer_fail(NULL, "trace_pipe: %s", strerror(errno));
	return f;
}

static void read_all(const struct conn *c)
{
	char buffer[65536];

	while (recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
		;
}

/* Somebody who is quiet and still half-closed.  All are read first: who reads
 * late is reset late.
 */
static const struct conn *quiet_half_closed(const struct conn *c, int n)
{
	for (int i = 0; i < n; i++)
		read_all(&c[i]);
	for (int i = 0; i < n; i++) {
		if (app_state(&c[i]) == TCP_CLOSE_WAIT && !app_unacked(&c[i]))
			return &c[i];
	}
	return NULL;
}

static void round_of(struct host *h, FILE *pipe)
{
	struct conn c[CONNECTIONS];
	const struct conn *left;
	uint32_t dice;

	forget();
	rule(h, "-t mangle -F");
	rule(h, "-t mangle -A INPUT -p tcp -j HALFRST %s",
	     options[chance(&seed) % 4]);
	for (int i = 0; i < CONNECTIONS; i++) {
		dice = chance(&seed);
		client(&c[i], h, (dice & 1 ? TIMESTAMPS : 0) |
				 (dice & 2 ? WINDOW_SCALE : 0));
		if (!(dice >> 2 & 7))
			app_write(&c[i], 1 + dice % 2000);
	}
	for (int i = 0; i < SEGMENTS; i++) {
		dice = chance(&seed);
		fuzz_segment(h, &c[dice % CONNECTIONS], &seed);
		if (!(dice >> 8 & 15))
			read_all(&c[dice >> 12 & (CONNECTIONS - 1)]);
		if (!(dice >> 16 & 31))
			sleep_ms(1 + (dice >> 21) % 40);
		if (!(i % 50)) {
			fuzz_drain(h);
			trace_read(pipe);
		}
	}
	wait_until(!quiet_half_closed(c, CONNECTIONS), 70000);
	left = quiet_half_closed(c, CONNECTIONS);
	if (left) {
		trace_read(pipe);
		printf("%s", trace[left->app_port].story);
		run("sed 's/^/# /' /proc/net/xt_halfrst");
		peer_fail(NULL, "port %u is quiet and stays half-closed, round %lu",
			  left->app_port, rounds_total);
	}
	for (int i = 0; i < CONNECTIONS; i++)
		host_abort(h, c[i].fd);
	wait_for(counter("watching") == 0, 130000);
	counters_add_up();
	fuzz_drain(h);
	trace_read(pipe);
	rounds_total++;
	segments_total += SEGMENTS;
}

static void segments(void **state)
{
	struct host *h = *state;
	/* 20,000 and 1,000,000 over three kinds of sockets */
	int rounds = how_often(10, 500) / 3 + 1;
	long watches = slab_objects("halfrst_watch");
	FILE *pipe;

	run("modprobe xt_HALFRST");
	run("%s -P OUTPUT ACCEPT", front_end(h));
	pipe = trace_open();
	for (int i = 0; i < rounds; i++)
		round_of(h, pipe);
	fclose(pipe);
	printf("# %lu rounds, %lu segments, %lu resets\n", rounds_total,
	       segments_total, resets_total);
	assert_true(resets_total > 0);
	wait_for(slab_objects("halfrst_watch") <= watches, 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(segments),
	};
	const char *s = getenv("HALFRST_SEED");

	seed = s ? strtoul(s, NULL, 0) : 31337;
	printf("# seed %u\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
