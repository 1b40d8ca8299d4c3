// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount
 *
 * A rule is about one FIN, and TCP says which.  A segment that only looks like a
 * FIN of this connection, with whatever numbers, decides nothing: neither
 * whether the socket is reset, nor when, nor what of it is lost.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_net.h>

#include "dice.h"
#include "fin.h"
#include "rules.h"
#include "segment.h"

/* Off path: far out of any window, and 100 bytes longer than the real one */
#define FORGED	"F. 100000000:100000100(100) ack 1"

#define VNET	sizeof(struct virtio_net_hdr)

/* A rule for the forged one alone */
static void forged_rule(const struct host *h, const char *options)
{
	rule(h, "-t mangle -A INPUT -p tcp --tcp-flags FIN FIN "
	     "-m length --length %d -j HALFRST %s",
	     h->kind == IPV6 ? 160 : 140, options);
}

/* Its deadline would discard the bytes that are on their way */
static void discards_nothing(void **state)
{
	struct host *h = *state;
	int64_t start;
	struct conn c;

	forged_rule(h, "--deadline 1s --reset-with epipe");
	rule(h, ON_FIN "--grace 1m");
	client(&c, h, 0);
	app_write(&c, 100);
	peer_expect(&c, "P. 1:101(100) ack 1");
	peer_send(&c, FORGED);
	peer_send(&c, "F. 1:1(0) ack 1");
	fin_no_reset(&c, 30000);
	assert_int_equal(app_unacked(&c), 100);
	start = now_us();
	peer_send(&c, ". 2:2(0) ack 101");
	fin_reset(&c, start, 60000, 75000, ECONNRESET);
	expect_counter("deadline", 0);
}

/* The real one's rule has another grace, longer or shorter */
static void grace(struct host *h, const char *forged, const char *real,
		  int least, int most)
{
	int64_t start;
	struct conn c;

	forged_rule(h, forged);
	rule(h, ON_FIN "%s", real);
	client(&c, h, 0);
	peer_send(&c, FORGED);
	peer_take_acks(&c, 50);
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	fin_reset(&c, start, least, most, ECONNRESET);
	expect_counter("resets", 1);
}

static void shortens_nothing(void **state)
{
	grace(*state, "", "--grace 1m", 60000, 75000);
}

static void lengthens_nothing(void **state)
{
	grace(*state, "--grace 30m", "--grace 1s", 1000, 1250);
}

/* The real one meets no rule */
static void resets_nobody(void **state)
{
	struct host *h = *state;
	struct conn c;

	forged_rule(h, "");
	client(&c, h, 0);
	peer_send(&c, FORGED);
	peer_take_acks(&c, 50);
	peer_send(&c, "F. 1:1(0) ack 1");
	fin_no_reset(&c, 130000);
	expect_counter("watching", 0);
}

/* What the forged one met is no rule any more when the real one comes */
static void outlives_no_rule(void **state)
{
	struct host *h = *state;
	struct conn c;

	skip_by_helper("a connection keeps its helper");
	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send(&c, FORGED);
	rule(h, "-t mangle -F");
	peer_take_acks(&c, 50000);
	peer_send(&c, "F. 1:1(0) ack 1");
	fin_no_reset(&c, 130000);
}

/* There was no rule when the peer closed its side */
static void looks_not_back(void **state)
{
	struct host *h = *state;
	struct conn c;

	skip_by_helper("the connection has none");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	app_wait_state(&c, TCP_CLOSE_WAIT, 0);
	rule(h, ON_FIN);
	peer_send(&c, FORGED);
	fin_no_reset(&c, 130000);
	expect_counter("expired", 1);
}

/* ... but the FIN that TCP has taken may come again */
static void repeated_for_a_new_rule(void **state)
{
	struct host *h = *state;
	int64_t start;
	struct conn c;

	skip_by_helper("the connection has none");
	client(&c, h, 0);
	peer_send(&c, "FP. 1:101(100) ack 1");
	app_wait_state(&c, TCP_CLOSE_WAIT, 0);
	app_read(&c, 100);
	rule(h, ON_FIN);
	start = now_us();
	peer_send(&c, "F. 101:101(0) ack 1");
	fin_reset(&c, start, 0, 100, ECONNRESET);
}

/*
 * What is no FIN at all: it meets a rule of its own, and the real one none.
 */
static void no_fin(struct host *h, const char *match, struct forged *f)
{
	struct conn c;

	rule(h, "-t mangle -A INPUT -p tcp %s -j HALFRST", match);
	client(&c, h, 0);
	f->sport = c.peer_port;
	f->dport = c.app_port;
	f->seq = c.iss + 1;
	f->ack = f->flags & ACK ? c.irs + 1 : 0;
	f->window = 65535;
	f->fragment = -1;
	forge(h, f);
	peer_take_acks(&c, 50);
	expect_counter("fins", 0);
	expect_counter("watching", 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	fin_no_reset(&c, 70000);
}

static void with_syn(void **state)
{
	no_fin(*state, "--tcp-flags SYN,FIN SYN,FIN", &(struct forged){
		.flags = FIN | SYN | ACK,
	});
}

static void without_ack(void **state)
{
	no_fin(*state, "--tcp-flags FIN,ACK FIN", &(struct forged){
		.flags = FIN,
	});
}

/* 60 bytes of header in a segment of 24 */
static void longer_than_itself(void **state)
{
	struct host *h = *state;

	no_fin(h, h->kind == IPV6 ? "-m length --length 64" :
				    "-m length --length 44",
	       &(struct forged){ .flags = FIN | ACK, .len = 4, .doff = 15 });
}

/* The first @first bytes of a FIN behind 100 bytes, or the others: IPv6
 * fragments, which a rule sees one by one where there is no conntrack.
 */
static void fragment(const struct host *h, const struct conn *c, size_t first,
		     bool others)
{
	uint8_t packet[VNET + 48 + 120] = { 0 }, tcp[120] = { 0 };
	uint8_t *ip = packet + VNET;
	size_t from = others ? first : 0;
	size_t len = others ? sizeof(tcp) - first : first;

	put16(tcp, c->peer_port);
	put16(tcp + 2, c->app_port);
	put32(tcp + 4, c->iss + 1);
	put32(tcp + 8, c->irs + 1);
	tcp[12] = 5 << 4;
	tcp[13] = FIN | PSH | ACK;
	put16(tcp + 14, 65535);
	for (int i = 0; i < 100; i++)
		tcp[20 + i] = stream_byte(i);
	ip[0] = 6 << 4;
	put16(ip + 4, 8 + len);
	ip[6] = IPPROTO_FRAGMENT;
	ip[7] = 64;
	inet_pton(AF_INET6, PEER_IPV6, ip + 8);
	inet_pton(AF_INET6, APP_IPV6, ip + 24);
	put16(tcp + 16, ~fold(sum16(tcp, sizeof(tcp),
				    pseudo_sum(ip, sizeof(tcp)))));
	ip[40] = IPPROTO_TCP;
	put16(ip + 42, from | !others);
	put32(ip + 44, c->iss);
	memcpy(ip + 48, tcp + from, len);
	assert_int_equal(write(h->peer.tun, packet, VNET + 48 + len),
			 VNET + 48 + len);
}

static void in_fragments(void **state)
{
	struct host *h = *state;
	int64_t start;
	struct conn c;

	skip_by_helper("conntrack puts fragments together");
	rule(h, ON_FIN);
	client(&c, h, 0);
	fragment(h, &c, 64, false);
	expect_counter("watching", 1);
	peer_expect_nothing(&c, 1000);
	fragment(h, &c, 64, true);
	app_read(&c, 100);
	start = now_us();
	fin_reset(&c, start, 0, 1500, ECONNRESET);
}

/* Its length is unknown, hence its number: it stands for any */
static void any_number(void **state)
{
	struct host *h = *state;
	int64_t start;
	struct conn c;

	skip_by_helper("conntrack puts fragments together");
	rule(h, "-t mangle -A INPUT -p tcp -m u32 --u32 '4>>8&0xFF=44' "
	     "-j HALFRST --reset-with etimedout");
	client(&c, h, 0);
	fragment(h, &c, 64, false);
	expect_counter("watching", 1);
	peer_send(&c, "P. 1:51(50) ack 1");
	app_read(&c, 50);
	peer_take_acks(&c, 1000);
	start = now_us();
	peer_send(&c, "F. 51:51(0) ack 1");
	fin_reset(&c, start, 0, 1500, ETIMEDOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(discards_nothing),
		ON_ALL(shortens_nothing),
		ON_ALL(lengthens_nothing),
		ON_ALL(resets_nobody),
		ON_ALL(outlives_no_rule),
		ON_ALL(looks_not_back),
		ON_ALL(repeated_for_a_new_rule),
		ON_ALL(with_syn),
		ON_ALL(without_ack),
		ON_ALL(longer_than_itself),
		ON_IPV6(in_fragments),
		ON_IPV6(any_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
