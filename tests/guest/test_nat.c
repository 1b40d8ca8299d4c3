// SPDX-License-Identifier: GPL-2.0-only
/*
 * NAT on the same host: INPUT sees other addresses than the socket has.
 *
 *	application ── OUTPUT: virtual ─> real address ── peer0 ── peer
 *	application <─ INPUT: from the real address    ── peer0 ── peer
 *
 * Tables that have INPUT are tried one by one.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/ip_vs.h>

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
	app_begins(c);
}

static void output_dnat(void **state)
{
	struct host *h = *state;
	struct conn c;

	skip_without("xt_nat");
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
		app_write_fails(&c, ECONNRESET);
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

	skip_without("xt_nat");
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

	skip_without("xt_nat");
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

/* A client's socket at port 5555, which it shares with another one */
static int shared_port(struct host *h)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(h->kind, &a, APP_IPV4, APP_IPV6, 5555);
	int fd = host_socket(h), one = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one,
				    sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	return fd;
}

static void dial(struct conn *c, struct host *h, int fd, const char *ipv4,
		 const char *ipv6, uint16_t port)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(h->kind, &a, ipv4, ipv6, port);

	if (!connect(fd, (struct sockaddr *)&a, len) || errno != EINPROGRESS)
		peer_fail(NULL, "connect: %s", strerror(errno));
	peer_accept(c, &h->peer, 8080, 0);
	c->fd = fd;
	app_wait_state(c, TCP_ESTABLISHED, 1000);
	app_begins(c);
}

/*
 * Two connections to the same server from one local port: one through the
 * virtual address, one straight to the real one, which conntrack gives another
 * port on the wire.  Early demux takes the first one's segments for the second
 * one's, whose addresses they have.  On IPv6 nothing takes that back later:
 * Linux itself gives them to the wrong socket, rule or not.
 */
static void same_port_twice(void **state)
{
	struct host *h = *state;
	struct conn virtual, straight;

	skip_without("xt_nat");
	route();
	rule(h, "-t nat -A OUTPUT -p tcp -d %s --dport 80 "
	     "-j DNAT --to-destination %s:8080",
	     v6(h) ? VIRTUAL_IPV6 : VIRTUAL_IPV4,
	     v6(h) ? "[" PEER_IPV6 "]" : PEER_IPV4);
	for (int first = 0; first < 2; first++) {
		struct conn *one = first ? &straight : &virtual;
		struct conn *other = first ? &virtual : &straight;

		rule(h, ON_FIN);
		dial(&virtual, h, shared_port(h), VIRTUAL_IPV4, VIRTUAL_IPV6,
		     80);
		dial(&straight, h, shared_port(h), PEER_IPV4, PEER_IPV6, 8080);
		assert_int_equal(virtual.app_port, 5555);
		assert_int_not_equal(straight.app_port, 5555);

		peer_send(one, "F. 1:1(0) ack 1");
		peer_expect(one, "R. 1:1(0) ack 2");
		app_wait_state(one, TCP_CLOSE, 0);
		app_write_fails(one, ECONNRESET);
		peer_expect_nothing(other, 1000);
		assert_int_equal(app_state(other), TCP_ESTABLISHED);
		peer_send(other, "F. 1:1(0) ack 1");
		peer_expect(other, "R. 1:1(0) ack 2");
		app_wait_state(other, TCP_CLOSE, 0);
		expect_counter("resets", 2 * first + 2);
		expect_counter("repeated", 0);
		expect_counter("watching", 0);
		rule(h, "-t mangle -F");
		host_close(h, virtual.fd);
		host_close(h, straight.fd);
		/* conntrack forgets them, and the ports are free again */
		peer_expect_nothing(&virtual, 15000);
	}
}

/*
 * IPVS on the same host: out to a virtual service, and translated by IPVS
 * itself, which conntrack is told of if net.ipv4.vs.conntrack is 1.
 */
static void ipvs_service(uint16_t port)
{
	struct ip_vs_service_user s = {
		.protocol = IPPROTO_TCP,
		.addr = inet_addr(VIRTUAL_IPV4),
		.port = htons(80),
		.sched_name = "rr",
		.netmask = 0xffffffff,
	};
	struct {
		struct ip_vs_service_user s;
		struct ip_vs_dest_user d;
	} server = {
		.d.addr = inet_addr(PEER_IPV4),
		.d.port = htons(port),
		.d.conn_flags = IP_VS_CONN_F_MASQ,
		.d.weight = 1,
	};
	int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);

	assert_true(raw >= 0);
	server.s = s;
	if (setsockopt(raw, IPPROTO_IP, IP_VS_SO_SET_ADD, &s, sizeof(s)) ||
	    setsockopt(raw, IPPROTO_IP, IP_VS_SO_SET_ADDDEST, &server,
		       sizeof(server)))
		peer_fail(NULL, "IPVS: %s", strerror(errno));
	close(raw);
}

static void ipvs_up(struct host *h)
{
	skip_without("ip_vs");
	skip_without("ip_vs_rr");
	route();
	/* loads conntrack's hooks, and is what sees the FIN */
	rule(h, "-t filter -A INPUT -m conntrack --ctstate ESTABLISHED");
	ipvs_service(8080);
}

static void ipvs_with_conntrack(void **state)
{
	struct host *h = *state;
	struct conn c;

	ipvs_up(h);
	if (access("/proc/sys/net/ipv4/vs/conntrack", W_OK)) {
		print_message("# this kernel's IPVS knows no conntrack\n");
		skip();
	}
	set("/proc/sys/net/ipv4/vs/conntrack", "1");
	EACH_TABLE {
		rule(h, "-t %s -A INPUT -p tcp --tcp-flags FIN FIN -j HALFRST",
		     tables[i]);
		connect_to_virtual(&c, h);
		peer_send(&c, "F. 1:1(0) ack 1");
		peer_expect(&c, "R. 1:1(0) ack 2");
		app_wait_state(&c, TCP_CLOSE, 0);
		app_write_fails(&c, ECONNRESET);
		expect_counter("resets", i + 1);
		rule(h, "-t %s -F INPUT", tables[i]);
		rule(h, "-t filter -A INPUT -m conntrack --ctstate ESTABLISHED");
	}
	expect_counter("no_socket", 0);
}

/* As the README says: not found, and left alone */
static void ipvs_without_conntrack(void **state)
{
	struct host *h = *state;
	struct conn c;

	skip_by_helper("it needs conntrack");
	ipvs_up(h);
	rule(h, ON_FIN);
	connect_to_virtual(&c, h);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	peer_expect_nothing(&c, 5000);
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
	expect_counter("no_socket", 1);
	expect_counter("resets", 0);
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
		carry_byte(c.fd, server);
		shutdown(server, SHUT_WR);
		app_wait_state(&c, TCP_CLOSE, 1000);
		app_read_eof(&c);
		app_write_fails(&c, ECONNRESET);
		wait_for(read(server, &byte, 1) == -1 && errno == ECONNRESET,
			 1000);
		host_close(h, server);
		expect_counter("resets", i + 1);
		rule(h, "-t %s -F INPUT", tables[i]);
	}
	expect_counter("no_socket", 0);
}

/* The peer connects to @port, which ends at the local server's */
static void server_in_each_table(struct host *h, uint16_t port)
{
	int listener = host_listen(h, 8080);
	struct conn c;

	EACH_TABLE {
		rule(h, "-t %s -A INPUT -p tcp --tcp-flags FIN FIN -j HALFRST",
		     tables[i]);
		peer_connect(&c, &h->peer, port, 0);
		c.fd = host_keep(h, accept4(listener, NULL, NULL,
					    SOCK_NONBLOCK));
		app_begins(&c);
		peer_send(&c, "F. 1:1(0) ack 1");
		peer_expect(&c, "R. 1:1(0) ack 2");
		app_wait_state(&c, TCP_CLOSE, 0);
		expect_counter("resets", i + 1);
		rule(h, "-t %s -F INPUT", tables[i]);
	}
	expect_counter("no_socket", 0);
}

/* The peer comes in through a redirected port */
static void prerouting_redirect(void **state)
{
	struct host *h = *state;

	rule(h, "-t nat -A PREROUTING -p tcp --dport 80 "
	     "-j REDIRECT --to-ports 8080");
	server_in_each_table(h, 80);
}

/* The local server sees every client as one address: SNAT behind INPUT */
static void input_snat(void **state)
{
	struct host *h = *state;

	skip_without("xt_nat");
	route();
	rule(h, "-t nat -A INPUT -p tcp --dport 8080 -j SNAT --to-source %s",
	     v6(h) ? VIRTUAL_IPV6 : VIRTUAL_IPV4);
	server_in_each_table(h, 8080);
}

/* Tracked but not translated, and not tracked at all */
static void conntrack_without_nat(void **state)
{
	struct host *h = *state;
	struct conn c;

	skip_by_helper("it needs conntrack");
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

/*
 * Namespaces on a bridge, as Docker and kube-proxy make them; real TCP at
 * both ends.  A service's virtual address is translated on the host, and who
 * connects to it is masqueraded:
 *
 *	  pod1 ── bridge of the host ── pod2, the service on 8080
 *	10.1.1.2      10.1.1.1        10.1.1.3
 */
static void pods(struct host *h)
{
	skip_without("bridge");
	skip_without("xt_nat");
	run("ip link add br0 type bridge && ip link set br0 up && "
	    "ip addr add 10.1.1.1/24 dev br0 && "
	    "ip addr add 2001:db8:2::1/64 dev br0 nodad");
	set("/proc/sys/net/ipv4/ip_forward", "1");
	set("/proc/sys/net/ipv6/conf/all/forwarding", "1");
	for (int i = 1; i <= 2; i++) {
		/* there is one if a test before this one has failed */
		run("[ ! -e /run/netns/pod%d ] || ip netns del pod%d", i, i);
		run("ip netns add pod%d && ip link add pod%d type veth "
		    "peer name eth0 netns pod%d && "
		    "ip link set pod%d master br0 up", i, i, i, i);
		run("ip -n pod%d addr add 10.1.1.%d/24 dev eth0 && "
		    "ip -n pod%d addr add 2001:db8:2::%d/64 dev eth0 nodad && "
		    "ip -n pod%d link set lo up && "
		    "ip -n pod%d link set eth0 up && "
		    "ip -n pod%d route add default via 10.1.1.1 && "
		    "ip -n pod%d route add default via 2001:db8:2::1",
		    i, i + 1, i, i + 1, i, i, i, i);
	}
	rule(h, "-t nat -N SERVICES");
	rule(h, "-t nat -A SERVICES -p tcp -d %s --dport 80 "
	     "-j DNAT --to-destination %s:8080",
	     v6(h) ? VIRTUAL_IPV6 : VIRTUAL_IPV4,
	     v6(h) ? "[2001:db8:2::3]" : "10.1.1.3");
	rule(h, "-t nat -A PREROUTING -j SERVICES");
	rule(h, "-t nat -A OUTPUT -j SERVICES");
	rule(h, "-t nat -A POSTROUTING -p tcp --dport 8080 -j MASQUERADE");
	/* the host's own way to what never leaves it */
	run("ip route add %s dev br0", v6(h) ? VIRTUAL_IPV6 : VIRTUAL_IPV4);
}

static void pods_down(void)
{
	run("ip netns del pod1 && ip netns del pod2");
}

static void enter(const struct host *h, int pod)
{
	char path[32];
	int fd;

	if (!pod) {
		host_enter(h);
		return;
	}
	snprintf(path, sizeof(path), "/run/netns/pod%d", pod);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(setns(fd, CLONE_NEWNET), 0);
	close(fd);
}

/*
 * Connects @from one namespace to the service in @to; the process stays in
 * @from.
 */
static void connect_pods(struct conn *c, struct conn *s, struct host *h,
			 int from, int to, const char *ipv4, const char *ipv6)
{
	struct sockaddr_storage a;
	socklen_t len;
	int listener;

	enter(h, to);
	listener = host_socket(h);
	len = host_address(h->kind, &a, "0.0.0.0", "::", 8080);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	enter(h, from);
	memset(c, 0, sizeof(*c));
	memset(s, 0, sizeof(*s));
	c->peer = &h->peer;
	s->peer = &h->peer;
	c->fd = host_socket(h);
	len = host_address(h->kind, &a, ipv4, ipv6, 80);
	connect(c->fd, (struct sockaddr *)&a, len);
	app_wait_state(c, TCP_ESTABLISHED, 5000);
	s->fd = host_accept(h, listener);
	host_close(h, listener);
	carry_byte(c->fd, s->fd);
}

/* @near has the rule, and its peer has said FIN: both ends get rid of it */
static void both_reset(struct conn *near, struct conn *far)
{
	char byte;

	assert_int_equal(shutdown(far->fd, SHUT_WR), 0);
	app_wait_state(near, TCP_CLOSE, 5000);
	app_read_eof(near);
	app_write_fails(near, ECONNRESET);
	wait_for(read(far->fd, &byte, 1) == -1 && errno == ECONNRESET, 5000);
}

/* Pod @from, 0 for the host, connects to an address of pod @to; the rule of
 * one end, @at, resets that end.
 */
static void reset_at(struct host *h, int at, int from, int to,
		     const char *ipv4, const char *ipv6)
{
	struct conn c, s;

	enter(h, at);
	rule(h, ON_FIN);
	connect_pods(&c, &s, h, from, to, ipv4, ipv6);
	if (at == from)
		both_reset(&c, &s);
	else
		both_reset(&s, &c);
	enter(h, at);
	expect_counter("resets", 1);
	expect_counter("no_socket", 0);
	enter(h, 0);
	pods_down();
}

static void service_from_pod(void **state)
{
	pods(*state);
	reset_at(*state, 1, 1, 2, VIRTUAL_IPV4, VIRTUAL_IPV6);
}

/* The rule sees the service's real address and the host's own port */
static void service_from_host(void **state)
{
	pods(*state);
	reset_at(*state, 0, 0, 2, VIRTUAL_IPV4, VIRTUAL_IPV6);
}

/* The service's own rule, its client being masqueraded */
static void service_itself(void **state)
{
	pods(*state);
	reset_at(*state, 2, 1, 2, VIRTUAL_IPV4, VIRTUAL_IPV6);
}

/* A pod is a client of its own service: out to the host and back */
static void service_from_itself(void **state)
{
	pods(*state);
	reset_at(*state, 2, 2, 2, VIRTUAL_IPV4, VIRTUAL_IPV6);
}

/* A server of the host behind REDIRECT, its client in a pod */
static void redirect_from_pod(void **state)
{
	struct host *h = *state;

	pods(h);
	rule(h, "-t nat -I PREROUTING -i br0 -p tcp --dport 80 "
	     "-j REDIRECT --to-ports 8080");
	reset_at(h, 0, 1, 0, "10.1.1.1", "2001:db8:2::1");
}

/* What the host forwards is not its own: its rule never sees these FINs */
static void forwarded(void **state)
{
	struct host *h = *state;
	struct conn c, s;

	pods(h);
	rule(h, ON_FIN);
	connect_pods(&c, &s, h, 1, 2, VIRTUAL_IPV4, VIRTUAL_IPV6);
	assert_int_equal(shutdown(s.fd, SHUT_WR), 0);
	app_wait_state(&c, TCP_CLOSE_WAIT, 5000);
	sleep_ms(2000);
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
	enter(h, 0);
	expect_counter("fins", 0);
	if (by_helper())
		run("conntrack -L 2>/dev/null | grep -q helper=halfrst");
	pods_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(output_dnat),
		ON_ALL(output_dnat_and_owner),
		ON_ALL(output_dnat_and_snat),
		ON_IPV4(same_port_twice), ON_MAPPED(same_port_twice),
		ON_IPV4(ipvs_with_conntrack), ON_MAPPED(ipvs_with_conntrack),
		ON_IPV4(ipvs_without_conntrack),
		ON_ALL(output_redirect),
		ON_ALL(prerouting_redirect),
		ON_ALL(input_snat),
		ON_ALL(conntrack_without_nat),
		ON_ALL(service_from_pod),
		ON_ALL(service_from_host),
		ON_ALL(service_itself),
		ON_ALL(service_from_itself),
		ON_ALL(redirect_from_pod),
		ON_ALL(forwarded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
