// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount --mem 1024
 *
 * Promise 2 at random: over a bad line (delay, loss, reordering, duplicates),
 * whatever the sizes, buffers, pauses and reads, the application reads every
 * byte that the peer sent, then the end of file.  Without a grace it is never
 * reset before; with one that is shorter than its pauses it is, and reads on.
 * The last bytes of a TLS peer are an alert that it reads after the reset.
 */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dice.h"
#include "kernel.h"
#include "link.h"
#include "rules.h"

#define PORT		80
#define AT_ONCE		40
#define BAD_LINE	"delay 5ms 3ms loss 2% duplicate 2% reorder 10%"

/* The smallest that TLS 1.3 has */
static const uint8_t alert[24] = { 23, 3, 3, 0, 19, 0xca, 0xfe };

struct experiment {
	struct link link;
	bool grace;
	bool tls;
	atomic_int early;	/* reset with bytes unread */
	int listener;
	int connections;
	atomic_int next;
	atomic_int closed;	/* by the application itself */
	atomic_int crowded;	/* no window for the FIN */
	pthread_mutex_t lock;
	char failure[256];	/* the first one */
};

/* Everything about one connection follows from its number */
struct plan {
	uint32_t size;
	int rcvbuf, sndbuf;	/* 0: as it comes */
	uint32_t seed;		/* of what happens in between */
};

static uint32_t seed_of(uint32_t number, uint32_t salt)
{
	uint32_t seed = (number + 1) * 2654435761u ^ salt;

	for (int i = 0; i < 4; i++)
		chance(&seed);
	return seed ? seed : 1;
}

static struct plan plan_of(uint32_t number, uint32_t salt)
{
	uint32_t seed = seed_of(number, 0x48414c46);
	struct plan p = { 0 };

	switch (chance(&seed) % 4) {
	case 0:
		p.size = chance(&seed) % 4;
		break;
	case 1:
		p.size = chance(&seed) % 3000;
		break;
	case 2:
		p.size = chance(&seed) % 30000;
		break;
	case 3:
		p.size = chance(&seed) % 150000;
		break;
	}
	if (chance(&seed) % 3 == 0)
		p.rcvbuf = 2000 + chance(&seed) % 20000;
	if (chance(&seed) % 3 == 0)
		p.sndbuf = 5000 + chance(&seed) % 50000;
	p.seed = seed_of(number, salt);
	return p;
}

static uint8_t byte_at(uint32_t number, uint32_t offset)
{
	return (number * 31 + offset) * 2654435761u >> 24;
}

static void *flop(struct experiment *e, uint32_t number, const char *what)
{
	pthread_mutex_lock(&e->lock);
	if (!*e->failure)
		snprintf(e->failure, sizeof(e->failure),
			 "connection %u: %s (%s)", number, what,
			 strerror(errno));
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

static bool failed(struct experiment *e)
{
	bool yes;

	pthread_mutex_lock(&e->lock);
	yes = *e->failure;
	pthread_mutex_unlock(&e->lock);
	return yes;
}

static void pause_now_and_then(uint32_t *seed, uint32_t longest)
{
	if (chance(seed) % 8 == 0)
		sleep_ms(chance(seed) % longest);
}

/* The peer: reads the connection's number, sends its bytes, closes */
struct service {
	struct experiment *e;
	int fd;
};

static void *serve(void *arg)
{
	struct service s = *(struct service *)arg;
	uint32_t number, sent = 0;
	uint8_t buffer[20000];
	struct plan p;

	free(arg);
	if (recv(s.fd, &number, sizeof(number), MSG_WAITALL) != sizeof(number)) {
		close(s.fd);
		return flop(s.e, UINT32_MAX, "the peer saw no request");
	}
	p = plan_of(number, 0x66617221);
	if (p.sndbuf)
		setsockopt(s.fd, SOL_SOCKET, SO_SNDBUF, &p.sndbuf,
			   sizeof(p.sndbuf));
	while (sent < p.size) {
		uint32_t n = 1 + chance(&p.seed) % sizeof(buffer);

		if (n > p.size - sent)
			n = p.size - sent;
		for (uint32_t i = 0; i < n; i++)
			buffer[i] = byte_at(number, sent + i);
		if (send(s.fd, buffer, n, MSG_NOSIGNAL) != (ssize_t)n) {
			close(s.fd);
			return flop(s.e, number, "the peer could not send");
		}
		sent += n;
		pause_now_and_then(&p.seed, 300);
	}
	if (s.e->tls && send(s.fd, alert, sizeof(alert), MSG_NOSIGNAL) !=
			sizeof(alert))
		flop(s.e, number, "the peer could not say goodbye");
	close(s.fd);
	return NULL;
}

static void *accept_all(void *arg)
{
	struct experiment *e = arg;
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (int i = 0; i < e->connections && !failed(e); i++) {
		struct service *s = malloc(sizeof(*s));

		s->e = e;
		s->fd = accept(e->listener, NULL, NULL);
		if (s->fd < 0)
			return flop(e, i, "accept");
		if (pthread_create(&thread, &attr, serve, s))
			return flop(e, i, "thread");
	}
	return NULL;
}

/* A small buffer may be full with a part of the alert, and without a window TCP
 * takes no FIN: nobody would learn of it, with HALFRST or without.  Then the
 * application reads that part.
 */
static ssize_t make_room(struct experiment *e, int fd, uint8_t buffer[])
{
	ssize_t n;

	if (wait_until(socket_state(fd) == TCP_CLOSE, 10000) ||
	    socket_state(fd) != TCP_ESTABLISHED)
		return 0;
	atomic_fetch_add(&e->crowded, 1);
	n = recv(fd, buffer, sizeof(alert), MSG_DONTWAIT);
	return n < 0 ? 0 : n;
}

/* The application */
static void use(struct experiment *e, uint32_t number)
{
	struct plan p = plan_of(number, 0x6e656172);
	uint8_t buffer[8192];
	uint32_t got = 0, most;
	int fd, state;
	ssize_t n;

	fd = link_connect_near(&e->link, PORT);
	if (fd < 0) {
		flop(e, number, "connect");
		return;
	}
	if (p.rcvbuf)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &p.rcvbuf,
			   sizeof(p.rcvbuf));
	if (send(fd, &number, sizeof(number), MSG_NOSIGNAL) != sizeof(number))
		flop(e, number, "request");
	if (chance(&p.seed) % 2)
		sleep_ms(chance(&p.seed) % 1000);
	do {
		/* Only the reset closes a socket that nobody closed */
		state = socket_state(fd);
		if (state == TCP_CLOSE && got < p.size) {
			atomic_fetch_add(&e->early, 1);
			if (!e->grace)
				flop(e, number, "reset with bytes unread");
		}
		most = 1 + chance(&p.seed) % (chance(&p.seed) % 4 ? 4000 : 7);
		/* nobody asks for the alert */
		if (e->tls && most > p.size - got)
			most = p.size - got;
		if (!most)
			break;
		n = recv(fd, buffer, most, 0);
		if (n < 0)
			flop(e, number, "read");
		for (ssize_t i = 0; i < n; i++)
			if (buffer[i] != byte_at(number, got + i))
				flop(e, number, "a wrong byte");
		if (n > 0)
			got += n;
		if (chance(&p.seed) % 16 == 0)
			sleep_ms(chance(&p.seed) % 500);
	} while (n > 0 && !failed(e));
	if (got != p.size)
		flop(e, number, "bytes are missing");
	if (e->tls && !failed(e)) {
		n = make_room(e, fd, buffer);
		if (!wait_until(socket_state(fd) == TCP_CLOSE, 200000))
			flop(e, number, "not reset for an alert");
		n += recv(fd, buffer + n, sizeof(buffer) - n, 0);
		if (n != sizeof(alert) || memcmp(buffer, alert, n))
			flop(e, number, "the alert is lost");
		if (recv(fd, buffer, sizeof(buffer), 0))
			flop(e, number, "no end of file behind the alert");
	}

	if (chance(&p.seed) % 4 == 0 && socket_state(fd) != TCP_CLOSE) {
		/* may still be beaten by the reset: counted by neither */
		atomic_fetch_add(&e->closed, 1);
	} else if (!failed(e)) {
		if (!wait_until(socket_state(fd) == TCP_CLOSE, 200000))
			flop(e, number, "not reset");
		if (send(fd, "x", 1, MSG_NOSIGNAL) != -1 || errno != ECONNRESET)
			flop(e, number, "the write did not fail with ECONNRESET");
	}
	close(fd);
}

static void *use_some(void *arg)
{
	struct experiment *e = arg;
	int number;

	while ((number = atomic_fetch_add(&e->next, 1)) < e->connections &&
	       !failed(e))
		use(e, number);
	return NULL;
}

static void experiment(enum kind kind, int connections, bool grace, bool tls)
{
	pthread_t users[AT_ONCE], peer;
	struct experiment e = { .lock = PTHREAD_MUTEX_INITIALIZER };
	unsigned long resets, closed;

	e.connections = connections;
	e.grace = grace;
	e.tls = tls;
	link_open(&e.link, kind, BAD_LINE);
	link_rule(&e.link, grace ? ON_FIN "--grace 40ms" : ON_FIN);
	e.listener = link_listen_far(&e.link, PORT);
	assert_int_equal(pthread_create(&peer, NULL, accept_all, &e), 0);
	for (int i = 0; i < AT_ONCE; i++)
		assert_int_equal(pthread_create(&users[i], NULL, use_some, &e),
				 0);
	for (int i = 0; i < AT_ONCE; i++)
		pthread_join(users[i], NULL);
	shutdown(e.listener, SHUT_RDWR);
	pthread_join(peer, NULL);
	if (*e.failure)
		peer_fail(NULL, "%s", e.failure);

	wait_for(counter("watching") == 0, 400000);
	counters_add_up();
	resets = counter("resets");
	closed = atomic_load(&e.closed);
	printf("# %d connections, %lu reset, %d with bytes unread, %lu closed by the application\n",
	       e.connections, resets, atomic_load(&e.early), closed);
	if (grace)
		assert_true(atomic_load(&e.early) > 0);
	if (tls)
		printf("# %d had no window for the FIN\n",
		       atomic_load(&e.crowded));
	assert_in_range(atomic_load(&e.crowded), 0, e.connections / 100);
	assert_in_range(resets, e.connections - closed, e.connections);
	close(e.listener);
	link_close(&e.link);
}

static void every_byte_ipv4(void **state)
{
	(void)state;
	experiment(IPV4, how_often(700, 7000), false, false);
}

static void every_byte_ipv6(void **state)
{
	(void)state;
	experiment(IPV6, how_often(700, 7000), false, false);
}

static void every_byte_mapped(void **state)
{
	(void)state;
	experiment(MAPPED, how_often(700, 7000), false, false);
}

static void pauses_longer_than_the_grace(void **state)
{
	(void)state;
	experiment(IPV4, how_often(300, 7000), true, false);
}

static void close_notify(void **state)
{
	(void)state;
	experiment(IPV6, how_often(300, 7000), false, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_ipv4),
		cmocka_unit_test(every_byte_ipv6),
		cmocka_unit_test(every_byte_mapped),
		cmocka_unit_test(pauses_longer_than_the_grace),
		cmocka_unit_test(close_notify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
