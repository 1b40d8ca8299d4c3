// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount
 *
 * A watch pins nothing: a closed socket is gone when TCP lets go of it, and a
 * namespace when nobody is in it any more, however far away the next look is.
 */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dice.h"
#include "host.h"
#include "kernel.h"
#include "rules.h"

#define SOCKETS		20
#define AGE		25000	/* ms; the next look is far away then */
#define AT_ONCE		1500	/* ms; RCU and the kernel's clean-up work */

static void watched(struct host *h, struct conn *c)
{
	rule(h, ON_FIN "--grace 10m");
	for (int i = 0; i < SOCKETS; i++) {
		client(&c[i], h, 0);
		peer_send(&c[i], "F. 1:1(0) ack 1");
	}
	expect_counter("watching", SOCKETS);
	sleep_ms(AGE);
	expect_counter("watching", SOCKETS);
}

static const char *cache(const struct host *h)
{
	return h->kind == IPV4 ? "TCP" : "TCPv6";
}

/* The memory of a socket is free, and what its end is counted as comes later */
static void closed_sockets_go(void **state)
{
	struct host *h = *state;
	long before = slab_objects(cache(h));
	struct conn c[SOCKETS];

	watched(h, c);
	assert_true(slab_objects(cache(h)) >= before + SOCKETS);
	for (int i = 0; i < SOCKETS; i++)
		host_abort(h, c[i].fd);
	wait_for(slab_objects(cache(h)) <= before, AT_ONCE);
	wait_for(counter("closed") == SOCKETS, 70000);
	expect_counter("watching", 0);
	expect_counter("resets", 0);
}

/* The same for sockets that TCP itself has ended, and that nobody closes yet */
static void reset_sockets_go(void **state)
{
	struct host *h = *state;
	long before = slab_objects(cache(h));
	struct conn c[SOCKETS];

	watched(h, c);
	for (int i = 0; i < SOCKETS; i++) {
		peer_send(&c[i], "R. 2:2(0) ack 1");
		app_wait_state(&c[i], TCP_CLOSE, 0);
		host_close(h, c[i].fd);
	}
	wait_for(slab_objects(cache(h)) <= before, AT_ONCE);
	wait_for(counter("closed") == SOCKETS, 70000);
	expect_counter("watching", 0);
}

/* A process with a namespace of its own, which it leaves with watches in it */
static void in_a_namespace(enum kind kind, int done)
{
	void *state = (void *)(uintptr_t)kind;
	struct conn c[SOCKETS];
	struct host *h;

	/* a failure ends this process only */
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	host_setup(&state);
	h = state;
	watched(h, c);
	for (int i = 0; i < SOCKETS; i++)
		host_abort(h, c[i].fd);
	expect_counter("watching", SOCKETS);
	_exit(write(done, "d", 1) != 1);
}

static void namespace_goes(void **state)
{
	struct host *h = *state;
	int done[2], status;
	long before;
	pid_t child;
	char byte;

	rule(h, ON_FIN);		/* loads the module */
	wait_for(referred_to(1), 1000000);
	before = slab_objects("net_namespace");
	for (int i = how_often(1, 10); i > 0; i--) {
		assert_int_equal(pipe(done), 0);
		fflush(NULL);
		child = fork();
		if (!child)
			in_a_namespace(h->kind, done[1]);
		close(done[1]);
		assert_int_equal(read(done[0], &byte, 1), 1);
		close(done[0]);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		wait_for(slab_objects("net_namespace") <= before, AT_ONCE);
		/* its rules went with it */
		wait_for(referred_to(1), AT_ONCE);
	}
}

static int tcp_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_return_code(fd, errno);
	return fd;
}

/* The far end of a link is a name that is free again */
static void ip_netns_del(void **state)
{
	const struct sockaddr_in here = {
		.sin_family = AF_INET,
		.sin_port = htons(8080),
		.sin_addr = { htonl(0x0a090001) },
	};
	int listener, far, inside, accepted;
	struct host *h = *state;
	struct conn c;
	char byte;

	rule(h, ON_FIN "--grace 10m");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	run("ip netns add gone && ip link add pin0 type veth peer name pin1 "
	    "netns gone && ip addr add 10.9.0.1/24 dev pin0 && "
	    "ip link set pin0 up && ip -n gone addr add 10.9.0.2/24 dev pin1 && "
	    "ip -n gone link set pin1 up && "
	    "ip netns exec gone iptables -t mangle -A INPUT -p tcp -j HALFRST "
	    "--grace 10m");
	/* a socket in there whose peer, out here, has closed its side */
	listener = tcp_socket();
	assert_return_code(bind(listener, (void *)&here, sizeof(here)), errno);
	assert_return_code(listen(listener, 1), errno);
	far = open("/run/netns/gone", O_RDONLY | O_CLOEXEC);
	assert_return_code(far, errno);
	assert_return_code(setns(far, CLONE_NEWNET), errno);
	inside = tcp_socket();
	assert_return_code(setns(h->netns, CLONE_NEWNET), errno);
	close(far);
	assert_return_code(connect(inside, (void *)&here, sizeof(here)), errno);
	accepted = accept(listener, NULL, NULL);
	assert_return_code(accepted, errno);
	assert_int_equal(send(inside, "b", 1, 0), 1);
	assert_int_equal(recv(accepted, &byte, 1, 0), 1);
	shutdown(accepted, SHUT_WR);
	wait_for(!run_status("ip netns exec gone grep -qx 'watching 1' "
			     "/proc/net/xt_halfrst"), AT_ONCE);
	sleep_ms(AGE);
	host_abort(h, inside);
	run("ip netns exec gone grep -qx 'watching 1' /proc/net/xt_halfrst");
	close(accepted);
	close(listener);
	run("ip netns del gone");
	wait_for(run_status("ip link show pin0 >/dev/null 2>&1") != 0, AT_ONCE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(closed_sockets_go),
		ON_IPV4(reset_sockets_go),
		ON_ALL(namespace_goes),
		ON_IPV4(ip_netns_del),
	};

	if (access("/sys/kernel/slab/TCP/objects", R_OK)) {
		puts("1..0 # SKIP this kernel does not count slab objects");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
