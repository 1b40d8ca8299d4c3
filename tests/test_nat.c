// SPDX-License-Identifier: GPL-2.0-only
/*
 * NAT on the same host: INPUT sees other addresses than the socket has.
 *
 *	application ── OUTPUT: virtual ─> real address ── peer0 ── peer
 *	application <─ INPUT: from the real address    ── peer0 ── peer
 *
 * Tables that have INPUT are tried one by one.
 */

#include <errno.h>
#include <unistd.h>

#include "host.h"
#include "rules.h"

#define VIRTUAL_IPV4	"198.51.100.1"
#define VIRTUAL_IPV6	"2001:db8:1::1"

static const char *const tables[] = { "mangle", "filter", "security" };

#define EACH_TABLE	for (int i = 0; i < 3; i++)

static void route(void)
{
	run("ip -4 route add default dev peer0 && "
	    "ip -6 route add default dev peer0");
	/* replies to a virtual address come from a real one */
	run("for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done");
}

static bool v6(const struct host *h)
{
	return h->kind == IPV6;
}

static void connect_to_virtual(struct conn *c, struct host *h)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(h->kind, &a, VIRTUAL_IPV4, VIRTUAL_IPV6,
				     80);
	int fd = host_socket(h);

	if (!connect(fd, (struct sockaddr *)&a, len) || errno != EINPROGRESS)
		peer_fail(NULL, "connect");
	peer_accept(c, &h->peer, 8080, 0);
	c->fd = fd;
	app_wait_state(c, TCP_ESTABLISHED, 1000);
}

static void output_dnat(void **state)
{
	struct host *h = *state;
	struct conn c;

	route();
	rule(h, "-t nat -A OUTPUT -p tcp -d %s --dport 80 "
	     "-j DNAT --to-destination %s:8080",
	     v6(h) ? VIRTUAL_IPV6 : VIRTUAL_IPV4,
	     v6(h) ? "[" PEER_IPV6 "]" : PEER_IPV4);
	EACH_TABLE {
		rule(h, "-t %s -A INPUT -p tcp --tcp-flags FIN FIN -j HALFRST",
		     tables[i]);
		connect_to_virtual(&c, h);
		peer_send(&c, "F. 1:1(0) ack 1");
		peer_expect(&c, "R. 1:1(0) ack 2");
		app_wait_state(&c, TCP_CLOSE, 0);
		app_write_fails(&c, EPIPE);
		peer_expect_nothing(&c, 10000);
		expect_counter("resets", i + 1);
		rule(h, "-t %s -F INPUT", tables[i]);
	}
	expect_counter("no_socket", 0);
}

static void output_dnat_and_owner(void **state)
{
	struct host *h = *state;
	struct conn c;

	route();
	rule(h, "-t nat -A OUTPUT -p tcp -d %s --dport 80 "
	     "-j DNAT --to-destination %s:8080",
	     v6(h) ? VIRTUAL_IPV6 : VIRTUAL_IPV4,
	     v6(h) ? "[" PEER_IPV6 "]" : PEER_IPV4);
	rule(h, ON_FIN "! --uid-owner 0");
	connect_to_virtual(&c, h);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	expect_counter("other_owner", 1);
	peer_expect_nothing(&c, 10000);
}

/* Source and destination are both rewritten */
static void output_dnat_and_snat(void **state)
{
	struct host *h = *state;
	struct conn c;

	route();
	rule(h, "-t nat -A OUTPUT -p tcp -d %s --dport 80 "
	     "-j DNAT --to-destination %s:8080",
	     v6(h) ? VIRTUAL_IPV6 : VIRTUAL_IPV4,
	     v6(h) ? "[" PEER_IPV6 "]" : PEER_IPV4);
	rule(h, "-t nat -A POSTROUTING -p tcp --dport 8080 "
	     "-j SNAT --to-source %s:40000",
	     v6(h) ? "[" APP_IPV6 "]" : APP_IPV4);
	rule(h, ON_FIN);
	connect_to_virtual(&c, h);
	assert_int_equal(c.app_port, 40000);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 2");
	app_wait_state(&c, TCP_CLOSE, 0);
	expect_counter("resets", 1);
}

/*
 * A local server behind REDIRECT: both ends are sockets of this host.  What
 * the rule sees of the server was translated on its way out already.
 */
static void output_redirect(void **state)
{
	struct host *h = *state;
	struct sockaddr_storage a;
	socklen_t len;
	struct conn c = { .peer = &h->peer };
	int listener, server;

	route();
	rule(h, "-t nat -A OUTPUT -p tcp --dport 80 "
	     "-j REDIRECT --to-ports 3128");
	EACH_TABLE {
		char byte;

		rule(h, "-t %s -A INPUT -p tcp ! --dport 3128 "
		     "--tcp-flags FIN FIN -j HALFRST", tables[i]);
		listener = host_socket(h);
		len = host_address(h->kind, &a, "127.0.0.1", "::1", 3128);
		assert_int_equal(bind(listener, (struct sockaddr *)&a, len), 0);
		assert_int_equal(listen(listener, 1), 0);
		c.fd = host_socket(h);
		len = host_address(h->kind, &a, VIRTUAL_IPV4, VIRTUAL_IPV6, 80);
		connect(c.fd, (struct sockaddr *)&a, len);
		app_wait_state(&c, TCP_ESTABLISHED, 1000);
		server = host_accept(h, listener);
		host_close(h, listener);
		shutdown(server, SHUT_WR);
		app_wait_state(&c, TCP_CLOSE, 1000);
		app_read_eof(&c);
		app_write_fails(&c, EPIPE);
		wait_for(read(server, &byte, 1) == -1 && errno == ECONNRESET,
			 1000);
		host_close(h, server);
		expect_counter("resets", i + 1);
		rule(h, "-t %s -F INPUT", tables[i]);
	}
	expect_counter("no_socket", 0);
}

/* The peer comes in through a redirected port */
static void prerouting_redirect(void **state)
{
	struct host *h = *state;
	struct conn c;
	int listener = host_listen(h, 8080);

	rule(h, "-t nat -A PREROUTING -p tcp --dport 80 "
	     "-j REDIRECT --to-ports 8080");
	EACH_TABLE {
		rule(h, "-t %s -A INPUT -p tcp --tcp-flags FIN FIN -j HALFRST",
		     tables[i]);
		peer_connect(&c, &h->peer, 80, 0);
		c.fd = host_keep(h, accept4(listener, NULL, NULL,
					    SOCK_NONBLOCK));
		peer_send(&c, "F. 1:1(0) ack 1");
		peer_expect(&c, "R. 1:1(0) ack 2");
		app_wait_state(&c, TCP_CLOSE, 0);
		expect_counter("resets", i + 1);
		rule(h, "-t %s -F INPUT", tables[i]);
	}
	expect_counter("no_socket", 0);
}

/* The local server sees every client as one address: SNAT behind INPUT */
static void input_snat(void **state)
{
	struct host *h = *state;
	struct conn c;
	int listener = host_listen(h, 8080);

	route();
	rule(h, "-t nat -A INPUT -p tcp --dport 8080 -j SNAT --to-source %s",
	     v6(h) ? VIRTUAL_IPV6 : VIRTUAL_IPV4);
	EACH_TABLE {
		rule(h, "-t %s -A INPUT -p tcp --tcp-flags FIN FIN -j HALFRST",
		     tables[i]);
		peer_connect(&c, &h->peer, 8080, 0);
		c.fd = host_keep(h, accept4(listener, NULL, NULL,
					    SOCK_NONBLOCK));
		peer_send(&c, "F. 1:1(0) ack 1");
		peer_expect(&c, "R. 1:1(0) ack 2");
		app_wait_state(&c, TCP_CLOSE, 0);
		expect_counter("resets", i + 1);
		rule(h, "-t %s -F INPUT", tables[i]);
	}
	expect_counter("no_socket", 0);
}

/* Tracked but not translated, and not tracked at all */
static void conntrack_without_nat(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, "-t filter -A INPUT -m conntrack --ctstate ESTABLISHED");
	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 2");
	rule(h, "-t raw -A PREROUTING -j CT --notrack");
	rule(h, "-t raw -A OUTPUT -j CT --notrack");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 2");
	expect_counter("resets", 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(output_dnat),
		ON_ALL(output_dnat_and_owner),
		ON_ALL(output_dnat_and_snat),
		ON_ALL(output_redirect),
		ON_ALL(prerouting_redirect),
		ON_ALL(input_snat),
		ON_ALL(conntrack_without_nat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
