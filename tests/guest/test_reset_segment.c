// SPDX-License-Identifier: GPL-2.0-only
/*
 * The RST as TCP itself would send it: without ECN's marks, and with a number
 * that the peer takes.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "kernel.h"
#include "link.h"
#include "rules.h"
#include "segment.h"

#define PORT	8080

/* ---- ECN ---- */

/* A copy of what leaves the near end */
static int tap(void)
{
	struct sockaddr_ll a = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = if_nametoindex("near0"),
	};
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			htons(ETH_P_ALL));

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* The ECN bits of the next outgoing segment with this flag, and its payload or
 * not; -1 if there is none
 */
static int ecn_of(int fd, uint8_t flag, bool payload)
{
	uint8_t p[2048];
	struct sockaddr_ll from;
	socklen_t len;
	ssize_t n;

	for (;;) {
		uint8_t *tcp;
		size_t ip_len, all;
		int ecn;

		len = sizeof(from);
		n = recvfrom(fd, p, sizeof(p), 0, (struct sockaddr *)&from,
			     &len);
		if (n < 0)
			return -1;
		if (from.sll_pkttype != PACKET_OUTGOING)
			continue;
		if (p[0] >> 4 == 4 && p[9] == IPPROTO_TCP) {
			ip_len = (p[0] & 15) * 4;
			all = p[2] << 8 | p[3];
			ecn = p[1] & 3;
		} else if (p[0] >> 4 == 6 && p[6] == IPPROTO_TCP) {
			ip_len = 40;
			all = 40 + (p[4] << 8 | p[5]);
			ecn = p[1] >> 4 & 3;
		} else {
			continue;
		}
		tcp = p + ip_len;
		if (tcp[13] & flag &&
		    (all > ip_len + (tcp[12] >> 4) * 4) == payload)
			return ecn;
	}
}

static void reset_with_ecn(enum kind kind, const char *congestion_control)
{
	struct link l;
	int listener, app, peer, wire, data, rst;
	char byte;

	link_open(&l, kind, NULL);
	link_enter_far(&l);
	set("/proc/sys/net/ipv4/tcp_ecn", "1");
	link_enter_near(&l);
	set("/proc/sys/net/ipv4/tcp_ecn", "1");
	link_rule(&l, ON_FIN);
	listener = link_listen_far(&l, PORT);
	wire = tap();
	app = link_connect_near(&l, PORT);
	if (congestion_control &&
	    setsockopt(app, IPPROTO_TCP, TCP_CONGESTION, congestion_control,
		       strlen(congestion_control))) {
		print_message("# no %s: %s\n", congestion_control,
			      strerror(errno));
		skip();
	}
	peer = accept(listener, NULL, NULL);
	assert_true(socket_info(app).tcpi_options & TCPI_OPT_ECN);
	/* the last that it has sent was data */
	assert_int_equal(send(app, "x", 1, 0), 1);
	assert_int_equal(recv(peer, &byte, 1, 0), 1);
	data = ecn_of(wire, PSH, true);
	assert_int_equal(data, 2);		/* ECT(0) */
	close(peer);
	wait_for(socket_state(app) == TCP_CLOSE, 5000);
	rst = ecn_of(wire, RST, false);
	print_message("# ECN of data %d, of the RST %d\n", data, rst);
	assert_int_equal(rst, congestion_control ? 2 : 0);
	expect_counter("resets", 1);
	close(app);
	close(wire);
	close(listener);
	link_close(&l);
}

static void ecn_ipv4(void **state)
{
	(void)state;
	reset_with_ecn(IPV4, NULL);
}

static void ecn_ipv6(void **state)
{
	(void)state;
	reset_with_ecn(IPV6, NULL);
}

static void ecn_mapped(void **state)
{
	(void)state;
	reset_with_ecn(MAPPED, NULL);
}

/* DCTCP marks all that it sends */
static void dctcp(void **state)
{
	(void)state;
	run_status("modprobe -q tcp_dctcp");
	reset_with_ecn(IPV4, "dctcp");
}

/* ---- the number ---- */

#define ACKED	1000		/* bytes that the FIN acknowledges */
#define OUT	3000		/* and those that it does not */
#define SCALE	7		/* of the peer's window */

/* Without Nagle's algorithm, which would wait for an ACK */
static void scaled_client(struct conn *c, struct host *h)
{
	int on = 1;

	client(c, h, WINDOW_SCALE);
	assert_int_equal(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on,
				    sizeof(on)), 0);
}

/* A window that ends before what was sent: the RST has the number that TCP's own
 * would have.  What our scale could not say exactly is no shrinking for
 * tcp_acceptable_seq().
 */
static void deadline_reset(struct host *h, bool more_than_rounded)
{
	unsigned int seq = 1, tolerance, window, edge;
	const struct segment *g;
	struct conn c;

	rule(h, ON_FIN "--deadline 5s");
	scaled_client(&c, h);
	app_write(&c, ACKED + OUT);
	while (seq < 1 + ACKED + OUT) {
		g = peer_next(&c, PEER_PATIENCE);
		assert_non_null(g);
		seq = peer_relative_seq(&c, g) + g->len;
	}
	tolerance = 1 << c.app_wscale;
	window = (OUT - tolerance + (1 << SCALE) - 1) >> SCALE;
	window -= more_than_rounded;
	edge = 1 + ACKED + (window << SCALE);
	assert_int_equal(seq - edge >= tolerance, more_than_rounded);
	/* an ACK of nothing new would not shrink it */
	peer_send(&c, "F. 1:1(0) ack %u win %u", 1 + ACKED, window);
	do {
		g = peer_next(&c, 10000);
		if (!g)
			peer_fail(&c, "no reset");
	} while (!(g->flags & RST));
	assert_int_equal(g->flags, RST | ACK);
	assert_int_equal(peer_relative_seq(&c, g),
			 more_than_rounded ? edge : seq);
	assert_int_equal(peer_relative_ack(&c, g), 2);
	expect_counter("deadline", 1);
}

static void rounded_window(void **state)
{
	deadline_reset(*state, false);
}

static void shrunk_window(void **state)
{
	deadline_reset(*state, true);
}

/* The window ends at 1897, which the peer would not take */
static void rounded_window_of_7(void **state)
{
	struct host *h = *state;
	const struct segment *g;
	struct conn c;

	rule(h, ON_FIN "--deadline 5s");
	scaled_client(&c, h);
	app_write(&c, 1000);
	peer_expect(&c, "P. 1:1001(1000) ack 1");
	app_write(&c, 1000);
	peer_expect(&c, "P. 1001:2001(1000) ack 1");
	peer_send(&c, "F. 1:1(0) ack 1001 win 7");
	do {
		g = peer_next(&c, 10000);
		if (!g)
			peer_fail(&c, "no reset");
	} while (!(g->flags & RST));
	assert_int_equal(peer_relative_seq(&c, g), 2001);
	assert_int_equal(peer_relative_ack(&c, g), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ecn_ipv4),
		cmocka_unit_test(ecn_ipv6),
		cmocka_unit_test(ecn_mapped),
		cmocka_unit_test(dctcp),
		ON_ALL(rounded_window),
		ON_ALL(shrunk_window),
		ON_IPV4(rounded_window_of_7),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
