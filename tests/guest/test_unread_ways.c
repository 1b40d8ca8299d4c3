// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unread bytes that are reset after a second, and ways to read: what does not
 * take them is no read, what waits for them gets them, and after the reset each
 * way returns all of them.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "host.h"
#include "rules.h"

#define MS		1000LL
#define SECOND		(1000 * MS)
#define RST_ACK		0x14
#define BYTES		1000
#define LOW_WATER	3000

static void connected(struct conn *c, struct host *h)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(h->kind, &a, PEER_IPV4, PEER_IPV6, 80);

	client(c, h, 0);
	assert_int_equal(connect(c->fd, (struct sockaddr *)&a, len), 0);
}

/* A connection with a rule, its peer's bytes and FIN; returns the FIN's time */
static int64_t unread(struct conn *c, struct host *h)
{
	int64_t start;

	rule(h, ON_FIN);
	connected(c, h);
	start = now_us();
	peer_send(c, "FP. 1:%d(%d) ack 1", BYTES + 1, BYTES);
	peer_expect_acks(c, BYTES + 2);
	return start;
}

static void a_second_after(struct conn *c, int64_t last)
{
	const struct segment *g;

	do {
		g = peer_next(c, 10000);
		if (!g)
			peer_fail(c, "no reset");
	} while (g->flags != RST_ACK);
	assert_in_range(g->when - last, SECOND,
			SECOND * 5 / 4 + timer_slack(SECOND / 4));
	app_wait_state(c, TCP_CLOSE, 0);
	expect_counter("resets", 1);
}

static void is_pattern(const uint8_t *bytes, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(bytes[i], stream_byte(from + i));
}

static void over(struct conn *c, int error)
{
	app_read_eof(c);
	app_write_fails(c, error);
	app_read_eof(c);
}

static void peek(struct conn *c)
{
	uint8_t got[BYTES + 1];

	assert_int_equal(recv(c->fd, got, sizeof(got), MSG_PEEK), BYTES);
	is_pattern(got, 0, BYTES);
}

/* Whoever only looks does not read */
static void peeked(void **state)
{
	struct host *h = *state;
	struct conn c;
	int64_t start = unread(&c, h);

	for (int i = 0; i < 9; i++) {
		peek(&c);
		peer_take_acks(&c, 100);
	}
	a_second_after(&c, start);
	peek(&c);
	app_read(&c, BYTES);
	over(&c, ECONNRESET);
}

/* A process that waits in recv(), its socket blocking */
struct reader {
	pthread_t thread;
	int fd;
	size_t wants;
	int flags;
	ssize_t got;
	uint8_t bytes[LOW_WATER];
};

static void *reads(void *arg)
{
	struct reader *r = arg;

	r->got = recv(r->fd, r->bytes, r->wants, r->flags);
	return NULL;
}

static void reader_start(struct reader *r, int fd, size_t wants, int flags)
{
	r->fd = fd;
	r->wants = wants;
	r->flags = flags;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	assert_int_equal(pthread_create(&r->thread, NULL, reads, r), 0);
}

static void reader_end(struct reader *r, size_t n)
{
	pthread_join(r->thread, NULL);
	assert_int_equal(r->got, n);
	is_pattern(r->bytes, 0, n);
}

/* It waits for more than there will be: the FIN is the end of that */
static void waits_for(struct host *h, size_t wants, int flags, int low_water)
{
	struct reader r;
	struct conn c;

	rule(h, ON_FIN);
	connected(&c, h);
	assert_int_equal(setsockopt(c.fd, SOL_SOCKET, SO_RCVLOWAT, &low_water,
				    sizeof(low_water)), 0);
	reader_start(&r, c.fd, wants, flags);
	peer_send(&c, "P. 1:%d(%d) ack 1", BYTES + 1, BYTES);
	peer_take_acks(&c, 5000);
	peer_send(&c, "FP. %d:%d(%d) ack 1", BYTES + 1, 2 * BYTES + 1, BYTES);
	peer_take_acks(&c, 0);
	reader_end(&r, 2 * BYTES);
	peer_expect_within(&c, 100, "R. 1:1(0) ack %d", 2 * BYTES + 2);
	expect_counter("resets", 1);
	over(&c, ECONNRESET);
}

static void waits_for_all(void **state)
{
	waits_for(*state, LOW_WATER, MSG_WAITALL, 1);
}

static void waits_for_low_water(void **state)
{
	waits_for(*state, LOW_WATER, 0, LOW_WATER);
}

static short polled(const struct conn *c)
{
	struct pollfd p = {
		.fd = c->fd,
		.events = POLLIN | POLLOUT | POLLRDHUP | POLLPRI,
	};

	return poll(&p, 1, 0) ? p.revents : 0;
}

/* What is below the low water mark cannot be seen before the FIN, and then is
 * unread like all the rest
 */
static void below_low_water(void **state)
{
	struct host *h = *state;
	int low_water = LOW_WATER;
	struct conn c;
	int64_t start;

	rule(h, ON_FIN);
	connected(&c, h);
	assert_int_equal(setsockopt(c.fd, SOL_SOCKET, SO_RCVLOWAT, &low_water,
				    sizeof(low_water)), 0);
	peer_send(&c, "P. 1:%d(%d) ack 1", BYTES + 1, BYTES);
	peer_take_acks(&c, 5000);
	assert_int_equal(polled(&c), POLLOUT);
	start = now_us();
	peer_send(&c, "F. %d:%d(0) ack 1", BYTES + 1, BYTES + 1);
	peer_take_acks(&c, 100);
	assert_int_equal(polled(&c), POLLIN | POLLOUT | POLLRDHUP);
	a_second_after(&c, start);
	app_read(&c, BYTES);
	over(&c, ECONNRESET);
}

/* Each way to read, after the reset */
static void read_after(void **state)
{
	uint8_t got[2 * BYTES] = { 0 };
	struct host *h = *state;
	int pipes[2];

	assert_int_equal(pipe2(pipes, O_NONBLOCK | O_CLOEXEC), 0);
	for (int way = 0; way < 5; way++) {
		struct iovec parts[] = { { got, 7 }, { got + 7, BYTES } };
		int error = ECONNRESET;
		struct conn c;

		a_second_after(&c, unread(&c, h));
		memset(got, 0, sizeof(got));
		switch (way) {
		case 0:
			assert_int_equal(recv(c.fd, got, sizeof(got),
					      MSG_WAITALL), BYTES);
			break;
		case 1:
			for (int i = 0; i < BYTES; i++)
				assert_int_equal(read(c.fd, got + i, 1), 1);
			break;
		case 2:
			assert_int_equal(readv(c.fd, parts, 2), BYTES);
			break;
		case 3:
			for (int i = 0; i < BYTES;) {
				ssize_t n = splice(c.fd, NULL, pipes[1], NULL,
						   BYTES - i, 0);

				assert_true(n > 0);
				assert_int_equal(read(pipes[0], got + i, n), n);
				i += n;
			}
			break;
		case 4:		/* as event loops do that see EPOLLERR first */
			assert_int_equal(app_error(&c), error);
			error = EPIPE;
			assert_int_equal(read(c.fd, got, sizeof(got)), BYTES);
			break;
		}
		is_pattern(got, 0, BYTES);
		over(&c, error);
		host_close(h, c.fd);
		host_teardown(state);
		*state = (void *)(uintptr_t)IPV4;
		host_setup(state);
		h = *state;
	}
	close(pipes[0]);
	close(pipes[1]);
}

/* An urgent byte that nobody asks for is unread; afterwards it can be had */
static void urgent(struct host *h, int in_line)
{
	int64_t start;
	struct conn c;
	uint8_t got[8];

	rule(h, ON_FIN);
	connected(&c, h);
	assert_int_equal(setsockopt(c.fd, SOL_SOCKET, SO_OOBINLINE, &in_line,
				    sizeof(in_line)), 0);
	peer_send_bytes(&c, "ab!", "PU. 1:4(3) ack 1 urg 3");
	peer_expect_acks(&c, 4);
	start = now_us();
	peer_send(&c, "F. 4:4(0) ack 1");
	peer_expect_acks(&c, 5);
	a_second_after(&c, start);
	if (!in_line) {
		assert_int_equal(recv(c.fd, got, 1, MSG_OOB), 1);
		assert_int_equal(got[0], '!');
	}
	assert_int_equal(recv(c.fd, got, sizeof(got), 0), 2);
	assert_memory_equal(got, "ab", 2);
	if (in_line) {
		assert_int_equal(recv(c.fd, got, sizeof(got), 0), 1);
		assert_int_equal(got[0], '!');
	}
	over(&c, ECONNRESET);
}

static void urgent_byte(void **state)
{
	urgent(*state, 0);
}

static void urgent_byte_in_line(void **state)
{
	urgent(*state, 1);
}

/* epoll's events: the FIN's, and the reset's, and none between them */
static void events(void **state)
{
	struct epoll_event e = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
	}, got;
	struct host *h = *state;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct conn c;
	int64_t start;

	rule(h, ON_FIN);
	connected(&c, h);
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, c.fd, &e), 0);
	assert_int_equal(epoll_wait(epoll, &got, 1, 0), 1);
	assert_int_equal(got.events, EPOLLOUT);
	start = now_us();
	peer_send(&c, "FP. 1:%d(%d) ack 1", BYTES + 1, BYTES);
	peer_expect_acks(&c, BYTES + 2);
	assert_int_equal(epoll_wait(epoll, &got, 1, 0), 1);
	assert_int_equal(got.events, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
	assert_int_equal(epoll_wait(epoll, &got, 1, 900), 0);
	a_second_after(&c, start);
	assert_int_equal(epoll_wait(epoll, &got, 1, 0), 1);
	assert_int_equal(got.events, EPOLLIN | EPOLLOUT | EPOLLRDHUP |
				     EPOLLHUP | EPOLLERR);
	assert_int_equal(epoll_wait(epoll, &got, 1, 60000), 0);
	assert_int_equal(polled(&c), POLLIN | POLLOUT | POLLRDHUP | POLLHUP |
				     POLLERR);
	app_read(&c, BYTES);
	over(&c, ECONNRESET);
	close(epoll);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(peeked),
		ON_ALL(waits_for_all),
		ON_ALL(waits_for_low_water),
		ON_ALL(below_low_water),
		ON_IPV4(read_after),
		ON_ALL(urgent_byte),
		ON_ALL(urgent_byte_in_line),
		ON_ALL(events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
