// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plain TCP connection to a listener of MPTCP's, which servers in Go have by
 * default: once accepted it is a socket like any other, even if its FIN came
 * before accept().  MPTCP's own are left alone, see test_bystanders.
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "rules.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

#define PORT	8080
#define LATER	60000		/* a look is an eighth of a wait late */

static int mptcp_listener(struct host *h)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(h->kind, &a, APP_IPV4, APP_IPV6, PORT);
	int fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			IPPROTO_MPTCP);

	if (fd < 0) {
		print_message("# no MPTCP: %s\n", strerror(errno));
		skip();
	}
	host_keep(h, fd);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void fin_after_accept(struct host *h, int listener)
{
	struct conn c;

	peer_connect(&c, &h->peer, PORT, 0);
	c.fd = host_accept(h, listener);
	app_begins(&c);
	peer_send(&c, "F. 1:1(0) ack 1");
	while (peer_next(&c, 1000))
		;	/* a reset, perhaps */
}

/* A kernel that leaves the child to itself for ever, as its listener is its
 * own: nothing can be told then
 */
static bool child_is_the_kernels(struct host *h, int listener)
{
	unsigned long before;

	rule(h, ON_FIN);
	before = counter("exempt");
	fin_after_accept(h, listener);
	rule(h, "-t mangle -F INPUT");
	return counter("exempt") > before;
}

static void plain(void **state)
{
	struct host *h = *state;
	int listener = mptcp_listener(h);
	unsigned long before;

	if (child_is_the_kernels(h, listener)) {
		print_message("# this kernel's MPTCP keeps its children\n");
		skip();
	}
	before = counter("resets");
	for (unsigned long i = 0; i < 3; i++) {
		struct conn c;

		rule(h, ON_FIN "%s", i == 2 ? "--grace 1s" : "");
		peer_connect(&c, &h->peer, PORT, 0);
		peer_send(&c, "P. 1:101(100) ack 1");
		peer_expect_acks(&c, 101);
		peer_send(&c, "F. 101:101(0) ack 1");
		peer_take_acks(&c, i ? 10000 : 50);
		expect_counter("exempt", 0);
		expect_counter("watching", 1);
		c.fd = host_accept(h, listener);
		app_read(&c, 100);
		app_read_eof(&c);
		peer_expect_within(&c, LATER, "R. 1:1(0) ack 102");
		app_write_fails(&c, ECONNRESET);
		expect_counter("resets", before + i + 1);
		rule(h, "-t mangle -F INPUT");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
