// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process can hold a socket's lock for as long as it likes: its read(), or
 * the copying of a socket option's value, is stuck in a page fault that
 * userfaultfd has it resolve itself.  That must not delay other sockets'
 * resets, however many such sockets there are, nor the module's unloading.
 *
 * That the lock is held is seen by what TCP does with a FIN: it waits in the
 * socket's backlog, and /proc/net/tcp, which takes no lock, goes on showing an
 * established connection.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel.h"
#include "link.h"
#include "pagefault.h"
#include "rules.h"

#define PORT	8080
#define BYTES	100
#define OTHERS	50
#define HOLDERS	1000

/* How the lock is held.  The value of an option is copied before the lock is
 * taken, as far as its first 4 bytes go, and all of it with the lock held: it
 * begins 8 bytes before the page that is missing.
 */
enum how { BY_READ, BY_OPTION };
#define PRESENT	8

struct holder {
	pthread_t thread;
	enum how how;
	int fd, peer;
	char *page;
	ssize_t got;
};

static void *hold(void *arg)
{
	struct holder *h = arg;

	if (h->how == BY_READ)
		h->got = recv(h->fd, h->page, BYTES, 0);
	else
		setsockopt(h->fd, IPPROTO_TCP, TCP_MD5SIG, h->page - PRESENT,
			   sizeof(struct tcp_md5sig));
	return NULL;
}

static void pair(const struct link *l, int listener, int *app, int *peer)
{
	*peer = link_connect_far(l, PORT);
	*app = accept(listener, NULL, NULL);
	assert_true(*peer >= 0 && *app >= 0);
	carry_byte(*peer, *app);
}

/* Connections to the port that are established as far as the tables say */
static int established(void)
{
	FILE *f = fopen("/proc/thread-self/net/tcp", "re");
	unsigned int port, state;
	char line[512];
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += sscanf(line, " %*d: %*x:%x %*x:%*x %x", &port,
			    &state) == 2 &&
		     port == PORT && state == TCP_ESTABLISHED;
	fclose(f);
	return n;
}

/* Sockets whose locks are held, and others */
struct held {
	struct link link;
	struct pagefault fault;
	struct holder *h;
	int holders, listener, app[OTHERS], peer[OTHERS];
};

static void held_open(struct held *s, enum how how, int holders,
		      const char *options, int bytes)
{
	static char data[2 * BYTES];

	memset(s, 0, sizeof(*s));
	if (!pagefault_open(&s->fault)) {
		print_message("# this kernel has no userfaultfd\n");
		skip();
	}
	s->holders = holders;
	s->h = calloc(holders, sizeof(*s->h));
	link_open(&s->link, IPV4, NULL);
	link_rule(&s->link, options);
	s->listener = link_listen_near(&s->link, PORT);
	for (int i = 0; i < OTHERS; i++)
		pair(&s->link, s->listener, &s->app[i], &s->peer[i]);
	for (int i = 0; i < holders; i++) {
		struct holder *h = &s->h[i];

		pair(&s->link, s->listener, &h->fd, &h->peer);
		h->how = how;
		h->page = s->fault.page;
		if (bytes)
			assert_int_equal(send(h->peer, data, bytes, 0), bytes);
		wait_for(app_unread(&(struct conn){ .fd = h->fd }) == bytes,
			 10000);
		assert_int_equal(pthread_create(&h->thread, NULL, hold, h), 0);
	}
	pagefault_wait(&s->fault, holders);

	/* FINs for the held sockets: theirs wait in a backlog */
	for (int i = 0; i < holders; i++)
		close(s->h[i].peer);
	sleep_ms(500);
	assert_int_equal(established(), holders + OTHERS);
}

static void others_are_reset(struct held *s)
{
	for (int i = 0; i < OTHERS; i++)
		close(s->peer[i]);
	wait_for(counter("resets") == OTHERS, 10000);
	for (int i = 0; i < OTHERS; i++)
		assert_int_equal(socket_state(s->app[i]), TCP_CLOSE);
	/* and the locks were held all the time */
	assert_int_equal(established(), s->holders);
}

static void let_go(struct held *s)
{
	pagefault_resolve(&s->fault);
	for (int i = 0; i < s->holders; i++)
		pthread_join(s->h[i].thread, NULL);
}

static void held_close(struct held *s)
{
	for (int i = 0; i < OTHERS; i++)
		close(s->app[i]);
	for (int i = 0; i < s->holders; i++)
		close(s->h[i].fd);
	close(s->listener);
	pagefault_close(&s->fault);
	free(s->h);
	link_close(&s->link);
}

static void held(enum how how, int holders, const char *options, int extra)
{
	int bytes = how == BY_READ ? BYTES + extra : 0;
	struct held s;

	held_open(&s, how, holders, options, bytes);
	others_are_reset(&s);
	sleep_ms(5000);
	expect_counter("watching", holders);
	expect_counter("resets", OTHERS);

	/* Let go: every byte arrives, and what was due happens soon */
	let_go(&s);
	for (int i = 0; how == BY_READ && i < holders; i++)
		assert_int_equal(s.h[i].got, BYTES);
	wait_for(counter("resets") == (unsigned long)(OTHERS + holders), 12000);
	expect_counter("watching", 0);
	held_close(&s);
}

static void one_socket(void **state)
{
	(void)state;
	held(BY_READ, 1, ON_FIN, 0);
}

static void many_sockets(void **state)
{
	(void)state;
	held(BY_READ, HOLDERS / 4, ON_FIN, 0);
}

static void by_option(void **state)
{
	(void)state;
	held(BY_OPTION, 10, ON_FIN, 0);
}

/* The deadline is over while the lock is held, and more bytes are unread */
static void over_the_deadline(void **state)
{
	(void)state;
	held(BY_READ, 1, ON_FIN "--deadline 2s", BYTES);
}

static void *unload(void *result)
{
	*(int *)result = syscall(SYS_delete_module, "xt_HALFRST", O_NONBLOCK) ?
			 errno : 0;
	return NULL;
}

/* A thousand locks are held.  All others are reset in time, and the module
 * goes at once; nothing happens to those sockets any more.
 */
static void module_goes(void **state)
{
	pthread_t thread;
	int result = -1;
	bool at_once;
	struct held s;

	(void)state;
	if (built_in()) {
		print_message("# HALFRST is built in and cannot be unloaded\n");
		skip();
	}
	held_open(&s, BY_OPTION, HOLDERS, ON_FIN, 0);
	others_are_reset(&s);
	link_rule(&s.link, "-t mangle -F INPUT");
	wait_for(referred_to(0), 60000);
	assert_int_equal(pthread_create(&thread, NULL, unload, &result), 0);
	/* or never: the locks are held until we let go */
	at_once = wait_until(result >= 0, 60000);
	assert_int_equal(established(), s.holders);
	let_go(&s);
	pthread_join(thread, NULL);
	assert_true(at_once);
	assert_int_equal(result, 0);
	sleep_ms(1000);
	for (int i = 0; i < s.holders; i++)
		assert_int_equal(socket_state(s.h[i].fd), TCP_CLOSE_WAIT);
	held_close(&s);
}

int main(void)
{
	const struct rlimit files = { 4096, 4096 };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_socket),
		cmocka_unit_test(many_sockets),
		cmocka_unit_test(by_option),
		cmocka_unit_test(over_the_deadline),
		cmocka_unit_test(module_goes),
	};

	setrlimit(RLIMIT_NOFILE, &files);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
