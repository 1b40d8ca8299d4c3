// SPDX-License-Identifier: GPL-2.0-only
/* lab: --smp 2 --append kcsan.skip_watch=500
 *
 * The application does something to its socket in the very moment in which it
 * is reset, on another CPU: whatever comes first, the other one finds the
 * socket as it is then.  Both ends are here, over loopback.
 *
 *	CPU 0			peer: shutdown(SHUT_WR), the FIN
 *	CPU 1			application: close(), shutdown(), connect()...
 *
 * A short wait on either CPU moves the two against each other, so that
 * neither is always the first.
 */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "cpu.h"
#include "crowd.h"
#include "dice.h"
#include "kernel.h"
#include "rules.h"

#define PORT	8080

static void delay(unsigned int n)
{
	for (volatile unsigned int i = 0; i < n; i++)
		;
}

/* What the application does, on CPU 1; one turn after the other */
static struct rival {
	pthread_t thread;
	struct host host;
	struct sockaddr_storage a;
	socklen_t len;
	int listener;
	void (*act)(struct rival *r);
	atomic_uint turn, done;
	atomic_bool over;
	unsigned int wait;
	int fd;				/* the application's end */
	int result, error;		/* of its action */
} the_rival;

static void *acts(void *arg)
{
	struct rival *r = arg;
	unsigned int turn = 0;

	on_cpu(1);
	for (;;) {
		while (atomic_load(&r->turn) == turn && !atomic_load(&r->over))
			;
		if (atomic_load(&r->over))
			return NULL;
		turn++;
		delay(r->wait);
		r->act(r);
		atomic_store(&r->done, turn);
	}
}

static void rival_open(struct rival *r, enum kind kind, const char *options,
		       void (*act)(struct rival *r))
{
	int one = 1;

	memset(r, 0, sizeof(*r));
	needs_two_cpus();
	r->host.kind = kind;
	crowd_namespace();
	/* the ports of those that are reset are not in TIME_WAIT */
	r->len = host_address(kind, &r->a, "127.0.0.1", "::1", PORT);
	r->listener = socket(r->a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(r->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(r->listener, (struct sockaddr *)&r->a, r->len),
			 0);
	assert_int_equal(listen(r->listener, 64), 0);
	/* the application's end only: the other one gets FINs as well */
	rule(&r->host, "-t mangle -A INPUT -p tcp --sport %d "
	     "--tcp-flags FIN FIN -j HALFRST %s", PORT, options);
	on_cpu(0);
	r->act = act;
	assert_int_equal(pthread_create(&r->thread, NULL, acts, r), 0);
}

static void rival_stop(struct rival *r)
{
	atomic_store(&r->over, true);
	pthread_join(r->thread, NULL);
	close(r->listener);
	r->act = NULL;
}

static void rival_close(struct rival *r)
{
	rival_stop(r);
	wait_for(counter("watching") == 0, 130000);
	counters_add_up();
}

/* A connection that has carried a byte; returns the peer's end */
static int rival_pair(struct rival *r)
{
	struct timeval patience = { .tv_sec = 20 };
	int peer;

	r->fd = socket(r->a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(r->fd, (struct sockaddr *)&r->a, r->len), 0);
	peer = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(peer >= 0);
	setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	carry_byte(r->fd, peer);
	return peer;
}

/* Both at once; @later: how much later than the rival, negative for earlier */
static void both(struct rival *r, int peer, int later)
{
	unsigned int turn = atomic_load(&r->turn) + 1;

	r->wait = later < 0 ? -later : 0;
	atomic_store(&r->turn, turn);
	delay(later > 0 ? later : 0);
	shutdown(peer, SHUT_WR);
	while (atomic_load(&r->done) != turn)
		;
}

/* Up to where the two have been the first about as often */
static int feel(int later, bool reset_first, uint32_t *seed)
{
	later += (reset_first ? 1 : -1) * (int)(chance(seed) % 300);
	return later > 30000 ? 30000 : later < -30000 ? -30000 : later;
}

/* Does the peer learn that the connection is over?  True if by a reset. */
static bool told(int peer)
{
	ssize_t n;
	char byte;

	n = recv(peer, &byte, 1, 0);
	if (n > 0 || (n < 0 && errno != ECONNRESET))
		peer_fail(NULL, "the peer was told nothing: %s",
			  n ? strerror(errno) : "a byte");
	return n < 0;
}

/* ---- the application ends the connection: its FIN is not lost ---- */

static void closes(struct rival *r)
{
	r->result = close(r->fd);
	r->fd = -1;
}

static void shuts_down(struct rival *r)
{
	r->result = shutdown(r->fd, SHUT_WR);
	r->error = errno;
}

static void ends(enum kind kind, void (*act)(struct rival *r))
{
	int later = 0, resets = 0, fins = 0;
	uint32_t seed = 4711;
	struct rival *r = &the_rival;

	rival_open(r, kind, "", act);
	for (int i = how_often(400, 5000); i > 0; i--) {
		int peer = rival_pair(r);
		bool reset;

		both(r, peer, later);
		if (act == shuts_down && r->result && r->error != ENOTCONN)
			peer_fail(NULL, "shutdown: %s", strerror(r->error));
		reset = told(peer);
		resets += reset;
		fins += !reset;
		later = feel(later, reset, &seed);
		close(peer);
		if (r->fd >= 0)
			close(r->fd);
	}
	printf("# %d ended by the application, %d reset\n", fins, resets);
	rival_close(r);
	expect_counter("resets", resets);
}

static void close_ipv4(void **state)
{
	(void)state;
	ends(IPV4, closes);
}

static void close_ipv6(void **state)
{
	(void)state;
	ends(IPV6, closes);
}

static void shutdown_mapped(void **state)
{
	(void)state;
	ends(MAPPED, shuts_down);
}

/* ---- the application uses the socket for something else ---- */

static void disconnects(struct rival *r)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	r->result = connect(r->fd, &none, sizeof(none));
}

static void disconnects_and_listens(struct rival *r)
{
	disconnects(r);
	if (!r->result)
		r->result = listen(r->fd, 4);
	r->error = errno;
}

static void disconnects_and_connects(struct rival *r)
{
	disconnects(r);
	if (!r->result)
		r->result = connect(r->fd, (struct sockaddr *)&r->a, r->len);
	r->error = errno;
}

static int so_error(int fd)
{
	socklen_t len = sizeof(int);
	int error;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	return error;
}

/* A listener is none of the reset's business: it goes on, and accepts */
static void listener_lives(void **state)
{
	int fd, accepted;
	uint32_t seed = 12;
	struct rival *r = &the_rival;

	(void)state;
	rival_open(r, IPV4, "", disconnects_and_listens);
	for (int i = how_often(200, 5000); i > 0; i--) {
		struct sockaddr_storage a;
		socklen_t len = sizeof(a);
		int peer = rival_pair(r);

		both(r, peer, (int)(chance(&seed) % 20000) - 10000);
		if (r->result)
			peer_fail(NULL, "listen: %s", strerror(r->error));
		told(peer);
		if (i % 16 == 0)
			sleep_ms(1);
		assert_int_equal(socket_state(r->fd), TCP_LISTEN);
		assert_int_equal(getsockname(r->fd, (struct sockaddr *)&a, &len),
				 0);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		((struct sockaddr_in *)&a)->sin_addr.s_addr =
			htonl(INADDR_LOOPBACK);
		assert_int_equal(connect(fd, (struct sockaddr *)&a, len), 0);
		accepted = accept(r->fd, NULL, NULL);
		assert_true(accepted >= 0);
		host_abort(&r->host, accepted);
		host_abort(&r->host, fd);
		close(r->fd);
		close(peer);
	}
	rival_close(r);
}

/* Nor is a new connection of the same socket */
static void new_connection_lives(void **state)
{
	int peer2;
	uint32_t seed = 13;
	struct rival *r = &the_rival;

	(void)state;
	rival_open(r, IPV4, "", disconnects_and_connects);
	for (int i = how_often(200, 5000); i > 0; i--) {
		int peer = rival_pair(r);

		both(r, peer, (int)(chance(&seed) % 20000) - 10000);
		if (r->result)
			peer_fail(NULL, "connect: %s", strerror(r->error));
		told(peer);
		peer2 = accept(r->listener, NULL, NULL);
		assert_true(peer2 >= 0);
		if (i % 16 == 0)
			sleep_ms(1);
		assert_int_equal(so_error(r->fd), 0);
		assert_int_equal(socket_state(r->fd), TCP_ESTABLISHED);
		carry_byte(r->fd, peer2);
		carry_byte(peer2, r->fd);
		host_abort(&r->host, peer2);
		close(r->fd);
		close(peer);
	}
	rival_close(r);
}

/* ---- the chosen error, whoever writes at that moment ---- */

static atomic_int sigpipes;

static void on_sigpipe(int signal)
{
	(void)signal;
	atomic_fetch_add(&sigpipes, 1);
}

/* Writes nothing again and again, and thereby postpones nothing */
static void writes(struct rival *r)
{
	unsigned int wait = r->wait & 15;
	int64_t end = now_us() + 20000000;

	do {
		r->result = send(r->fd, "", 0, 0);
		r->error = errno;
		delay(wait * 10);
	} while (!r->result && now_us() < end);
}

static void chosen_error(const char *name, int error)
{
	struct sigaction catch = { .sa_handler = on_sigpipe };
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	char options[64];
	struct rival *r = &the_rival;

	snprintf(options, sizeof(options), "--reset-with %s", name);
	rival_open(r, IPV4, options, writes);
	for (int i = how_often(400, 5000); i > 0; i--) {
		int peer = rival_pair(r);

		atomic_store(&sigpipes, 0);
		sigaction(SIGPIPE, &catch, NULL);
		both(r, peer, -(i % 16));
		sigaction(SIGPIPE, &ignore, NULL);
		if (r->result != -1 || r->error != error ||
		    atomic_load(&sigpipes))
			peer_fail(NULL, "%d to go: %d, %s, %d times SIGPIPE",
				  i, r->result, strerror(r->error),
				  atomic_load(&sigpipes));
		/* and only the first one is told */
		assert_int_equal(send(r->fd, "x", 1, MSG_NOSIGNAL), -1);
		assert_int_equal(errno, EPIPE);
		close(r->fd);
		close(peer);
	}
	rival_close(r);
	expect_counter("closed", 0);
}

static void econnreset(void **state)
{
	(void)state;
	chosen_error("econnreset", ECONNRESET);
}

static void etimedout(void **state)
{
	(void)state;
	chosen_error("etimedout", ETIMEDOUT);
}

/* A test that has failed leaves its rival behind */
static int teardown(void **state)
{
	(void)state;
	if (the_rival.act)
		rival_stop(&the_rival);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(econnreset, teardown),
		cmocka_unit_test_teardown(etimedout, teardown),
		cmocka_unit_test_teardown(close_ipv4, teardown),
		cmocka_unit_test_teardown(close_ipv6, teardown),
		cmocka_unit_test_teardown(shutdown_mapped, teardown),
		cmocka_unit_test_teardown(listener_lives, teardown),
		cmocka_unit_test_teardown(new_connection_lives, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
