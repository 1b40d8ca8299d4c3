// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount --mem 2048
 *
 * Half-closed connections among real hosts: on purpose (an upload that is
 * answered after its end), by mistake (a server that never closes), and
 * peers that go away in other ways, which are no business of HALFRST.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dice.h"
#include "kernel.h"
#include "link.h"
#include "rules.h"

#define PORT	8080
#define MIB	(1 << 20)

static enum kind kind_of(void **state)
{
	return (enum kind)(uintptr_t)*state;
}

static void send_all(int fd, size_t n)
{
	static const char block[65536];

	while (n) {
		ssize_t done = send(fd, block, n < sizeof(block) ? n :
				    sizeof(block), MSG_NOSIGNAL);

		if (done < 0)
			peer_fail(NULL, "send: %s, %zu bytes left",
				  strerror(errno), n);
		n -= done;
	}
}

/* Until the end of file; returns how many bytes came */
static size_t receive_all(int fd)
{
	static char block[65536];
	size_t all = 0;
	ssize_t n;

	while ((n = recv(fd, block, sizeof(block), 0)) > 0)
		all += n;
	if (n < 0)
		peer_fail(NULL, "recv: %s after %zu bytes", strerror(errno),
			  all);
	return all;
}

static void *receive_in_background(void *fd)
{
	return (void *)receive_all((int)(intptr_t)fd);
}

/* As `nc -N` does: 1 MiB, shutdown(SHUT_WR), and then the answer */
static void upload_is_answered(void **state)
{
	struct link l;
	int listener, peer, app;
	pthread_t answer;
	void *answered;

	link_open(&l, kind_of(state), "delay 5ms");
	link_rule(&l, ON_FIN "--grace 5s");
	listener = link_listen_near(&l, PORT);
	peer = link_connect_far(&l, PORT);
	app = accept(listener, NULL, NULL);

	assert_int_equal(pthread_create(&answer, NULL, receive_in_background,
					(void *)(intptr_t)app), 0);
	send_all(peer, MIB);
	shutdown(peer, SHUT_WR);
	pthread_join(answer, &answered);
	assert_int_equal((size_t)answered, MIB);

	sleep_ms(3000);		/* the server computes */
	assert_int_equal(socket_state(app), TCP_CLOSE_WAIT);
	assert_int_equal(pthread_create(&answer, NULL, receive_in_background,
					(void *)(intptr_t)peer), 0);
	send_all(app, MIB);
	close(app);
	pthread_join(answer, &answered);
	assert_int_equal((size_t)answered, MIB);

	wait_for(counter("watching") == 0, 30000);
	expect_counter("closed", 1);
	expect_counter("resets", 0);
	counters_add_up();
	close(peer);
	close(listener);
	link_close(&l);
}

/* The same server is stuck: reset 5 s to 6.25 s after its last activity */
static void stuck_server_is_reset(void **state)
{
	struct link l;
	int listener, peer, app;
	char byte;
	int64_t last, took;

	link_open(&l, kind_of(state), "delay 5ms");
	link_rule(&l, ON_FIN "--grace 5s");
	listener = link_listen_near(&l, PORT);
	peer = link_connect_far(&l, PORT);
	app = accept(listener, NULL, NULL);
	send_all(peer, 1000);
	shutdown(peer, SHUT_WR);
	sleep_ms(2000);
	assert_int_equal(receive_all(app), 1000);
	sleep_ms(2000);
	send_all(app, 500);
	last = now_us();
	wait_for(socket_state(app) == TCP_CLOSE, 60000);
	took = now_us() - last;
	printf("# reset after %lld ms\n", (long long)took / 1000);
	if (took < 5000000 || took > 6250000 + timer_slack(1250000) * 4)
		peer_fail(NULL, "reset %lld us after the last activity",
			  (long long)took);
	expect_counter("resets", 1);

	/* nothing that the server wrote is lost, and its next write fails */
	assert_int_equal(recv(peer, &byte, 1, 0), 1);
	assert_int_equal(send(app, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, ECONNRESET);
	close(app);
	close(peer);
	close(listener);
	link_close(&l);
}

/* A worker that forgets to close, while it serves others */
#define LEAKED	how_often(2000, 10000)
#define SERVED	50

static void leaks_are_reaped(void **state)
{
	struct rlimit r = { 1 << 20, 1 << 20 };
	struct link l;
	int listener, n = LEAKED, *leaked = calloc(n, sizeof(int));
	int peers[SERVED], served[SERVED];
	char byte;

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &r), 0);
	link_open(&l, kind_of(state), NULL);
	link_rule(&l, ON_FIN "--grace 10s");
	listener = link_listen_near(&l, PORT);
	for (int i = 0; i < SERVED; i++) {
		peers[i] = link_connect_far(&l, PORT);
		served[i] = accept(listener, NULL, NULL);
	}
	for (int i = 0; i < n; i++) {
		int peer = link_connect_far(&l, PORT);

		leaked[i] = accept(listener, NULL, NULL);
		send_all(peer, 100);
		assert_int_equal(recv(leaked[i], &byte, 1, 0), 1);
		assert_int_equal(recv(leaked[i], (char[99]){ 0 }, 99,
				      MSG_WAITALL), 99);
		close(peer);
		if (i % 100)
			continue;
		/* the others go on */
		for (int k = 0; k < SERVED; k++) {
			send_all(peers[k], 1);
			assert_int_equal(recv(served[k], &byte, 1, 0), 1);
			send_all(served[k], 1);
			assert_int_equal(recv(peers[k], &byte, 1, 0), 1);
		}
	}
	wait_for(counter("resets") == (unsigned long)n, 120000);
	for (int i = 0; i < n; i++) {
		assert_int_equal(socket_state(leaked[i]), TCP_CLOSE);
		assert_int_equal(recv(leaked[i], &byte, 1, 0), 0);
		assert_int_equal(send(leaked[i], "x", 1, MSG_NOSIGNAL), -1);
		assert_int_equal(errno, ECONNRESET);
		close(leaked[i]);
	}
	for (int k = 0; k < SERVED; k++) {
		assert_int_equal(socket_state(served[k]), TCP_ESTABLISHED);
		send_all(served[k], 1);
		assert_int_equal(recv(peers[k], &byte, 1, 0), 1);
		close(served[k]);
		close(peers[k]);
	}
	wait_for(counter("watching") == 0, 60000);
	/* the served ones closed first: their peers' FINs came later */
	expect_counter("wrong_state", SERVED);
	expect_counter("fins", n + SERVED);
	expect_counter("closed", 0);
	close(listener);
	free(leaked);
	link_close(&l);
}

/* How many sockets of this namespace are in a state, orphans too */
static int in_state(enum kind kind, unsigned int state)
{
	FILE *f = open_net(kind == IPV4 ? "tcp" : "tcp6");
	char line[512];
	unsigned int st;
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += sscanf(line, " %*d: %*s %*s %x", &st) == 1 && st == state;
	fclose(f);
	return n;
}

/* Segments received less those sent.  How often the far end repeats itself
 * before it gives up is a matter of its clock.
 */
static long more_received(void)
{
	return tcp_counter("InSegs") - tcp_counter("OutSegs");
}

/*
 * The far process is killed and the near end's ACKs never arrive: the far
 * socket repeats itself in FIN_WAIT_1 until it gives up.  The near end sees
 * one FIN and is as half-closed as ever: with a grace that is not over, the
 * module changes nothing.
 */
static void rejected_acks(void **state)
{
	struct link l;
	int states[2][2];
	long more[2];

	for (int with = 0; with < 2; with++) {
		int listener, peer, app;
		long before;

		link_open(&l, kind_of(state), NULL);
		if (with)
			link_rule(&l, ON_FIN "--grace 1h");
		run("echo 3 >/proc/sys/net/ipv4/tcp_orphan_retries");
		listener = link_listen_near(&l, PORT);
		peer = link_connect_far(&l, PORT);
		app = accept(listener, NULL, NULL);
		before = more_received();
		link_enter_far(&l);
		run("echo 3 >/proc/sys/net/ipv4/tcp_orphan_retries");
		/* No probe that comes before the FIN's delayed ACK, or not */
		run("echo 0 >/proc/sys/net/ipv4/tcp_early_retrans");
		link_rule(&l, "-A INPUT -p tcp --tcp-flags ACK,FIN ACK "
			  "-j DROP");
		link_enter_near(&l);
		send_all(peer, 10);
		close(peer);
		link_enter_far(&l);
		wait_for(in_state(l.kind, TCP_FIN_WAIT1) == 0, 600000);
		link_enter_near(&l);
		sleep_ms(60000);
		states[with][0] = socket_state(app);
		assert_int_equal(recv(app, (char[10]){ 0 }, 10, MSG_WAITALL),
				 10);
		/* no byte is in the way of a reset any more */
		sleep_ms(120000);
		states[with][1] = socket_state(app);
		more[with] = more_received() - before;
		if (with) {
			expect_counter("resets", 0);
			expect_counter("watching", 1);
		}
		close(app);
		close(listener);
		link_close(&l);
	}
	assert_int_equal(states[0][0], TCP_CLOSE_WAIT);
	assert_memory_equal(states[0], states[1], sizeof(states[0]));
	assert_int_equal(more[0], more[1]);
}

/* A peer that vanishes without a word is not half-closed */
static void vanished_peer(void **state)
{
	struct link l;
	int listener, peer, app;

	link_open(&l, kind_of(state), NULL);
	link_rule(&l, ON_FIN);
	listener = link_listen_near(&l, PORT);
	peer = link_connect_far(&l, PORT);
	app = accept(listener, NULL, NULL);
	run("ip link set near0 down");
	close(peer);
	sleep_ms(120000);
	assert_int_equal(socket_state(app), TCP_ESTABLISHED);
	expect_counter("fins", 0);
	expect_counter("resets", 0);
	close(app);
	close(listener);
	link_close(&l);
}

/* The sender is killed with a full queue: its FIN is behind the data, and
 * comes when the receiver with its small buffer has read its way to it.
 */
static void fin_behind_a_full_queue(void **state)
{
	struct link l;
	int listener, peer, app, small = 2304, total = 0, queued = 0;
	char block[700];
	ssize_t n;

	link_open(&l, kind_of(state), "delay 1ms");
	link_rule(&l, ON_FIN);
	listener = link_listen_near(&l, PORT);
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	peer = link_connect_far(&l, PORT);
	app = accept(listener, NULL, NULL);
	assert_int_equal(fcntl(peer, F_SETFL, O_NONBLOCK), 0);
	do {
		while ((n = send(peer, block, sizeof(block), MSG_NOSIGNAL)) > 0)
			queued += n;
		sleep_ms(500);
	} while ((n = send(peer, block, sizeof(block), MSG_NOSIGNAL)) > 0 &&
		 (queued += n));
	close(peer);
	sleep_ms(30000);
	assert_int_equal(socket_state(app), TCP_ESTABLISHED);
	expect_counter("fins", 0);

	while ((n = recv(app, block, sizeof(block), 0)) > 0) {
		total += n;
		if (total % 7 == 0)
			sleep_ms(50);
	}
	assert_int_equal(n, 0);
	assert_int_equal(total, queued);
	wait_for(socket_state(app) == TCP_CLOSE, 600000);
	wait_for(counter("watching") == 0, 10000);
	expect_counter("resets", 1);
	assert_int_equal(send(app, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, ECONNRESET);
	close(app);
	close(listener);
	link_close(&l);
}

#define ON(function, kind, text) {					\
	.name = #function " " text, .test_func = function,		\
	.initial_state = (void *)(uintptr_t)(kind),			\
}

#define BOTH(function) ON(function, IPV4, "ipv4"), ON(function, IPV6, "ipv6")

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(upload_is_answered),
		ON(upload_is_answered, MAPPED, "mapped"),
		BOTH(stuck_server_is_reset),
		ON(stuck_server_is_reset, MAPPED, "mapped"),
		BOTH(leaks_are_reaped),
		BOTH(rejected_acks),
		BOTH(vanished_peer),
		BOTH(fin_behind_a_full_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
