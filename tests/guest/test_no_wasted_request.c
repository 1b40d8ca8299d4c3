// SPDX-License-Identifier: GPL-2.0-only
/*
 * No wasted request: after the reset send() fails without a packet leaving
 * the machine, and whoever waits for the socket is told.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "host.h"
#include "rules.h"

#define QUIET	60000

static volatile sig_atomic_t sigpipes;

static void on_sigpipe(int signal)
{
	(void)signal;
	sigpipes++;
}

static void reset_connection(struct conn *c, struct host *h)
{
	client(c, h, 0);
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, "R. 1:1(0) ack 2");
	app_wait_state(c, TCP_CLOSE, 0);
}

/* The waste that the rule saves: a request to a peer that has gone */
static void no_rule(void **state)
{
	struct conn c;

	client(&c, *state, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	app_write(&c, 100);
	peer_expect(&c, "P. 1:101(100) ack 2");
	peer_send(&c, "R 2:2(0)");
	app_wait_state(&c, TCP_CLOSE, 1000);
}

static void send_fails(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	reset_connection(&c, h);
	app_write_fails(&c, ECONNRESET);
	app_write_fails(&c, EPIPE);
	app_read_eof(&c);
	app_write_fails(&c, EPIPE);
	peer_expect_nothing(&c, QUIET);
	host_close(h, c.fd);
	peer_expect_nothing(&c, QUIET);
}

/* How often SIGPIPE has come for a write that must fail with @error */
static int sigpipes_of_write(struct conn *c, int error)
{
	struct sigaction catch = { .sa_handler = on_sigpipe };
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	sigpipes = 0;
	sigaction(SIGPIPE, &catch, NULL);
	errno = 0;
	assert_int_equal(write(c->fd, "request", 7), -1);
	sigaction(SIGPIPE, &ignore, NULL);
	assert_int_equal(errno, error);
	return sigpipes;
}

/* Without a word about the error: no signal for the first write */
static void the_default(struct host *h)
{
	struct conn c;

	rule(h, ON_FIN);
	reset_connection(&c, h);
	assert_int_equal(sigpipes_of_write(&c, ECONNRESET), 0);
	assert_int_equal(sigpipes_of_write(&c, EPIPE), 1);
	peer_expect_nothing(&c, QUIET);
}

static void default_legacy(void **state)
{
	skip_without_legacy();
	the_default(*state);
}

static void default_nft(void **state)
{
	((struct host *)*state)->nft = true;
	the_default(*state);
}

static void poll_tells(void **state)
{
	struct host *h = *state;
	struct pollfd p = { .events = POLLIN | POLLOUT | POLLRDHUP };
	struct conn c;

	rule(h, ON_FIN);
	reset_connection(&c, h);
	p.fd = c.fd;
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(p.revents,
			 POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
	assert_int_equal(app_error(&c), ECONNRESET);
	assert_int_equal(app_error(&c), 0);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(p.revents, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	app_write_fails(&c, EPIPE);
	peer_expect_nothing(&c, QUIET);
}

/* A waiter that asked for nothing is woken by the reset, not by the FIN */
static void epoll_wakes(void **state)
{
	struct host *h = *state;
	struct epoll_event e = { .events = EPOLLET };
	struct conn c;
	int64_t start;
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	rule(h, ON_FIN "--grace 2s");
	client(&c, h, 0);
	sleep_ms(5000);
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, c.fd, &e), 0);
	assert_int_equal(epoll_wait(epoll, &e, 1, 0), 0);
	peer_send(&c, "P. 1:2(1) ack 1");
	app_read(&c, 1);
	peer_send(&c, "F. 2:2(0) ack 1");
	start = now_us();
	assert_int_equal(epoll_wait(epoll, &e, 1, 30000), 1);
	assert_in_range(now_us() - start, 1900000, 2600000);
	assert_int_equal(e.events, EPOLLHUP | EPOLLERR);
	close(epoll);

	peer_expect_acks(&c, 3);
	peer_expect(&c, "R. 1:1(0) ack 3");
	app_write_fails(&c, ECONNRESET);
	peer_expect_nothing(&c, QUIET);
}

/*
 * The answer is read long after the FIN: the time in which a request would
 * still be wasted is an eighth of that at most, or the shortest wait.
 */
static void answer_read_late(void **state)
{
	static const int64_t after_ms[] = { 5, 350, 5300, 20600 };
	struct host *h = *state;
	const struct segment *g;
	int64_t fin, read;
	struct conn c;

	rule(h, ON_FIN);
	for (size_t i = 0; i < sizeof(after_ms) / sizeof(*after_ms); i++) {
		client(&c, h, 0);
		fin = now_us();
		peer_send(&c, "FP. 1:101(100) ack 1");
		sleep_ms(after_ms[i]);
		app_read(&c, 100);
		read = now_us();
		do {
			g = peer_next(&c, 60000);
			if (!g)
				peer_fail(&c, "no reset");
		} while (g->flags != 0x14);
		if (g->when - read > (read - fin) / 8 + 12000)
			peer_fail(&c, "read after %lld us, reset after %lld more",
				  (long long)(read - fin),
				  (long long)(g->when - read));
		app_write_fails(&c, ECONNRESET);
		peer_expect_nothing(&c, 1000);
	}
}

static const struct {
	const char *name;
	int error;
} errors[] = {
	{ "epipe", EPIPE },
	{ "econnreset", ECONNRESET },
	{ "econnaborted", ECONNABORTED },
	{ "etimedout", ETIMEDOUT },
};

#define EACH_ERROR	for (size_t i = 0; i < 4; i++)

/* The first write gets the error, later ones EPIPE; read() always 0 */
static void each_error_on_write(void **state)
{
	struct host *h = *state;
	struct conn c;

	EACH_ERROR {
		rule(h, ON_FIN "--reset-with %s", errors[i].name);
		reset_connection(&c, h);
		app_read_eof(&c);
		app_write_fails(&c, errors[i].error);
		app_write_fails(&c, EPIPE);
		app_read_eof(&c);
		assert_int_equal(app_error(&c), 0);
		peer_expect_nothing(&c, QUIET);
		rule(h, "-t mangle -F");
	}
}

static void each_error_by_so_error(void **state)
{
	struct host *h = *state;
	struct conn c;

	EACH_ERROR {
		rule(h, ON_FIN "--reset-with %s", errors[i].name);
		reset_connection(&c, h);
		assert_int_equal(app_error(&c), errors[i].error);
		app_write_fails(&c, EPIPE);
		app_read_eof(&c);
		peer_expect_nothing(&c, QUIET);
		rule(h, "-t mangle -F");
	}
}

/* Only EPIPE comes with a signal */
static void each_error_and_sigpipe(void **state)
{
	struct host *h = *state;
	struct conn c;

	EACH_ERROR {
		rule(h, ON_FIN "--reset-with %s", errors[i].name);
		reset_connection(&c, h);
		assert_int_equal(sigpipes_of_write(&c, errors[i].error),
				 errors[i].error == EPIPE);
		assert_int_equal(sigpipes_of_write(&c, EPIPE), 1);
		peer_expect_nothing(&c, QUIET);
		rule(h, "-t mangle -F");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(no_rule),
		ON_ALL(send_fails),
		ON_ALL(default_legacy),
		ON_ALL(default_nft),
		ON_ALL(poll_tells),
		ON_ALL(epoll_wakes),
		ON_ALL(answer_read_late),
		ON_ALL(each_error_on_write),
		ON_ALL(each_error_by_so_error),
		ON_ALL(each_error_and_sigpipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
