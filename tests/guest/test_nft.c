// SPDX-License-Identifier: GPL-2.0-only
/*
 * nftables: a connection whose conntrack helper is one of HALFRST's is reset
 * like one whose FIN meets a rule.  What nft selects, and what it must not.
 *
 * The promises' own tests run by helper, too: see test_nft_promises.sh.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crowd.h"
#include "dice.h"
#include "host.h"
#include "kernel.h"
#include "rules.h"

#define MODULE	"/sys/module/nf_conntrack_halfrst"

/* Debian 11's lists IPv4 if it is not asked */
#define LIST_CONNTRACK	\
	"{ conntrack -L -f ipv4; conntrack -L -f ipv6; } 2>/dev/null"

/* Lines of a ruleset in the syntax of nft -f */
#define nft(...) do {							\
	char text_[4096];						\
	snprintf(text_, sizeof(text_), __VA_ARGS__);			\
	nft_file(text_);						\
} while (0)

static void nft_file(const char *text)
{
	const char *path = "/tmp/ruleset";
	FILE *f = fopen(path, "we");

	if (!f || fputs(text, f) < 0 || fclose(f))
		peer_fail(NULL, "%s: %s", path, strerror(errno));
	run("nft -f %s", path);
}

/* A table with one helper, assigned by these words of a rule */
static void table(const char *family, const char *helper, const char *hook,
		  const char *match)
{
	nft("table %s t {\n"
	    "	ct helper hr { type \"%s\" protocol tcp; }\n"
	    "	chain c {\n"
	    "		type filter hook %s priority 0;\n"
	    "		%s ct helper set \"hr\"\n"
	    "	}\n"
	    "}\n", family, helper, hook, match);
}

/* One connection of the application's whose peer closes */
static void peer_closes(struct host *h, int fd, bool reset)
{
	unsigned long fins = counter("fins"), resets = counter("resets");
	struct conn c;

	client_with(&c, h, 0, fd);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, reset ? "R. 1:1(0) ack 2" : ". 1:1(0) ack 2");
	peer_expect_nothing(&c, 5000);
	if (reset) {
		app_read_eof(&c);
		app_write_fails(&c, ECONNRESET);
	} else {
		assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
	}
	expect_counter("fins", fins + reset);
	expect_counter("resets", resets + reset);
	host_close(h, c.fd);
}

/* The first screen's: the module loads by itself, inet has both families */
static void six_lines(void **state)
{
	struct host *h = *state;

	table("inet", "halfrst", "output", "meta skuid 0 tcp dport 80");
	peer_closes(h, host_socket(h), true);
	run(LIST_CONNTRACK " | grep -q helper=halfrst");
	expect_counter("no_socket", 0);
	expect_counter("wrong_state", 0);
}

/* ip and ip6 have their own family only; mapped sockets' packets are IPv4 */
static void families(void **state)
{
	struct host *h = *state;

	table("ip", "halfrst", "output", "tcp dport 80");
	peer_closes(h, host_socket(h), h->kind != IPV6);
	nft("flush ruleset\n");
	table("ip6", "halfrst", "output", "tcp dport 80");
	peer_closes(h, host_socket(h), h->kind == IPV6);
}

static int socket_of(struct host *h, uid_t uid)
{
	int fd;

	setfsuid(uid);
	fd = host_socket(h);
	setfsuid(0);
	return fd;
}

static void by_uid(void **state)
{
	struct host *h = *state;

	table("inet", "halfrst", "output", "meta skuid alice");
	peer_closes(h, socket_of(h, 10400), true);
	peer_closes(h, socket_of(h, 10401), false);
	peer_closes(h, socket_of(h, 0), false);
}

/* A server's connections, by the port that their first packet comes to */
static void by_port(void **state)
{
	struct host *h = *state;
	struct conn c;

	table("inet", "halfrst-1s", "input", "tcp dport 8080");
	server(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	peer_expect_within(&c, 1300, "R. 1:1(0) ack 2");
	expect_counter("resets", 1);
	/* the application's own, to port 80 */
	peer_closes(h, host_socket(h), false);
}

/* A systemd service is a control group; its sockets are opened in there */
static void by_cgroup(void **state)
{
	struct host *h = *state;
	int mine;

	if (run_status("cd /sys/fs && { mountpoint -q cgroup || "
		       "mount -t cgroup2 none cgroup; } && "
		       "mkdir -p cgroup/client.service") ||
	    run_status("nft 'add table inet t; add chain inet t c; add rule "
		       "inet t c socket cgroupv2 level 1 \"client.service\"' "
		       "2>/dev/null")) {
		print_message("# no \"socket cgroupv2\" here\n");
		skip();
	}
	nft("flush ruleset\n");
	table("inet", "halfrst", "output",
	      "socket cgroupv2 level 1 \"client.service\"");
	set("/sys/fs/cgroup/client.service/cgroup.procs", "0");
	mine = host_socket(h);
	set("/sys/fs/cgroup/cgroup.procs", "0");
	peer_closes(h, mine, true);
	peer_closes(h, host_socket(h), false);
	nft("flush ruleset\n");
	rmdir("/sys/fs/cgroup/client.service");
}

/* Each name keeps what it says: still watched at G, gone by 1.25 G */
static void names(void **state)
{
	static const struct {
		const char *name;
		int grace_ms;
	} helpers[] = {
		{ "halfrst-1s", 1000 },
		{ "halfrst-10s", 10000 },
		{ "halfrst-1m", 60000 },
		{ "halfrst-5m", 300000 },
		{ "halfrst-30m", 1800000 },
	};
	struct host *h = *state;
	const struct segment *g;
	struct conn c;
	int64_t start;

	for (size_t i = 0; i < sizeof(helpers) / sizeof(*helpers); i++) {
		int ms = helpers[i].grace_ms;

		table("inet", helpers[i].name, "output", "tcp dport 80");
		client(&c, h, 0);
		start = now_us();
		peer_send(&c, "F. 1:1(0) ack 1");
		peer_expect(&c, ". 1:1(0) ack 2");
		g = peer_expect_within(&c, ms + ms / 4 + 10 +
				       timer_slack(ms * 1000LL / 4) / 1000,
				       "R. 1:1(0) ack 2");
		if (g->when - start < ms * 1000LL)
			peer_fail(&c, "%s: after %lld us", helpers[i].name,
				  (long long)(g->when - start));
		nft("flush ruleset\n");
	}
	expect_counter("resets", sizeof(helpers) / sizeof(*helpers));
}

static void dry(void **state)
{
	struct host *h = *state;
	struct conn c;

	table("inet", "halfrst-dry", "output", "tcp dport 80");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	peer_expect_nothing(&c, 299000);
	expect_counter("dry_run", 0);
	peer_expect_nothing(&c, 500000);
	expect_counter("dry_run", 1);
	expect_counter("resets", 0);
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
}

/* A listener on this address of this host's, a client that has sent a byte */
static void local_pair(struct host *h, int *client, int *server)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(h->kind, &a, "127.0.0.1", "::1", 8080);
	struct conn c = { .peer = &h->peer };
	int listener = host_socket(h), one = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	c.fd = host_socket(h);
	connect(c.fd, (struct sockaddr *)&a, len);
	app_wait_state(&c, TCP_ESTABLISHED, 1000);
	*client = c.fd;
	*server = host_accept(h, listener);
	host_close(h, listener);
	carry_byte(*client, *server);
}

/* On loopback a FIN passes POST_ROUTING and LOCAL_IN, with the same route */
static void loopback(void **state)
{
	struct host *h = *state;
	struct conn c = { .peer = &h->peer };
	int server;

	table("inet", "halfrst-10s", "output", "meta l4proto tcp");
	local_pair(h, &c.fd, &server);
	shutdown(server, SHUT_WR);
	app_wait_state(&c, TCP_CLOSE_WAIT, 1000);
	expect_counter("fins", 1);
	expect_counter("watching", 1);
	/* one that the application closes: two FINs, two times counted */
	host_close(h, c.fd);
	host_close(h, server);
	expect_counter("fins", 2);
	expect_counter("closed", 1);
	expect_counter("resets", 0);

	nft("flush ruleset\n");
	table("inet", "halfrst", "output", "meta l4proto tcp");
	local_pair(h, &c.fd, &server);
	shutdown(server, SHUT_WR);
	app_wait_state(&c, TCP_CLOSE, 1000);
	app_write_fails(&c, ECONNRESET);
	expect_counter("fins", 3);
	expect_counter("resets", 1);
}

/* NAT on the same host, by nft itself: the socket has the virtual address */
static void dnat(void **state)
{
	struct host *h = *state;
	struct sockaddr_storage a;
	struct conn c;
	socklen_t len;
	int fd;

	if (run_status("nft 'add table ip n; add chain ip n o "
		       "{ type nat hook output priority -100; }; "
		       "add rule ip n o tcp dport 1 dnat to 192.0.2.2' "
		       "2>/dev/null")) {
		print_message("# no nat by nft here\n");
		skip();
	}
	run("ip -4 route add default dev peer0 && "
	    "ip -6 route add default dev peer0");
	if (h->kind == IPV6)
		nft("table ip6 n {\nchain o {\n"
		    "type nat hook output priority -100;\n"
		    "tcp dport 80 dnat to [" PEER_IPV6 "]:8080\n}\n}\n");
	else
		nft("table ip n {\nchain o {\n"
		    "type nat hook output priority -100;\n"
		    "tcp dport 80 dnat to " PEER_IPV4 ":8080\n}\n}\n");
	table("inet", "halfrst", "output", "meta l4proto tcp");
	fd = host_socket(h);
	len = host_address(h->kind, &a, "198.51.100.1", "2001:db8:1::1", 80);
	connect(fd, (struct sockaddr *)&a, len);
	peer_accept(&c, &h->peer, 8080, 0);
	c.fd = fd;
	app_wait_state(&c, TCP_ESTABLISHED, 1000);
	app_begins(&c);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 2");
	app_write_fails(&c, ECONNRESET);
	expect_counter("resets", 1);
	expect_counter("no_socket", 0);
}

/* The first one that is assigned stays, and conntrack says which it is */
static void another_helper(void **state)
{
	struct host *h = *state;

	skip_without("nf_conntrack_ftp");
	nft("table inet first {\n"
	    "	ct helper ftp { type \"ftp\" protocol tcp; }\n"
	    "	chain c {\n"
	    "		type filter hook output priority -1;\n"
	    "		tcp dport 80 ct helper set \"ftp\"\n"
	    "	}\n"
	    "}\n");
	table("inet", "halfrst", "output", "tcp dport 80");
	peer_closes(h, host_socket(h), false);
	run(LIST_CONNTRACK " | grep -q helper=ftp");
	run("! " LIST_CONNTRACK " | grep -q helper=halfrst");
}

/*
 * An ICMP error about a connection is handed to its helper.  In this one the
 * byte that a segment has its flags in says FIN.
 */
static void icmp_error(void **state)
{
	uint8_t packet[10 + 20 + 8 + 20 + 8] = {
		[10] = 0x45, [13] = 56, [18] = 64, [19] = IPPROTO_ICMP,
		[22] = 192, 0, 2, 2, 192, 0, 2, 1,
		[30] = 3, 1,				/* host unreachable */
		[38] = 0x45, [41] = 40, [43] = 0x01,	/* id: FIN */
		[46] = 64, IPPROTO_TCP,
		[50] = 192, 0, 2, 1, 192, 0, 2, 2,
	};
	struct host *h = *state;
	struct conn c;

	table("inet", "halfrst", "input", "tcp dport 8080");
	server(&c, h, 0);
	memcpy(packet + 58, (uint16_t[]){ htons(c.app_port) }, 2);
	memcpy(packet + 60, (uint16_t[]){ htons(c.peer_port) }, 2);
	memcpy(packet + 62, (uint32_t[]){ htonl(c.irs + 1) }, 4);
	for (int at = 10; at < 40; at += 20) {
		int len = at == 30 ? 36 : 20, sum_at = at == 30 ? 32 : 20;
		uint32_t sum = 0;

		for (int i = at; i < at + len; i += 2)
			sum += packet[i] << 8 | packet[i + 1];
		while (sum >> 16)
			sum = (sum & 0xffff) + (sum >> 16);
		packet[sum_at] = ~sum >> 8;
		packet[sum_at + 1] = ~sum;
	}
	assert_int_equal(write(h->peer.tun, packet, sizeof(packet)),
			 sizeof(packet));
	/* it has gone through INPUT */
	wait_for(!run_status("awk '/^Icmp: [0-9]/ { exit $2 == 0 }' "
			     "/proc/self/net/snmp"), 1000);
	expect_counter("fins", 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 2");
	expect_counter("fins", 1);
}

/* What has no socket yet, no connection, or nothing to do with TCP */
static void nonsense(void **state)
{
	struct host *h = *state;
	struct conn c;

	/* before conntrack; at the listener; UDP and ICMP; twice */
	nft("table inet t {\n"
	    "ct helper hr { type \"halfrst\" protocol tcp; }\n"
	    "chain raw { type filter hook prerouting priority -300;\n"
	    "ct helper set \"hr\"; }\n"
	    "chain rawout { type filter hook output priority -300;\n"
	    "ct helper set \"hr\"; }\n"
	    "chain pre { type filter hook prerouting priority 0;\n"
	    "ct helper set \"hr\"; }\n"
	    "chain post { type filter hook postrouting priority 0;\n"
	    "ct helper set \"hr\"; ct helper set \"hr\"; }\n"
	    "}\n");
	run("echo 0123456789012345678901234567890 | "
	    "socat - udp:127.0.0.1:9 2>/dev/null; "
	    "ping -qc1 127.0.0.1 >/dev/null");
	expect_counter("fins", 0);
	run("! " LIST_CONNTRACK " | grep -E '(udp|icmp).*helper'");
	/* nobody has accepted it */
	host_listen(h, 8081);
	peer_connect(&c, &h->peer, 8081, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	peer_expect_nothing(&c, 5000);
	expect_counter("resets", 0);
	/* and from the right place it works */
	nft("flush ruleset\n");
	table("inet", "halfrst", "output", "meta l4proto tcp");
	peer_closes(h, host_socket(h), true);
}

/*
 * A ruleset is replaced again and again, connections come and are closed by
 * their peer, and each one is reset in its time.
 */
static void flush_under_traffic(void **state)
{
	struct host *h = *state;
	struct conn c[100];

	table("inet", "halfrst-10s", "output", "tcp dport 80");
	for (int i = 0; i < 100; i++) {
		client(&c[i], h, 0);
		if (i % 5 == 0)
			nft("flush ruleset\n"
			    "table inet t {\n"
			    "ct helper hr { type \"halfrst-10s\" protocol tcp; }\n"
			    "chain c { type filter hook output priority 0;\n"
			    "tcp dport 80 ct helper set \"hr\"; }\n"
			    "}\n");
		peer_send(&c[i], "F. 1:1(0) ack 1");
		peer_expect(&c[i], ". 1:1(0) ack 2");
	}
	expect_counter("fins", 100);
	for (int i = 0; i < 100; i++)
		peer_expect_within(&c[i], 14000, "R. 1:1(0) ack 2");
	expect_counter("resets", 100);
}

/* What conntrack has forgotten it learns again, from a packet of this host's */
static void forgotten(void **state)
{
	struct host *h = *state;
	struct conn c;

	table("inet", "halfrst", "output", "tcp dport 80");
	client(&c, h, 0);
	run("conntrack -F 2>/dev/null");
	app_write(&c, 1);
	peer_expect(&c, "P. 1:2(1) ack 1");
	peer_send(&c, ". 1:1(0) ack 2");
	peer_send(&c, "F. 1:1(0) ack 2");
	peer_expect(&c, "R. 2:2(0) ack 2");
	expect_counter("resets", 1);
}

/* Out of the window, or broken: conntrack calls it invalid, and the helper
 * does not see it
 */
static void invalid(void **state)
{
	struct host *h = *state;
	struct conn c;

	table("inet", "halfrst", "output", "tcp dport 80");
	client(&c, h, 0);
	peer_send(&c, "F. 1000001:1000001(0) ack 1");
	peer_take_acks(&c, 1000);
	peer_send_twisted(&c, BAD_CHECKSUM, "F. 1:1(0) ack 1");
	peer_take_acks(&c, 1000);
	expect_counter("fins", 0);
	assert_int_equal(app_state(&c), TCP_ESTABLISHED);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 2");
	expect_counter("fins", 1);
}

/* Without waiting for what it takes them from */
static void unload(void)
{
	/* TCP keeps orphans, and with them an earlier test's namespace */
	wait_for(number_in(MODULE "/refcnt") == 0, 1000000);
	if (syscall(SYS_delete_module, "nf_conntrack_halfrst", O_NONBLOCK))
		peer_fail(NULL, "rmmod: %s", strerror(errno));
	assert_true(access(MODULE, F_OK));
}

static void module_goes(void **state)
{
	struct host *h = *state;
	struct conn watched, helped;
	bool core_stays;

	table("inet", "halfrst-10s", "output", "tcp dport 80");
	core_stays = !access("/sys/module/xt_HALFRST", F_OK);
	if (access(MODULE "/refcnt", F_OK)) {
		print_message("# it is built in\n");
		skip();
	}
	assert_true(syscall(SYS_delete_module, "nf_conntrack_halfrst",
			    O_NONBLOCK));
	client(&watched, h, 0);
	client(&helped, h, 0);
	peer_send(&watched, "F. 1:1(0) ack 1");
	peer_expect(&watched, ". 1:1(0) ack 2");
	expect_counter("watching", 1);
	nft("flush ruleset\n");
	run(LIST_CONNTRACK " | grep -q helper=halfrst-10s");
	unload();
	/* Linux 7.3 leaves it the name of a helper that does nothing */
	peer_send(&helped, "F. 1:1(0) ack 1");
	peer_expect(&helped, ". 1:1(0) ack 2");
	assert_int_equal(counters_present(), core_stays);
	if (core_stays) {
		expect_counter("fins", 1);
		/* the watch is not the helper's */
		peer_expect_within(&watched, 14000, "R. 1:1(0) ack 2");
	}
	/* it comes back; who had one gets none */
	table("inet", "halfrst", "output", "tcp dport 80");
	peer_closes(h, host_socket(h), true);
	peer_send(&helped, "F. 1:1(0) ack 1");
	peer_expect(&helped, ". 1:1(0) ack 2");
	expect_counter("fins", core_stays ? 2 : 1);
}

/* Comes and goes while connections with the helper open and close */
static void comes_and_goes(void **state)
{
	int rounds = how_often(5, 200);
	struct host *h = *state;
	struct crowd c;

	table("inet", "halfrst-1s", "output", "meta l4proto tcp");
	if (access(MODULE "/refcnt", F_OK)) {
		print_message("# it is built in\n");
		skip();
	}
	for (int i = 0; i < rounds; i++) {
		crowd_open(&c, h->kind, 20, 0);
		nft("flush ruleset\n");
		if (i % 2)
			crowd_server_dies(&c);
		unload();
		if (!(i % 2))
			crowd_server_dies(&c);
		table("inet", "halfrst-1s", "output", "meta l4proto tcp");
		crowd_close(&c);
	}
	crowd_open(&c, h->kind, 20, 0);
	crowd_server_dies(&c);
	wait_for(crowd_in_state(&c, TCP_CLOSE) == 20, 5000);
	crowd_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(six_lines),
		ON_ALL(families),
		ON_IPV4(by_uid), ON_IPV6(by_uid),
		ON_IPV4(by_port), ON_IPV6(by_port),
		ON_IPV4(by_cgroup), ON_IPV6(by_cgroup),
		ON_IPV4(names),
		ON_IPV6(dry),
		ON_ALL(loopback),
		ON_ALL(dnat),
		ON_IPV4(another_helper), ON_IPV6(another_helper),
		ON_IPV4(icmp_error),
		ON_IPV4(nonsense), ON_IPV6(nonsense),
		ON_IPV4(flush_under_traffic),
		ON_IPV4(forgotten), ON_IPV6(forgotten),
		ON_IPV4(invalid), ON_IPV6(invalid),
		ON_IPV4(module_goes), ON_IPV6(module_goes),
		ON_IPV4(comes_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
