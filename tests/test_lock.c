// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process can hold a socket's lock for as long as it likes: its read() is
 * stuck in a page fault that userfaultfd has it resolve itself.  That must
 * not delay other sockets' resets, however many such sockets there are.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crowd.h"
#include "link.h"
#include "rules.h"

#define PORT	8080
#define BYTES	100
#define OTHERS	50
#define HOLDERS	600		/* more than a workqueue runs at once */

/* A page that is not there until fault_resolve() */
struct fault {
	int uffd;
	void *page;
	long size;
};

static bool fault_open(struct fault *f)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	f->size = sysconf(_SC_PAGESIZE);
	f->uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (f->uffd < 0)
		return false;
	f->page = mmap(NULL, f->size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = (uintptr_t)f->page;
	reg.range.len = f->size;
	return f->page != MAP_FAILED && !ioctl(f->uffd, UFFDIO_API, &api) &&
	       !ioctl(f->uffd, UFFDIO_REGISTER, &reg);
}

static void fault_resolve(struct fault *f)
{
	struct uffdio_zeropage zero = {
		.range = { (uintptr_t)f->page, f->size },
	};

	if (ioctl(f->uffd, UFFDIO_ZEROPAGE, &zero))
		peer_fail(NULL, "UFFDIO_ZEROPAGE: %s", strerror(errno));
}

/* @n page faults are waiting */
static void fault_wait(struct fault *f, int n)
{
	struct pollfd p = { .fd = f->uffd, .events = POLLIN };
	struct uffd_msg msg;

	while (n) {
		if (poll(&p, 1, 60000) <= 0)
			peer_fail(NULL, "%d readers do not wait", n);
		n -= read(f->uffd, &msg, sizeof(msg)) == sizeof(msg);
	}
}

struct holder {
	pthread_t thread;
	int fd, peer;
	void *page;
	ssize_t got;
};

static void *hold(void *arg)
{
	struct holder *h = arg;

	h->got = recv(h->fd, h->page, BYTES, 0);
	return NULL;
}

static void pair(const struct link *l, int listener, int *app, int *peer)
{
	*peer = link_connect_far(l, PORT);
	*app = accept(listener, NULL, NULL);
	assert_true(*peer >= 0 && *app >= 0);
	carry_byte(*peer, *app);
}

static void held(int holders, const char *options, int extra,
		 unsigned long resets)
{
	struct holder *h = calloc(holders, sizeof(*h));
	int app[OTHERS], peer[OTHERS], listener;
	static char bytes[2 * BYTES];
	struct fault fault = { 0 };
	struct link l;

	if (!fault_open(&fault)) {
		print_message("this kernel has no userfaultfd\n");
		skip();
	}
	link_open(&l, IPV4, NULL);
	link_rule(&l, options);
	listener = link_listen_near(&l, PORT);
	for (int i = 0; i < OTHERS; i++)
		pair(&l, listener, &app[i], &peer[i]);
	for (int i = 0; i < holders; i++) {
		pair(&l, listener, &h[i].fd, &h[i].peer);
		h[i].page = fault.page;
		assert_int_equal(send(h[i].peer, bytes, BYTES + extra, 0),
				 BYTES + extra);
		wait_for(app_unread(&(struct conn){ .fd = h[i].fd }) ==
			 BYTES + extra, 1000);
		assert_int_equal(pthread_create(&h[i].thread, NULL, hold,
						&h[i]), 0);
	}
	fault_wait(&fault, holders);

	/* FINs for the held sockets first; theirs wait in a backlog */
	for (int i = 0; i < holders; i++)
		close(h[i].peer);
	sleep_ms(500);
	for (int i = 0; i < OTHERS; i++)
		close(peer[i]);
	wait_for(counter("resets") == OTHERS, 1000);
	for (int i = 0; i < OTHERS; i++)
		assert_int_equal(socket_state(app[i]), TCP_CLOSE);
	sleep_ms(5000);
	expect_counter("watching", holders);
	expect_counter("resets", OTHERS);

	/* Let go: every byte arrives, and what was due happens soon */
	fault_resolve(&fault);
	for (int i = 0; i < holders; i++) {
		pthread_join(h[i].thread, NULL);
		assert_int_equal(h[i].got, BYTES);
	}
	wait_for(counter("resets") == OTHERS + resets, 12000);
	expect_counter("watching", 0);
	expect_counter("deadline", extra ? holders : 0);
	for (int i = 0; i < OTHERS; i++)
		close(app[i]);
	for (int i = 0; i < holders; i++)
		close(h[i].fd);
	close(listener);
	close(fault.uffd);
	munmap(fault.page, fault.size);
	free(h);
	link_close(&l);
}

static void one_socket(void **state)
{
	(void)state;
	held(1, ON_FIN, 0, 1);
}

static void many_sockets(void **state)
{
	(void)state;
	held(HOLDERS, ON_FIN, 0, HOLDERS);
}

/* The deadline is over while the lock is held, and more bytes are unread */
static void over_the_deadline(void **state)
{
	(void)state;
	held(1, ON_FIN "--deadline 2s", BYTES, 1);
}

int main(void)
{
	const struct rlimit files = { 4096, 4096 };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_socket),
		cmocka_unit_test(many_sockets),
		cmocka_unit_test(over_the_deadline),
	};

	setrlimit(RLIMIT_NOFILE, &files);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
