// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sockets that belong to a device: each look finds the one that TCP has given
 * the FIN to, in a VRF or outside, whatever it was bound to since.
 *
 *	near: in a VRF, v0 ── near0 (veth) far0 ── far: 192.0.2.2, 2001:db8::2
 *	      in none ─────── near1 (veth) far1 ── far2: the same addresses
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernel.h"
#include "link.h"
#include "rules.h"

#define PORT		8080
#define OWN_PORT	5555
#define MS		1000LL
#define SECOND		(1000 * MS)

static void bind_to(int fd, const char *device)
{
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device,
		       strlen(device)))
		peer_fail(NULL, "SO_BINDTODEVICE %s: %s", device,
			  strerror(errno));
}

/* The reset comes a second after now */
static void is_reset(int fd, unsigned long resets)
{
	int64_t start = now_us();
	char byte;

	wait_for(socket_state(fd) == TCP_CLOSE, 10000);
	assert_in_range(now_us() - start, SECOND - 100 * MS,
			SECOND * 5 / 4 + timer_slack(SECOND));
	expect_counter("resets", resets);
	expect_counter("closed", 0);
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, ECONNRESET);
}

/* From one device to another, "" for none, while it is being watched */
static void bound_behind_its_fin(enum kind kind, const char *before,
				 const char *after)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(kind, &a, PEER_IPV4, PEER_IPV6, PORT);
	int listener, app, peer;
	struct link l;

	link_open(&l, kind, NULL);
	link_rule(&l, ON_FIN "--grace 1s");
	listener = link_listen_far(&l, PORT);
	app = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bind_to(app, before);
	assert_int_equal(connect(app, (struct sockaddr *)&a, len), 0);
	peer = accept(listener, NULL, NULL);
	carry_byte(app, peer);
	shutdown(peer, SHUT_WR);
	wait_for(counter("watching") == 1, 5000);
	bind_to(app, after);
	is_reset(app, 1);
	close(app);
	close(peer);
	close(listener);
	link_close(&l);
}

static void bound(void **state)
{
	bound_behind_its_fin((enum kind)(uintptr_t)*state, "", "near0");
}

static void unbound(void **state)
{
	bound_behind_its_fin((enum kind)(uintptr_t)*state, "near0", "");
}

/* ---- one four-tuple, in a VRF and outside ---- */

/* Both have the near namespace in common */
struct worlds {
	struct link vrf, plain;
};

struct connection {
	int app, peer;
};

static int new_namespace(void)
{
	if (unshare(CLONE_NEWNET))
		peer_fail(NULL, "unshare: %s", strerror(errno));
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static void addresses(const char *device, const char *ipv4, const char *ipv6)
{
	run("ip addr replace %s/24 dev %s && "
	    "ip -6 addr replace %s/64 dev %s nodad && ip link set %s up",
	    ipv4, device, ipv6, device, device);
}

static void worlds_open(struct worlds *w, enum kind kind)
{
	int far2;

	skip_without("vrf");
	far2 = new_namespace();
	link_open(&w->vrf, kind, NULL);
	w->plain = (struct link){ kind, w->vrf.near, far2 };
	/* joining a VRF takes the IPv6 address away */
	run("ip link add v0 type vrf table 10 && ip link set v0 up && "
	    "ip link set near0 master v0");
	addresses("near0", APP_IPV4, APP_IPV6);
	run("ip link add near1 type veth peer name far1 netns /proc/%d/fd/%d",
	    getpid(), far2);
	addresses("near1", APP_IPV4, APP_IPV6);
	link_enter_far(&w->plain);
	addresses("far1", PEER_IPV4, PEER_IPV6);
	link_enter_near(&w->plain);
	link_rule(&w->vrf, ON_FIN "--grace 1s");
}

static void worlds_close(struct worlds *w)
{
	close(w->plain.far);
	link_close(&w->vrf);
}

static void dial(struct connection *c, const struct link *l,
		 const char *device)
{
	struct sockaddr_storage own, to;
	socklen_t len = host_address(l->kind, &own, APP_IPV4, APP_IPV6,
				     OWN_PORT);
	int listener = link_listen_far(l, PORT), on = 1;

	host_address(l->kind, &to, PEER_IPV4, PEER_IPV6, PORT);
	c->app = socket(own.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bind_to(c->app, device);
	setsockopt(c->app, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(c->app, (struct sockaddr *)&own, len) ||
	    connect(c->app, (struct sockaddr *)&to, len))
		peer_fail(NULL, "connect: %s", strerror(errno));
	c->peer = accept(listener, NULL, NULL);
	carry_byte(c->app, c->peer);
	close(listener);
}

static void hang_up(struct connection *c)
{
	close(c->app);
	close(c->peer);
}

/* The peer of one closes: it is reset, and the other does not notice */
static void one_then_other(struct connection *first, struct connection *second)
{
	shutdown(first->peer, SHUT_WR);
	is_reset(first->app, 1);
	assert_int_equal(socket_state(second->app), TCP_ESTABLISHED);
	carry_byte(second->peer, second->app);
	carry_byte(second->app, second->peer);
	shutdown(second->peer, SHUT_WR);
	is_reset(second->app, 2);
	hang_up(first);
	hang_up(second);
}

static void play(enum kind kind, const char *device, bool vrf_is_older,
		 bool vrf_is_first)
{
	struct connection in, out;
	struct worlds w;

	skip_by_helper("conntrack has one entry for both");
	worlds_open(&w, kind);
	if (vrf_is_older)
		dial(&in, &w.vrf, device);
	dial(&out, &w.plain, "");
	if (!vrf_is_older)
		dial(&in, &w.vrf, device);
	if (vrf_is_first)
		one_then_other(&in, &out);
	else
		one_then_other(&out, &in);
	worlds_close(&w);
}

static void younger_outside(void **state)
{
	enum kind kind = (enum kind)(uintptr_t)*state;

	play(kind, "v0", true, true);
	play(kind, "v0", true, false);
}

static void younger_inside(void **state)
{
	enum kind kind = (enum kind)(uintptr_t)*state;

	play(kind, "v0", false, true);
	play(kind, "v0", false, false);
}

/* Bound to the VRF's slave, not to itself */
static void bound_to_a_slave(void **state)
{
	enum kind kind = (enum kind)(uintptr_t)*state;

	play(kind, "near0", true, true);
	play(kind, "near0", false, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINK_ALL(bound),
		LINK_ALL(unbound),
		LINK_ALL(younger_outside),
		LINK_ALL(younger_inside),
		LINK_TEST(bound_to_a_slave, IPV4), LINK_TEST(bound_to_a_slave, IPV6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
