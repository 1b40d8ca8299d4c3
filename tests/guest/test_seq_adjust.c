// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount
 *
 * conntrack's helper for FTP writes the address that NAT has chosen into the
 * peer's command, which makes it longer: from there on a rule sees numbers that
 * are not those of the socket.  A FIN is known all the same.
 *
 *	peer ── peer0 ── INPUT: the rule, then SNAT, EPRT and its numbers ── server
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fin.h"
#include "rules.h"

#define OTHER_IPV4	"192.0.2.222"
#define OTHER_IPV6	"2001:0db8:0000:0000:0000:0000:0000:2222"

static void skip_without_ftp(void)
{
	skip_by_helper("a connection has one, and that is FTP's");
	skip_without("xt_CT");
	skip_without("xt_nat");
	skip_without("nf_nat_ftp");
}

/* A server for FTP whose peers look as if they came from another address */
static void serve(struct conn *c, struct host *h)
{
	const bool v6 = h->kind == IPV6;
	int listener;

	skip_without_ftp();
	rule(h, "-t raw -A PREROUTING -p tcp --dport 21 -j CT --helper ftp");
	rule(h, "-t nat -A INPUT -p tcp --dport 21 -j SNAT --to-source %s",
	     v6 ? OTHER_IPV6 : OTHER_IPV4);
	listener = host_listen(h, 21);
	peer_connect(c, &h->peer, 21, 0);
	c->fd = host_accept(h, listener);
	host_close(h, listener);
	app_begins(c);
}

/* The peer says @text at number @at; returns the one behind it */
static int say(struct conn *c, int at, const char *text)
{
	int len = strlen(text);

	peer_send_bytes(c, text, "P. %d:%d(%d) ack 1", at, at + len, len);
	return at + len;
}

/* ... and the application hears it */
static void hear(struct conn *c, const char *text)
{
	char heard[128] = "";
	int len = strlen(text);

	wait_for(app_unread(c) >= len, PEER_PATIENCE);
	assert_int_equal(read(c->fd, heard, sizeof(heard) - 1), len);
	assert_string_equal(heard, text);
}

/* Returns the peer's next number; the socket's is greater by @longer */
static int active_mode(struct conn *c, struct host *h, int *longer)
{
	const bool v6 = h->kind == IPV6;
	const char *said = v6 ? "EPRT |2|" PEER_IPV6 "|1025|\r\n" :
				"PORT 192,0,2,2,4,1\r\n";
	const char *heard = v6 ? "EPRT |2|" OTHER_IPV6 "|1025|\r\n" :
				 "PORT 192,0,2,222,4,1\r\n";
	int at = say(c, 1, "USER anonymous\r\n");

	hear(c, "USER anonymous\r\n");
	at = say(c, at, said);
	hear(c, heard);
	*longer = strlen(heard) - strlen(said);
	assert_true(*longer > 0);
	peer_take_acks(c, 300);
	/* the peer sees its own numbers acknowledged */
	assert_int_equal(c->app_ack, at);
	return at;
}

static void after_it(void **state)
{
	struct host *h = *state;
	int64_t start;
	struct conn c;
	int at, longer;

	serve(&c, h);
	rule(h, ON_FIN);
	at = active_mode(&c, h, &longer);
	start = now_us();
	peer_send(&c, "F. %d:%d(0) ack 1", at, at);
	fin_reset(&c, start, 0, 100, ECONNRESET);
	expect_counter("expired", 0);
}

/* Data is missing in front of it */
static void behind_a_hole(void **state)
{
	struct host *h = *state;
	int64_t start;
	struct conn c;
	int at, longer;

	serve(&c, h);
	rule(h, ON_FIN);
	at = active_mode(&c, h, &longer);
	peer_send(&c, "F. %d:%d(0) ack 1", at + 6, at + 6);
	expect_counter("watching", 1);
	say(&c, at, "QUIT\r\n");
	hear(&c, "QUIT\r\n");
	start = now_us();
	fin_reset(&c, start, 0, 1000, ECONNRESET);
	expect_counter("expired", 0);
}

/* One with the socket's own numbers, as nobody sends them, is another FIN */
static void not_adjusted(void **state)
{
	struct host *h = *state;
	struct conn c;
	int at, longer;

	serve(&c, h);
	fin_rule(h, 1, "");
	at = active_mode(&c, h, &longer);
	fin_send(h, &c, &(struct fin){ .at = at + longer, .mark = 1 });
	peer_send(&c, "F. %d:%d(0) ack 1", at, at);
	fin_no_reset(&c, 10000);
}

static int lo_socket(struct host *h, struct sockaddr_storage *a, socklen_t *len)
{
	*len = host_address(h->kind, a, "127.0.0.1", "::1", 21);
	return host_socket(h);
}

/* There the numbers are adjusted when a segment leaves, and not once more */
static void on_loopback(void **state)
{
	static const char said[] = "PORT 127,0,0,1,4,1\r\n",
			  heard[] = "PORT 127,0,0,222,4,1\r\n";
	struct host *h = *state;
	struct sockaddr_storage a;
	struct conn c = { 0 };
	int listener, peer;
	socklen_t len;

	skip_without_ftp();
	rule(h, "-t raw -A OUTPUT -p tcp --dport 21 -j CT --helper ftp");
	rule(h, "-t nat -A POSTROUTING -p tcp --dport 21 -j SNAT --to-source 127.0.0.222");
	rule(h, ON_FIN);
	listener = lo_socket(h, &a, &len);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	peer = lo_socket(h, &a, &len);
	connect(peer, (struct sockaddr *)&a, len);
	c.fd = host_accept(h, listener);
	carry_byte(c.fd, peer);
	assert_int_equal(send(peer, "USER x\r\n", 8, 0), 8);
	hear(&c, "USER x\r\n");
	assert_int_equal(send(peer, said, strlen(said), 0), strlen(said));
	hear(&c, heard);
	host_close(h, peer);
	app_wait_state(&c, TCP_CLOSE, 1000);
	app_write_fails(&c, ECONNRESET);
	expect_counter("resets", 1);
	expect_counter("expired", 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(after_it),
		ON_ALL(behind_a_hole),
		ON_ALL(not_adjusted),
		ON_IPV4(on_loopback), ON_MAPPED(on_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
