// SPDX-License-Identifier: GPL-2.0-only
/*
 * Half-close is respected: bytes on their way to the peer postpone the reset,
 * and with --grace so does activity.  The reset comes between G and 1.25 G after the
 * last read or write; an application that closes is let go of within twice
 * the time that it took.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host.h"
#include "rules.h"

#define MS		1000LL
#define SECOND		(1000 * MS)
#define RST_ACK		0x14
#define TRACING		"/sys/kernel/tracing/"

static int64_t reset_time(struct conn *c, int64_t patience)
{
	const struct segment *g;

	while ((g = peer_next(c, patience / MS)))
		if (g->flags == RST_ACK)
			return g->when;
	peer_fail(c, "no reset");
}

/* The reset comes between @grace and 1.25 @grace after @last */
static void expect_reset(struct conn *c, int64_t last, int64_t grace)
{
	int64_t after = reset_time(c, 2 * grace + SECOND) - last;

	if (after < grace || after > grace + grace / 4 + timer_slack(grace / 4))
		peer_fail(c, "reset %lld us after the last activity, grace %lld us",
			  (long long)after, (long long)grace);
	app_wait_state(c, TCP_CLOSE, 0);
	app_read_eof(c);
	app_write_fails(c, ECONNRESET);
	peer_expect_nothing(c, 1000);
	expect_counter("resets", 1);
}

static void idle(void **state)
{
	static const struct {
		const char *option;
		int64_t us;
	} graces[] = {
		{ "3ms", 3 * MS },
		{ "20ms", 20 * MS },
		{ "100ms", 100 * MS },
		{ "1s", SECOND },
		{ "10s", 10 * SECOND },
		{ "5m", 300 * SECOND },
	};
	struct conn c;
	int64_t start;

	for (size_t i = 0; i < sizeof(graces) / sizeof(*graces); i++) {
		void *kind = (void *)(uintptr_t)((struct host *)*state)->kind;

		host_teardown(state);
		*state = kind;
		host_setup(state);
		rule(*state, ON_FIN "--grace %s", graces[i].option);
		client(&c, *state, 0);
		sleep_ms(10000);
		start = now_us();
		peer_send(&c, "F. 1:1(0) ack 1");
		expect_reset(&c, start, graces[i].us);
	}
}

/* Reads further and further apart, all of them within the grace */
static void reading(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t last = 0;

	rule(h, ON_FIN "--grace 4s");
	client(&c, h, 0);
	peer_send(&c, "FP. 1:1001(1000) ack 1");
	for (int i = 0; i < 10; i++) {
		sleep_ms(i * 380);
		app_read(&c, 100);
		last = now_us();
		expect_counter("resets", 0);
	}
	expect_reset(&c, last, 4 * SECOND);
}

/* The peer has closed its side only: it still takes what we write */
static void writing(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t last = 0;

	rule(h, ON_FIN "--grace 4s");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	for (int i = 0; i < 10; i++) {
		sleep_ms(i * 380);
		app_write(&c, 100);
		last = now_us();
		peer_expect(&c, "P. %d:%d(100) ack 2", i * 100 + 1,
			    i * 100 + 101);
		peer_send(&c, ". 2:2(0) ack %d", i * 100 + 101);
		expect_counter("resets", 0);
	}
	expect_reset(&c, last, 4 * SECOND);
}

/* Nobody has read for so long that nobody is about to; it can be read later */
static void unread_does_not_postpone(void **state)
{
	struct host *h = *state;
	const struct segment *g;
	struct conn c;
	int64_t start, after;

	rule(h, ON_FIN "--grace 4s");
	client(&c, h, 0);
	start = now_us();
	peer_send(&c, "FP. 1:1001(1000) ack 1");
	peer_expect_acks(&c, 1002);
	g = peer_expect_within(&c, 20000, "R. 1:1(0) ack 1002");
	after = g->when - start;
	if (after < 4 * SECOND || after > 5 * SECOND + timer_slack(SECOND))
		peer_fail(&c, "reset after %lld us", (long long)after);
	app_read(&c, 1000);
	app_read_eof(&c);
	app_write_fails(&c, ECONNRESET);
	peer_expect_nothing(&c, 1000);
	expect_counter("resets", 1);
	expect_counter("deadline", 0);
}

/* A read starts it anew, even if it leaves bytes unread */
static void partly_read(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t last;

	rule(h, ON_FIN "--grace 4s");
	client(&c, h, 0);
	peer_send(&c, "FP. 1:1001(1000) ack 1");
	peer_expect_acks(&c, 1002);
	sleep_ms(3000);
	app_read(&c, 10);
	last = now_us();
	wait_for(app_state(&c) == TCP_CLOSE, 20000);
	assert_in_range(now_us() - last, 4 * SECOND,
			5 * SECOND + timer_slack(SECOND));
	app_read(&c, 990);
	app_read_eof(&c);
	app_write_fails(&c, ECONNRESET);
}

/* Nobody reads, and what was written is acknowledged late: bytes on their way
 * to the peer postpone, whatever is unread.
 */
static void unread_and_unacknowledged(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t last;

	rule(h, ON_FIN "--grace 1s");
	client(&c, h, 0);
	app_write(&c, 100);
	peer_expect(&c, "P. 1:101(100) ack 1");
	peer_send(&c, "FP. 1:1001(1000) ack 1");
	for (int64_t end = now_us() + 20 * SECOND; now_us() < end;)
		peer_next(&c, 1000);
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
	expect_counter("resets", 0);
	peer_send(&c, ". 1002:1002(0) ack 101");
	last = now_us();
	wait_for(app_state(&c) == TCP_CLOSE, 20000);
	assert_in_range(now_us() - last, SECOND,
			SECOND * 5 / 4 + timer_slack(SECOND / 4));
	app_read(&c, 1000);
	app_read_eof(&c);
}

/* Take the segment's repetitions for a while */
static void let_repeat(struct conn *c, int64_t us)
{
	int64_t end = now_us() + us;
	const struct segment *g;

	while (now_us() < end) {
		g = peer_next(c, (end - now_us()) / MS + 1);
		if (g && (g->flags & 7 || !g->len))
			peer_fail(c, "not a repetition");
	}
}

static void acknowledged_late(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t last;

	rule(h, ON_FIN "--grace 2s");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	app_write(&c, 100);
	let_repeat(&c, 20 * SECOND);
	expect_counter("resets", 0);
	assert_int_equal(app_unacked(&c), 100);
	peer_send(&c, ". 2:2(0) ack 101");
	last = now_us();
	expect_reset(&c, last, 2 * SECOND);
}

/* Written before the FIN, without a grace, acknowledged late */
static void acknowledged_after_fin(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	app_write(&c, 100);
	peer_expect(&c, "P. 1:101(100) ack 1");
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 101:101(0) ack 2");
	let_repeat(&c, 5 * SECOND);
	expect_counter("resets", 0);
	peer_send(&c, ". 2:2(0) ack 101");
	peer_expect_within(&c, 6000, "R. 101:101(0) ack 2");
	peer_expect_nothing(&c, 60000);
}

/* TCP itself gives up, and the error is TCP's */
static void acknowledged_never(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--grace 2s");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	app_write(&c, 100);
	let_repeat(&c, 1200 * SECOND);
	app_wait_state(&c, TCP_CLOSE, 0);
	wait_for(counter("closed") == 1, 100000);
	expect_counter("resets", 0);
	app_write_fails(&c, ETIMEDOUT);
}

/* How often a timer of the module's has run since the trace was emptied */
static int timers_run(void)
{
	FILE *f = fopen(TRACING "trace", "re");
	char line[512];
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, "timer_expire_entry:") &&
		     strstr(line, "function=halfrst_");
	fclose(f);
	return n;
}

/* Whoever waits for long is looked at rarely, however short the grace is: a
 * quarter of it each time would be 6000 looks in a minute.  What is counted are
 * timers that ran, of which there are several for a long wait.
 */
static void looked_at_rarely(void **state)
{
	struct host *h = *state;
	struct conn c;
	int looks;

	if (access(TRACING "events/timer/timer_expire_entry/enable", W_OK)) {
		print_message("# this kernel does not trace timers\n");
		skip();
	}
	rule(h, ON_FIN "--grace 40ms");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	app_write(&c, 100);
	set(TRACING "events/timer/timer_expire_entry/enable", "1");
	close(open(TRACING "trace", O_WRONLY | O_TRUNC | O_CLOEXEC));
	let_repeat(&c, 60 * SECOND);
	set(TRACING "events/timer/timer_expire_entry/enable", "0");
	looks = timers_run();
	print_message("# %d timers in 60 s\n", looks);
	expect_counter("watching", 1);
	assert_in_range(looks, 1, 1000);
}

static void answered_with_rst(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--grace 2s --reset-with econnaborted");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	app_write(&c, 100);
	peer_expect(&c, "P. 1:101(100) ack 2");
	peer_send(&c, "R 2:2(0)");
	peer_expect_nothing(&c, 60000);
	expect_counter("closed", 1);
	expect_counter("resets", 0);
	app_write_fails(&c, EPIPE);
}

/* The peer takes nothing: bytes wait to be sent */
static void window_closed(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t last;

	rule(h, ON_FIN "--grace 2s");
	client_silent(&c, h, 0, host_socket(h));
	peer_send(&c, "F. 1:1(0) ack 1 win 0");
	peer_expect(&c, ". 1:1(0) ack 2");
	app_write(&c, 100);
	for (int64_t end = now_us() + 30 * SECOND; now_us() < end;) {
		const struct segment *g = peer_next(&c, 1000);

		/* a window probe; the answer keeps TCP from giving up */
		if (g && (g->flags & 7))
			peer_fail(&c, "not a window probe");
		if (g)
			peer_send(&c, ". 2:2(0) ack 1 win 0");
	}
	expect_counter("resets", 0);
	peer_send(&c, ". 2:2(0) ack 1");
	peer_expect(&c, "P. 1:101(100) ack 2");
	peer_send(&c, ". 2:2(0) ack 101");
	last = now_us();
	expect_reset(&c, last, 2 * SECOND);
}

/* Closed by the application after @ms, forgotten within twice the time */
static void let_go(struct host *h, int ms, const char *options)
{
	int64_t start;
	struct conn c;

	rule(h, ON_FIN "%s", options);
	client(&c, h, 0);
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	sleep_ms(ms - (now_us() - start) / MS);
	expect_counter("watching", 1);
	host_close(h, c.fd);
	peer_expect(&c, "F. 1:1(0) ack 2");
	peer_send(&c, ". 2:2(0) ack 2");
	peer_expect_nothing(&c, (start + 2 * ms * MS +
				 timer_slack(ms * MS) - now_us()) / MS);
	expect_counter("watching", 0);
	expect_counter("closed", 1);
	expect_counter("resets", 0);
	peer_expect_nothing(&c, 1000);
}

static void let_go_after_100ms(void **state)
{
	let_go(*state, 100, "--grace 1h");
}

static void let_go_after_3s(void **state)
{
	let_go(*state, 3000, "--grace 1h");
}

static void let_go_after_50s(void **state)
{
	let_go(*state, 50000, "--grace 1h");
}

static void let_go_after_an_hour(void **state)
{
	let_go(*state, 3600000, "--grace 168h --deadline 168h");
}

/* Shutting down the own side is the application's end of the matter */
static void shut_down(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--grace 1s");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	shutdown(c.fd, SHUT_WR);
	peer_expect(&c, "F. 1:1(0) ack 2");
	peer_send(&c, ". 2:2(0) ack 2");
	peer_expect_nothing(&c, 60000);
	expect_counter("closed", 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(idle),
		ON_ALL(reading),
		ON_ALL(writing),
		ON_ALL(unread_does_not_postpone),
		ON_IPV4(partly_read),
		ON_IPV6(unread_and_unacknowledged),
		ON_ALL(acknowledged_late),
		ON_ALL(acknowledged_after_fin),
		ON_ALL(acknowledged_never),
		ON_IPV4(looked_at_rarely),
		ON_ALL(answered_with_rst),
		ON_ALL(window_closed),
		ON_ALL(let_go_after_100ms),
		ON_ALL(let_go_after_3s),
		ON_ALL(let_go_after_50s),
		ON_IPV4(let_go_after_an_hour),
		ON_ALL(shut_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
