// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bystanders untouched: a connection that the application closes, and a
 * socket in any state but ESTABLISHED and CLOSE_WAIT, exchanges exactly the
 * packets that it would without the rule.
 *
 * Each scenario is played twice, in a namespace without a rule and in one
 * with it; what the kernel sent must be the same, segment by segment.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host.h"
#include "rules.h"
#include "segment.h"

typedef void scenario(struct host *h, struct conn *c);

/* Long enough for every repetition and for TIME_WAIT to be over */
static void epilogue(struct conn *c)
{
	while (peer_next(c, 130000))
		;
}

static void replay(void **state, scenario *play, const char *options)
{
	void *kind = (void *)(uintptr_t)((struct host *)*state)->kind;
	char *without, *with;
	struct conn c;

	play(*state, &c);
	epilogue(&c);
	without = peer_transcript(&c);
	host_teardown(state);

	*state = kind;
	host_setup(state);
	rule(*state, ON_FIN "%s", options);
	play(*state, &c);
	epilogue(&c);
	with = peer_transcript(&c);
	if (!*without || strcmp(without, with))
		peer_fail(&c, "without the rule\n%swith it\n%s", without,
			  with);
	free(without);
	free(with);
	expect_counter("resets", 0);
	expect_counter("watching", 0);
	assert_true(counter("fins") > 0);
}

/* ---- closed before the FIN: no grace needed ---- */

static void app_closes_first(struct host *h, struct conn *c)
{
	client(c, h, 0);
	host_close(h, c->fd);
	peer_expect(c, "F. 1:1(0) ack 1");
	peer_send(c, ". 1:1(0) ack 2");		/* FIN_WAIT2 */
	sleep_ms(100);
	peer_send(c, "F. 1:1(0) ack 2");
	peer_expect(c, ". 2:2(0) ack 2");	/* TIME_WAIT */
	peer_send(c, "F. 1:1(0) ack 2");
	peer_expect(c, ". 2:2(0) ack 2");
}

/* FIN_WAIT1 gets FIN and ACK in one */
static void fin_wait_1(struct host *h, struct conn *c)
{
	client(c, h, TIMESTAMPS);
	host_close(h, c->fd);
	peer_expect(c, "F. 1:1(0) ack 1");
	peer_send(c, "F. 1:1(0) ack 2");
	peer_expect(c, ". 2:2(0) ack 2");
}

static void fin_wait_2_with_data(struct host *h, struct conn *c)
{
	client(c, h, 0);
	shutdown(c->fd, SHUT_WR);
	peer_expect(c, "F. 1:1(0) ack 1");
	peer_send(c, ". 1:1(0) ack 2");
	peer_send(c, "FP. 1:101(100) ack 2");
	peer_expect(c, ". 2:2(0) ack 102");
	app_read(c, 100);
	app_read_eof(c);
	host_close(h, c->fd);
}

static void simultaneous_close(struct host *h, struct conn *c)
{
	client(c, h, 0);
	host_close(h, c->fd);
	peer_expect(c, "F. 1:1(0) ack 1");
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, ". 2:2(0) ack 2");	/* CLOSING */
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, ". 2:2(0) ack 2");
	peer_send(c, ". 2:2(0) ack 2");		/* TIME_WAIT */
	peer_send(c, "F. 1:1(0) ack 2");
	peer_expect(c, ". 2:2(0) ack 2");
}

/* Closed with bytes unread: the kernel itself sends RST */
static void closed_with_unread_bytes(struct host *h, struct conn *c)
{
	client(c, h, 0);
	peer_send(c, "P. 1:101(100) ack 1");
	peer_expect(c, ". 1:1(0) ack 101");
	host_close(h, c->fd);
	peer_expect(c, "R. 1:1(0) ack 101");
	peer_send(c, "F. 101:101(0) ack 1");
	peer_expect(c, "R 1:1(0)");
}

static void response_after_shutdown(struct host *h, struct conn *c)
{
	server(c, h, 0);
	app_write(c, 500);
	shutdown(c->fd, SHUT_WR);
	peer_expect(c, "P. 1:501(500) ack 1");
	peer_expect(c, "F. 501:501(0) ack 1");
	peer_send(c, ". 1:1(0) ack 502");
	for (int i = 0; i < 5; i++) {
		peer_send(c, "P. %d:%d(100) ack 502", 100 * i + 1,
			  100 * i + 101);
		app_read(c, 100);
	}
	peer_send(c, "F. 501:501(0) ack 502");
	app_wait_state(c, TCP_CLOSE, 0);
}

static void orphan_with_unsent_data(struct host *h, struct conn *c)
{
	client_silent(c, h, 0, host_socket(h));
	peer_send(c, ". 1:1(0) ack 1 win 0");
	app_write(c, 100);
	host_close(h, c->fd);
	sleep_ms(1000);
	peer_take_acks(c, 0);
	peer_send(c, "F. 1:1(0) ack 1 win 0");
	peer_take_acks(c, 10);
	peer_send(c, ". 2:2(0) ack 1");
}

/* ---- closed after the FIN, within the grace ---- */

static void app_closes_after(struct host *h, struct conn *c)
{
	client(c, h, 0);
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, ". 1:1(0) ack 2");
	app_read_eof(c);
	sleep_ms(1000);
	host_close(h, c->fd);
	peer_expect(c, "F. 1:1(0) ack 2");
	peer_send(c, "F. 1:1(0) ack 1");	/* LAST_ACK */
	peer_expect(c, ". 2:2(0) ack 2");
	peer_send(c, ". 2:2(0) ack 2");
	peer_send(c, "F. 1:1(0) ack 2");	/* gone */
	peer_expect(c, "R 2:2(0)");
}

/* Before the next tick, at which TCP would acknowledge the FIN: a slow kernel
 * may need several tries.
 */
static void app_closes_at_once(struct host *h, struct conn *c)
{
	const struct segment *g;
	uint8_t flags = ACK;

	for (int i = 0; i < 50 && flags == ACK; i++) {
		client(c, h, 0);
		peer_send(c, "F. 1:1(0) ack 1");
		host_close(h, c->fd);
		g = peer_next(c, PEER_PATIENCE);
		assert_non_null(g);
		assert_int_equal(g->seq, c->irs + 1);
		assert_int_equal(g->ack, c->iss + 2);
		flags = g->flags;
		peer_send(c, ". 2:2(0) ack 2");
	}
	assert_int_equal(flags, FIN | ACK);
}

static void response_after_fin(struct host *h, struct conn *c)
{
	server(c, h, 0);
	peer_send(c, "FP. 1:101(100) ack 1");
	app_read(c, 100);
	peer_expect(c, ". 1:1(0) ack 102");
	for (int i = 0; i < 20; i++) {
		sleep_ms(1000);
		app_write(c, 1000);
		peer_expect(c, "P. %d:%d(1000) ack 102", 1000 * i + 1,
			    1000 * i + 1001);
		peer_send(c, ". 102:102(0) ack %d", 1000 * i + 1001);
	}
	host_close(h, c->fd);
	peer_expect(c, "F. 20001:20001(0) ack 102");
	peer_send(c, ". 102:102(0) ack 20002");
}

static void shutdown_after_fin(struct host *h, struct conn *c)
{
	client(c, h, 0);
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, ". 1:1(0) ack 2");
	shutdown(c->fd, SHUT_WR);
	peer_expect(c, "F. 1:1(0) ack 2");
	peer_send(c, ". 2:2(0) ack 2");
	sleep_ms(30000);
	host_close(h, c->fd);
}

static void aborted_after_fin(struct host *h, struct conn *c)
{
	client(c, h, 0);
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, ". 1:1(0) ack 2");
	host_abort(h, c->fd);
	peer_expect(c, "R. 1:1(0) ack 2");
}

static void peer_resets_after_fin(struct host *h, struct conn *c)
{
	client(c, h, 0);
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, ". 1:1(0) ack 2");
	peer_send(c, "R. 2:2(0) ack 1");
	app_wait_state(c, TCP_CLOSE, 0);
	app_write_fails(c, EPIPE);
}

/* ---- not established ---- */

static void listening(struct host *h, struct conn *c)
{
	host_listen(h, 8080);
	peer_syn(c, &h->peer, 9, 0);	/* sets up the numbers */
	peer_expect(c, "R. 0:0(0) ack 1");
	c->app_port = 8080;
	c->irs = 0;
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, "R 1:1(0)");
	peer_send(c, "F 1:1(0)");
}

/* The FIN comes in place of the handshake's ACK */
static void syn_recv(struct host *h, struct conn *c)
{
	const struct segment *g;
	int listener = host_listen(h, 8080);

	peer_syn(c, &h->peer, 8080, 0);
	g = peer_next(c, 1000);
	assert_non_null(g);
	c->irs = g->seq;
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, ". 1:1(0) ack 2");
	c->fd = host_accept(h, listener);
	app_wait_state(c, TCP_CLOSE_WAIT, 0);
	sleep_ms(5000);
	host_close(h, c->fd);
	peer_expect(c, "F. 1:1(0) ack 2");
	peer_send(c, ". 2:2(0) ack 2");
}

static void syn_recv_wrong_ack(struct host *h, struct conn *c)
{
	const struct segment *g;

	host_listen(h, 8080);
	peer_syn(c, &h->peer, 8080, 0);
	g = peer_next(c, 1000);
	assert_non_null(g);
	c->irs = g->seq;
	peer_send(c, "F. 1:1(0) ack 5");
}

static void defer_accept(struct host *h, struct conn *c)
{
	int listener = host_listen(h, 8080), seconds = 10;
	const struct segment *g;

	setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds,
		   sizeof(seconds));
	peer_syn(c, &h->peer, 8080, 0);
	g = peer_next(c, 1000);
	assert_non_null(g);
	c->irs = g->seq;
	peer_send(c, ". 1:1(0) ack 1");		/* dropped: no data */
	peer_expect_nothing(c, 100);
	assert_int_equal(accept(listener, NULL, NULL), -1);
	peer_send(c, "F. 1:1(0) ack 1");
	/* a connection now, which nobody accepts */
	sleep_ms(20000);
	host_close(h, listener);
}

static void syn_sent(struct host *h, struct conn *c)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(h->kind, &a, PEER_IPV4, PEER_IPV6, 80);
	int fd = host_socket(h);
	struct sockaddr_storage own;
	socklen_t own_len = sizeof(own);
	const struct segment *g;

	connect(fd, (struct sockaddr *)&a, len);
	getsockname(fd, (struct sockaddr *)&own, &own_len);
	memset(c, 0, sizeof(*c));
	c->peer = &h->peer;
	c->fd = fd;
	c->peer_port = 80;
	c->app_port = ntohs(((struct sockaddr_in *)&own)->sin_port);
	g = peer_next(c, 1000);
	assert_non_null(g);
	c->irs = g->seq;
	peer_send(c, "F. 1:1(0) ack 0");
	peer_send(c, "F. 1:1(0) ack 1");
	peer_send(c, "F 1:1(0)");
}

/* ---- exempt ---- */

static void repair_mode(void **state)
{
	struct host *h = *state;
	struct conn c;
	int on = 1, off = -1;

	rule(h, ON_FIN);
	client(&c, h, 0);
	assert_int_equal(setsockopt(c.fd, IPPROTO_TCP, TCP_REPAIR, &on,
				    sizeof(on)), 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_take_acks(&c, 60000);
	expect_counter("exempt", 1);
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
	assert_int_equal(setsockopt(c.fd, IPPROTO_TCP, TCP_REPAIR, &off,
				    sizeof(off)), 0);
	peer_take_acks(&c, 60000);
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
	expect_counter("resets", 0);
}

/* Repair mode begins while the socket is being watched */
static void repair_mode_later(void **state)
{
	struct host *h = *state;
	struct conn c;
	int on = 1;

	rule(h, ON_FIN "--grace 5s");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	assert_int_equal(setsockopt(c.fd, IPPROTO_TCP, TCP_REPAIR, &on,
				    sizeof(on)), 0);
	peer_expect_nothing(&c, 60000);
	expect_counter("exempt", 1);
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
}

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/*
 * MPTCP over loopback: the peer is the kernel itself.  A subflow's FIN is
 * none of the target's business, and both ends stay as they are.  MPTCP may
 * have closed the subflow before the first look.
 */
static void mptcp(void **state)
{
	struct host *h = *state;
	struct sockaddr_storage a;
	socklen_t len = host_address(h->kind, &a, "127.0.0.1", "::1", 8080);
	int family = a.ss_family;
	int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC,
			      IPPROTO_MPTCP);
	int client, server;
	char byte;

	if (listener < 0) {
		print_message("# no MPTCP: %s\n", strerror(errno));
		skip();
	}
	host_keep(h, listener);
	rule(h, ON_FIN);
	client = host_keep(h, socket(family, SOCK_STREAM | SOCK_CLOEXEC,
				     IPPROTO_MPTCP));
	assert_int_equal(bind(listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&a, len), 0);
	server = host_keep(h, accept(listener, NULL, NULL));
	assert_int_equal(write(client, "x", 1), 1);
	assert_int_equal(read(server, &byte, 1), 1);
	shutdown(server, SHUT_WR);
	assert_int_equal(read(client, &byte, 1), 0);
	sleep_ms(5000);
	expect_counter("resets", 0);
	/* half-closed as it is, the connection still carries data */
	assert_int_equal(send(client, "y", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(read(server, &byte, 1), 1);
	host_close(h, client);
	host_close(h, server);
	sleep_ms(70000);
	expect_counter("resets", 0);
	assert_true(counter("fins") > 0);
	assert_int_equal(counter("fins"),
			 counter("exempt") + counter("closed") +
			 counter("wrong_state") + counter("no_socket"));
}

/* An MPTCP socket whose peer knows TCP only is still MPTCP's */
static void mptcp_fallback(void **state)
{
	struct host *h = *state;
	int fd = socket(h->kind == IPV4 ? AF_INET : AF_INET6,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			IPPROTO_MPTCP);
	struct sockaddr_storage a;
	socklen_t len = host_address(h->kind, &a, PEER_IPV4, PEER_IPV6, 80);
	struct conn c;

	if (fd < 0) {
		print_message("# no MPTCP: %s\n", strerror(errno));
		skip();
	}
	host_keep(h, fd);
	rule(h, ON_FIN);
	connect(fd, (struct sockaddr *)&a, len);
	peer_accept(&c, &h->peer, 80, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_take_acks(&c, 60000);
	expect_counter("resets", 0);
	expect_counter("exempt", 1);
}

#define BYSTANDER(name, options)					\
	static void name##_(void **state)				\
	{								\
		replay(state, name, options);				\
	}

BYSTANDER(app_closes_first, "")
BYSTANDER(fin_wait_1, "")
BYSTANDER(fin_wait_2_with_data, "")
BYSTANDER(simultaneous_close, "")
BYSTANDER(closed_with_unread_bytes, "")
BYSTANDER(response_after_shutdown, "")
BYSTANDER(orphan_with_unsent_data, "")
BYSTANDER(app_closes_after, "--grace 10s")
BYSTANDER(app_closes_at_once, "--grace 10s")
BYSTANDER(response_after_fin, "--grace 10s")
BYSTANDER(shutdown_after_fin, "--grace 10s")
BYSTANDER(aborted_after_fin, "--grace 10s")
BYSTANDER(peer_resets_after_fin, "--grace 10s")
BYSTANDER(listening, "")
BYSTANDER(syn_recv, "--grace 1h")
BYSTANDER(syn_recv_wrong_ack, "")
BYSTANDER(defer_accept, "")
BYSTANDER(syn_sent, "")

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(app_closes_first_),
		ON_ALL(fin_wait_1_),
		ON_ALL(fin_wait_2_with_data_),
		ON_ALL(simultaneous_close_),
		ON_ALL(closed_with_unread_bytes_),
		ON_ALL(response_after_shutdown_),
		ON_ALL(orphan_with_unsent_data_),
		ON_ALL(app_closes_after_),
		ON_ALL(app_closes_at_once_),
		ON_ALL(response_after_fin_),
		ON_ALL(shutdown_after_fin_),
		ON_ALL(aborted_after_fin_),
		ON_ALL(peer_resets_after_fin_),
		ON_ALL(listening_),
		ON_ALL(syn_recv_),
		ON_ALL(syn_recv_wrong_ack_),
		ON_ALL(defer_accept_),
		ON_ALL(syn_sent_),
		ON_ALL(repair_mode),
		ON_ALL(repair_mode_later),
		ON_ALL(mptcp),
		ON_ALL(mptcp_fallback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
