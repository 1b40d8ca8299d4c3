// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount
 *
 * A connection that has carried no byte yet is not an idle one: connect() to
 * a server that accepts and closes at once returns what it returns without a
 * rule, however the application waits for it, if it asks within a second.
 */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crowd.h"
#include "rules.h"

#define PORT		8080
#define TIMES		200
#define MS		1000LL
#define SECOND		(1000 * MS)
#define A_LOOK		(SECOND / 4 + 12 * MS)	/* while that second runs */
#define GREETING	86

struct local {
	struct host host;
	struct sockaddr_storage a;
	socklen_t len;
	int listener;
	pthread_t server;
};

/* Accepts and closes; ends with the listener */
static void *close_at_once(void *arg)
{
	struct local *l = arg;
	int fd;

	while ((fd = accept(l->listener, NULL, NULL)) >= 0)
		close(fd);
	return NULL;
}

static void server_starts(struct local *l, enum kind kind)
{
	memset(l, 0, sizeof(*l));
	l->host.kind = kind;
	crowd_namespace();
	l->len = host_address(kind, &l->a, "127.0.0.1", "::1", PORT);
	l->listener = socket(l->a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(l->listener, (struct sockaddr *)&l->a, l->len),
			 0);
	assert_int_equal(listen(l->listener, 4096), 0);
	assert_int_equal(pthread_create(&l->server, NULL, close_at_once, l),
			 0);
}

static void server_ends(struct local *l)
{
	shutdown(l->listener, SHUT_RDWR);
	pthread_join(l->server, NULL);
	close(l->listener);
	wait_for(counter("watching") == 0, 130000);
	counters_add_up();
}

static int new_socket(const struct local *l, int flags)
{
	int fd = socket(l->a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	assert_true(fd >= 0);
	return fd;
}

static int connected(const struct local *l, int fd)
{
	return connect(fd, (const struct sockaddr *)&l->a, l->len);
}

static int so_error(int fd)
{
	socklen_t len = sizeof(int);
	int error;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	return error;
}

/* The end of file is all that there is to read */
static void ends(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;

	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
}

static void as_without_a_rule(int fd)
{
	assert_int_equal(so_error(fd), 0);
	ends(fd);
}

/* Once connect() has returned, a FIN may be answered by a reset at once */
static void blocking(struct local *l)
{
	for (int i = 0; i < TIMES; i++) {
		int fd = new_socket(l, 0);

		if (connected(l, fd))
			peer_fail(NULL, "connect() number %d: %s", i,
				  strerror(errno));
		ends(fd);
		close(fd);
	}
}

/* poll() until it can be written to */
static void polled(struct local *l)
{
	for (int i = 0; i < TIMES; i++) {
		int fd = new_socket(l, SOCK_NONBLOCK);
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		assert_true(!connected(l, fd) || errno == EINPROGRESS);
		assert_int_equal(poll(&p, 1, 5000), 1);
		if (p.revents != POLLOUT)
			peer_fail(NULL, "poll() number %d: %x, error %d", i,
				  p.revents, so_error(fd));
		as_without_a_rule(fd);
		close(fd);
	}
}

/* Begun, and asked for after a while, by SO_ERROR and by a second connect() */
static void asynchronous(struct local *l)
{
	int fd[TIMES], epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = { .events = EPOLLOUT };

	for (int i = 0; i < TIMES; i++) {
		fd[i] = new_socket(l, SOCK_NONBLOCK);
		e.data.fd = fd[i];
		assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd[i], &e),
				 0);
		assert_true(!connected(l, fd[i]) || errno == EINPROGRESS);
	}
	sleep_ms(100);
	for (int i = 0; i < TIMES; i++) {
		assert_int_equal(epoll_wait(epoll, &e, 1, 5000), 1);
		assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_DEL, e.data.fd,
					   NULL), 0);
		if (e.events != EPOLLOUT)
			peer_fail(NULL, "epoll number %d: %x, error %d", i,
				  e.events, so_error(e.data.fd));
	}
	for (int i = 0; i < TIMES; i++) {
		if (i % 2) {
			/* 0 when told of the success, as without a rule; a
			 * reset may come at once then
			 */
			assert_true(!connected(l, fd[i]) || errno == EISCONN);
			ends(fd[i]);
		} else {
			as_without_a_rule(fd[i]);
		}
		close(fd[i]);
	}
	close(epoll);
}

/* Without a rule, which is what it is to be like, and with one */
static void both(enum kind kind, void (*way)(struct local *l))
{
	struct local l;

	server_starts(&l, kind);
	way(&l);
	rule(&l.host, ON_FIN);
	way(&l);
	server_ends(&l);
}

#define WAYS(way)							\
static void way##_ipv4(void **state)					\
{									\
	(void)state;							\
	both(IPV4, way);							\
}									\
static void way##_ipv6(void **state)					\
{									\
	(void)state;							\
	both(IPV6, way);							\
}									\
static void way##_mapped(void **state)					\
{									\
	(void)state;							\
	both(MAPPED, way);							\
}

WAYS(blocking)
WAYS(polled)
WAYS(asynchronous)

/* connect() once more, for its result; returns an errno value */
static int ask(const struct conn *c, const struct host *h)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(h->kind, &a, PEER_IPV4, PEER_IPV6, 80);

	return connect(c->fd, (struct sockaddr *)&a, len) ? errno : 0;
}

/* Whoever does not wait in connect() has not got its result before it asks,
 * and a second to do so
 */
static void reset_when_connect_returned(void **state)
{
	struct host *h = *state;
	const struct segment *g;
	struct conn c;
	int64_t asked;

	rule(h, ON_FIN);
	client_silent(&c, h, 0, host_socket(h));
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	peer_expect_nothing(&c, 850);
	assert_int_equal(app_error(&c), 0);
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);

	assert_int_equal(ask(&c, h), 0);
	asked = now_us();
	g = peer_expect(&c, "R. 1:1(0) ack 2");
	assert_true(g->when - asked <= A_LOOK);
	app_write_fails(&c, ECONNRESET);
	peer_expect_nothing(&c, 1000);
	expect_counter("resets", 1);
}

/* Whoever does not ask leaves it alone, until a request that would be wasted */
static void reset_without_being_asked(void **state)
{
	struct host *h = *state;
	const struct segment *g;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN);
	client_silent(&c, h, 0, host_socket(h));
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	g = peer_expect(&c, "R. 1:1(0) ack 2");
	assert_in_range(g->when - start, SECOND,
			SECOND * 5 / 4 + timer_slack(SECOND / 4));
	sleep_ms(600000);
	app_write_fails(&c, ECONNRESET);
	peer_expect_nothing(&c, 1000);
	expect_counter("resets", 1);
}

/* connect() of a closed socket throws away what it has received.  So a greeting
 * waits for the first one to ask, whatever the grace.
 */
static void greeting_waits(void **state)
{
	static const char *const options[] = { "", "--grace 1s", "--grace 10s" };
	struct host *h = *state;
	struct conn c;

	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		rule(h, ON_FIN "%s", options[i]);
		client_silent(&c, h, 0, host_socket(h));
		peer_send(&c, "FP. 1:%d(%d) ack 1", GREETING + 1, GREETING);
		peer_take_acks(&c, 600000);
		assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
		expect_counter("watching", 1);
		assert_int_equal(ask(&c, h), 0);
		app_read(&c, GREETING);
		app_read_eof(&c);
		peer_expect_within(&c, 130000, "R. 1:1(0) ack %d",
				   GREETING + 2);
		app_write_fails(&c, ECONNRESET);
		expect_counter("resets", i + 1);
		rule(h, "-t mangle -F INPUT");
	}
}

/* It does not wait longer than a deadline */
static void greeting_until_deadline(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--deadline 20s");
	client_silent(&c, h, 0, host_socket(h));
	peer_send(&c, "FP. 1:%d(%d) ack 1", GREETING + 1, GREETING);
	peer_take_acks(&c, 19000);
	peer_expect_within(&c, 2000, "R. 1:1(0) ack %d", GREETING + 2);
	app_read(&c, GREETING);
	app_read_eof(&c);
}

/* Asked for, it is unread like anything else */
static void greeting_after_connect(void **state)
{
	struct host *h = *state;
	const struct segment *g;
	int64_t start;
	struct conn c;

	rule(h, ON_FIN);
	client_silent(&c, h, 0, host_socket(h));
	assert_int_equal(ask(&c, h), 0);
	start = now_us();
	peer_send(&c, "FP. 1:%d(%d) ack 1", GREETING + 1, GREETING);
	peer_expect_acks(&c, GREETING + 2);
	g = peer_expect(&c, "R. 1:1(0) ack %d", GREETING + 2);
	assert_in_range(g->when - start, SECOND,
			SECOND * 5 / 4 + timer_slack(SECOND / 4));
	app_read(&c, GREETING);
	app_read_eof(&c);
	app_write_fails(&c, ECONNRESET);
}

/* With a grace it is a socket like any other */
static void reset_by_grace(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--grace 1s");
	client_silent(&c, h, 0, host_socket(h));
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	peer_expect(&c, "R. 1:1(0) ack 2");
	expect_counter("resets", 1);
}

/* The first request is sent, and answered by the peer as it sees fit */
static void first_request_after_fin(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client_silent(&c, h, 0, host_socket(h));
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	sleep_ms(500);
	app_write(&c, 100);
	peer_expect(&c, "P. 1:101(100) ack 2");
	peer_send(&c, ". 2:2(0) ack 101");
	/* and from here on it is an idle one */
	peer_expect_within(&c, A_LOOK / MS, "R. 101:101(0) ack 2");
	app_write_fails(&c, ECONNRESET);
	expect_counter("resets", 1);
}

/* With a grace there is time enough: nothing is different */
static void with_a_grace(void **state)
{
	struct host *h = *state;
	const struct segment *g;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN "--grace 100ms");
	client_silent(&c, h, 0, host_socket(h));
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	g = peer_expect(&c, "R. 1:1(0) ack 2");
	assert_in_range(g->when - start, 100 * MS, 125 * MS +
			timer_slack(25 * MS));
	app_write_fails(&c, ECONNRESET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocking_ipv4),
		cmocka_unit_test(blocking_ipv6),
		cmocka_unit_test(blocking_mapped),
		cmocka_unit_test(polled_ipv4),
		cmocka_unit_test(polled_ipv6),
		cmocka_unit_test(polled_mapped),
		cmocka_unit_test(asynchronous_ipv4),
		cmocka_unit_test(asynchronous_ipv6),
		cmocka_unit_test(asynchronous_mapped),
		ON_ALL(reset_when_connect_returned),
		ON_ALL(reset_without_being_asked),
		ON_ALL(greeting_waits),
		ON_IPV4(greeting_until_deadline),
		ON_ALL(greeting_after_connect),
		ON_IPV4(reset_by_grace),
		ON_ALL(first_request_after_fin),
		ON_IPV4(with_a_grace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
