// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount --mem 2048
 *
 * First looks, which come before the table of watches and its limit.  At full
 * load of FINs their list stays short, and whoever is idle does not wait behind
 * it; and who needs no place in the table is reset when that is full.
 *
 *	near: applications, rules ── near0 (veth) far0, netem ── far: their peers
 *
 * netem keeps a flood back and then lets it go at once.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dice.h"
#include "kernel.h"
#include "link.h"
#include "rules.h"
#include "segment.h"

#define IDLE_PORT	8080
#define FLOOD_PORT	8081
#define SOCKETS		16		/* that the flood is for */
#define WEIGHT		"320"		/* packets at a time, usually 64 */
#define LISTED		1000		/* at most, under any flood */
#define SHORT_FLOOD	8000		/* of which each FIN is looked at here */
#define AT_MOST_US	5000		/* from the FIN to the reset */
#define TRACEFS		"/sys/kernel/tracing/"

struct flood {
	struct link l;
	int app[SOCKETS];
	uint8_t segment[SOCKETS][40];	/* IPv4 and TCP: each one's FIN */
	int idle, idle_peer;
};

static int connected(const struct link *l, int listener, uint16_t port,
		     int *peer)
{
	int fd = link_connect_near(l, port);

	*peer = accept(listener, NULL, NULL);
	assert_true(fd >= 0 && *peer >= 0);
	carry_byte(fd, *peer);
	return fd;
}

/* One of the socket's numbers; it is in repair mode */
static uint32_t number(int fd, int queue)
{
	socklen_t len = sizeof(uint32_t);
	uint32_t n;

	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue,
		       sizeof(queue)) ||
	    getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &n, &len))
		peer_fail(NULL, "TCP_QUEUE_SEQ: %s", strerror(errno));
	return n;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin_port);
}

/* The FIN that this socket has got, once more */
static void make_fin(uint8_t *ip, int fd)
{
	int on = 1, off = -1;	/* without a probe of the window */
	uint8_t *tcp = ip + 20;

	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on,
				    sizeof(on)), 0);
	ip[0] = 0x45;
	put16(ip + 2, 40);
	ip[8] = 64;
	ip[9] = IPPROTO_TCP;
	inet_pton(AF_INET, PEER_IPV4, ip + 12);
	inet_pton(AF_INET, APP_IPV4, ip + 16);
	put16(ip + 10, ~fold(sum16(ip, 20, 0)));
	put16(tcp, FLOOD_PORT);
	put16(tcp + 2, port_of(fd));
	put32(tcp + 4, number(fd, TCP_RECV_QUEUE) - 1);
	put32(tcp + 8, number(fd, TCP_SEND_QUEUE));
	tcp[12] = 5 << 4;
	tcp[13] = FIN | ACK;
	put16(tcp + 14, 1000);
	put16(tcp + 16, ~fold(sum16(tcp, 20, pseudo_sum(ip, 20))));
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off,
				    sizeof(off)), 0);
}

static void flood_open(struct flood *f)
{
	int peer, listener, idle_listener;

	memset(f, 0, sizeof(*f));
	link_open(&f->l, IPV4, NULL);
	listener = link_listen_far(&f->l, FLOOD_PORT);
	idle_listener = link_listen_far(&f->l, IDLE_PORT);
	link_rule(&f->l, "-t mangle -A INPUT -p tcp --sport 8081 -j HALFRST "
			 "--dry-run");
	link_rule(&f->l, "-t mangle -A INPUT -p tcp --sport 8080 -j HALFRST");
	for (int i = 0; i < SOCKETS; i++) {
		f->app[i] = connected(&f->l, listener, FLOOD_PORT, &peer);
		close(peer);
		wait_for(socket_state(f->app[i]) == TCP_CLOSE_WAIT, 5000);
		make_fin(f->segment[i], f->app[i]);
	}
	wait_for(counter("dry_run") == SOCKETS, 5000);
	f->idle = connected(&f->l, idle_listener, IDLE_PORT, &f->idle_peer);
	close(listener);
	close(idle_listener);
}

/* From the far end, by a socket that takes any number of them */
static int sender(const struct link *l, struct sockaddr_ll *to)
{
	struct ifreq near = { .ifr_name = "near0" };
	int size = 1 << 30, fd;

	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &near), 0);
	close(fd);
	link_enter_far(l);
	*to = (struct sockaddr_ll){
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IP),
		.sll_ifindex = if_nametoindex("far0"),
		.sll_halen = ETH_ALEN,
	};
	memcpy(to->sll_addr, near.ifr_hwaddr.sa_data, ETH_ALEN);
	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	link_enter_near(l);
	return fd;
}

static void send_flood(const struct flood *f, int fd,
		       const struct sockaddr_ll *to, int n)
{
	for (int i = 0; i < n; i++)
		if (sendto(fd, f->segment[i % SOCKETS], 40, 0,
			   (const struct sockaddr *)to, sizeof(*to)) != 40)
			peer_fail(NULL, "sendto: %s", strerror(errno));
}

/* Events of these connections only; NULL: of none */
static void record(const char *which)
{
	set(TRACEFS "events/halfrst/enable", "0");
	if (!which)
		return;
	set(TRACEFS "events/halfrst/filter", which);
	set(TRACEFS "trace_clock", "mono");
	set(TRACEFS "buffer_size_kb", "8192");
	fclose(fopen(TRACEFS "trace", "we"));	/* empties it */
	set(TRACEFS "events/halfrst/enable", "1");
}

/* The next event of the trace in @line, from ": halfrst_" on; NULL: no more */
static char *next_event(FILE *trace, char *line, int size)
{
	while (fgets(line, size, trace)) {
		char *event = strstr(line, ": halfrst_");

		if (*line != '#' && event)
			return event;
	}
	return NULL;
}

/* When it was, in us */
static double time_of(char *line, char *event)
{
	*event = '\0';
	return atof(strrchr(line, ' ')) * 1e6;
}

/* The longest that the list was: each FIN has begun a watch, which has ended.  The
 * slab does not tell: free objects that a kernel keeps count as used.  @each: us
 * for one of them, from its packet on.
 */
static long longest_list(int fins, double *each)
{
	FILE *trace = fopen(TRACEFS "trace", "re");
	long listed = 0, longest = 0, begun = 0;
	double first = 0, last = 0;
	char line[512], *event;

	assert_non_null(trace);
	while ((event = next_event(trace, line, sizeof(line)))) {
		if (strstr(event, "halfrst_watch:")) {
			begun++;
			listed++;
		} else {
			listed--;
		}
		if (listed > longest)
			longest = listed;
		last = time_of(line, event);
		first = first ? first : last;
	}
	fclose(trace);
	assert_int_equal(begun, fins);
	assert_int_equal(listed, 0);
	*each = (last - first) / fins;
	return longest;
}

/* us between the FIN of the idle connection and its reset */
static double recorded(void)
{
	FILE *trace = fopen(TRACEFS "trace", "re");
	double fin = 0, reset = 0, *when;
	char line[512], *event;

	assert_non_null(trace);
	while ((event = next_event(trace, line, sizeof(line)))) {
		when = strstr(event, "halfrst_reset") ? &reset : &fin;
		*when = time_of(line, event);
	}
	fclose(trace);
	assert_true(fin > 0 && reset > 0);
	return reset - fin;
}

static void under_a_flood(void **state)
{
	/* the idle one's FIN comes in the middle of what NET_RX brings */
	int n = how_often(40000, 400000) + atoi(WEIGHT) / 2, fd;
	unsigned long fins = 2 * n + SOCKETS + 1;
	struct sockaddr_ll to;
	struct flood f;
	long longest;
	double took, each;

	(void)state;
	flood_open(&f);
	link_enter_far(&f.l);
	run("tc qdisc add dev far0 root netem limit 1000000 slot 20s");
	link_enter_near(&f.l);
	fd = sender(&f.l, &to);
	record("dport == 8080");
	send_flood(&f, fd, &to, n);
	close(f.idle_peer);
	send_flood(&f, fd, &to, n);
	wait_for(counter("resets") == 1, 120000);
	wait_for(counter("fins") == fins, 120000);
	counters_add_up();
	took = recorded();
	record("dport == 8081");
	send_flood(&f, fd, &to, SHORT_FLOOD);
	wait_for(counter("dry_run") == fins - 1 + SHORT_FLOOD, 120000);
	longest = longest_list(SHORT_FLOOD, &each);
	record(NULL);
	print_message("# %ld at most; %d FINs, %.1f us each, and the reset took %.0f us\n",
		      longest, 2 * n, each, took);
	/* or there was no flood */
	assert_true(longest > atoi(WEIGHT) / 2);
	assert_true(longest < LISTED);
	/* Where each lock or access is checked: what so many of them take */
	assert_true(took < (checks_locks() || checks_races() ? LISTED * each :
							       AT_MOST_US));
	assert_int_equal(counter("full"), 0);
	for (int i = 0; i < SOCKETS; i++)
		close(f.app[i]);
	close(f.idle);
	close(fd);
	link_close(&f.l);
}

/* ---- a full table ---- */

#define PLACES	16

/* Those that wait have all the places; who does not wait needs none */
static void full_table(void **state)
{
	struct host *h = *state;
	struct conn waiting[PLACES], c;

	set(MAX_WATCHES, "16");
	rule(h, ON_FIN "--grace 1m");
	for (int i = 0; i < PLACES; i++) {
		client(&waiting[i], h, 0);
		peer_send(&waiting[i], "F. 1:1(0) ack 1");
		peer_expect(&waiting[i], ". 1:1(0) ack 2");
	}
	expect_counter("watching", PLACES);
	rule(h, "-t mangle -F INPUT");
	rule(h, ON_FIN);
	for (int i = 0; i < 3; i++) {
		client(&c, h, 0);
		peer_send(&c, "F. 1:1(0) ack 1");
		peer_expect(&c, "R. 1:1(0) ack 2");
		app_write_fails(&c, ECONNRESET);
		expect_counter("resets", i + 1);
		expect_counter("full", 0);
	}
	/* one that has to wait is left out */
	client(&c, h, 0);
	peer_send(&c, "FP. 1:101(100) ack 1");
	peer_take_acks(&c, 5000);
	expect_counter("full", 1);
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
	app_read(&c, 100);
	peer_take_acks(&c, 5000);
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
	/* and may come in when there is a place, and another FIN */
	for (int i = 0; i < PLACES; i++)
		peer_expect_within(&waiting[i], 90000, "R. 1:1(0) ack 2");
	peer_send(&c, "F. 101:101(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 102");
	expect_counter("resets", PLACES + 4);
}

static int unlimited(void **state)
{
	set(MAX_WATCHES, MAX_WATCHES_DEFAULT);
	return host_teardown(state);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(under_a_flood),
		ON_ALL(full_table),
	};

	for (size_t i = 1; i < sizeof(tests) / sizeof(*tests); i++)
		tests[i].teardown_func = unlimited;
	set("/proc/sys/net/core/dev_weight", WEIGHT);
	set("/proc/sys/net/core/netdev_max_backlog", "100000");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
