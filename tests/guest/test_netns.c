// SPDX-License-Identifier: GPL-2.0-only
/*
 * Network namespaces: rules, counters and sockets of one never touch
 * another's, even where addresses and ports are the same.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "kernel.h"
#include "rules.h"

static struct host *another(struct host *h)
{
	void *state = (void *)(uintptr_t)h->kind;

	host_setup(&state);
	return state;
}

static void gone(struct host *h)
{
	void *state = h;

	host_teardown(&state);
}

/* A connection from one fixed port, so that both hosts have the same one */
static void same_client(struct conn *c, struct host *h)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(h->kind, &a, APP_IPV4, APP_IPV6, 5555);
	int fd;

	host_enter(h);
	fd = host_socket(h);
	if (bind(fd, (struct sockaddr *)&a, len))
		peer_fail(NULL, "bind");
	client_with(c, h, 0, fd);
}

static void same_connection(void **state)
{
	struct host *a = *state, *b = another(a);
	struct conn in_a, in_b;

	host_enter(a);
	rule(a, ON_FIN);
	same_client(&in_a, a);
	same_client(&in_b, b);
	host_enter(a);

	peer_send(&in_b, "F. 1:1(0) ack 1");
	peer_expect(&in_b, ". 1:1(0) ack 2");
	peer_expect_nothing(&in_b, 60000);
	assert_int_equal(app_state(&in_a), TCP_ESTABLISHED);
	expect_counter("fins", 0);
	host_enter(b);
	expect_counter("fins", 0);

	/* in a namespace that is not the process's own, too */
	peer_send(&in_a, "F. 1:1(0) ack 1");
	peer_expect(&in_a, "R. 1:1(0) ack 2");
	peer_expect_nothing(&in_b, 60000);
	assert_int_equal(app_state(&in_b), TCP_CLOSE_WAIT);
	expect_counter("fins", 0);
	expect_counter("resets", 0);
	host_enter(a);
	expect_counter("fins", 1);
	expect_counter("resets", 1);
	gone(b);
	host_enter(a);
}

/* Each namespace has its own options for the same connection */
static void own_options(void **state)
{
	struct host *a = *state, *b = another(a);
	struct conn in_a, in_b;

	same_client(&in_a, a);
	rule(a, ON_FIN "--reset-with econnreset");
	same_client(&in_b, b);
	rule(b, ON_FIN "--reset-with etimedout --grace 5s");
	peer_send(&in_a, "F. 1:1(0) ack 1");
	peer_send(&in_b, "F. 1:1(0) ack 1");
	peer_expect(&in_a, "R. 1:1(0) ack 2");
	app_write_fails(&in_a, ECONNRESET);
	peer_expect(&in_b, ". 1:1(0) ack 2");
	expect_counter("watching", 1);
	host_enter(a);
	expect_counter("watching", 0);
	peer_expect_within(&in_b, 7000, "R. 1:1(0) ack 2");
	app_write_fails(&in_b, ETIMEDOUT);
	gone(b);
	host_enter(a);
	expect_counter("fins", 1);
}

/* The socket was opened in this namespace by a process that has moved on */
static void process_elsewhere(void **state)
{
	struct host *a = *state, *b = another(a);
	struct conn c;

	host_enter(a);
	rule(a, ON_FIN "--uid-owner 0");
	client(&c, a, 0);
	host_enter(b);
	rule(b, ON_FIN "--dry-run");
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 2");
	app_write_fails(&c, ECONNRESET);
	expect_counter("fins", 0);
	gone(b);
	host_enter(a);
	expect_counter("resets", 1);
}

/*
 * The namespace's last process dies with sockets being watched.  TCP keeps
 * orphans, and with them the namespace, until it gives up on their FINs.
 */
static void deleted(void **state)
{
	struct host *h = *state;
	int status;

	skip_by_helper("there is none for --grace 1h");
	rule(h, ON_FIN);	/* loads the module */
	/* this rule's is the only one, once earlier namespaces are gone */
	wait_for(referred_to(1), 1000000);
	for (int i = 0; i < 10; i++) {
		pid_t child = fork();

		if (!child) {
			struct host *mine = another(h);
			struct conn c;

			/* a failure ends this process only */
			setenv("CMOCKA_TEST_ABORT", "1", 1);
			rule(mine, ON_FIN "--grace 1h");
			for (int n = 0; n < 20; n++) {
				client(&c, mine, 0);
				peer_send(&c, "F. 1:1(0) ack 1");
			}
			_exit(counter("watching") == 20 ? 0 : 1);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
	/* the rules are gone when the namespaces are */
	wait_for(referred_to(1), 1000000);
	expect_counter("watching", 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(same_connection),
		ON_ALL(own_options),
		ON_ALL(process_elsewhere),
		ON_ALL(deleted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
