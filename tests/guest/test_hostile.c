// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount
 *
 * A hostile peer: floods of FINs cost bounded memory and little time, and
 * change nothing for the connection they pretend to belong to.
 */

#include <stdio.h>
#include <stdlib.h>

#include "dice.h"
#include "kernel.h"
#include "rules.h"
#include "segment.h"

#define PACKETS		how_often(2000, 20000)
#define CROWD		100
#define LOOKS_APART	4000	/* us: a tick */

static uint32_t seed = 4711;

/* A FIN of this connection at @offset from what the peer would send next */
static void fin(const struct host *h, const struct conn *c, uint32_t offset)
{
	forge(h, &(struct forged){
		.sport = c->peer_port, .dport = c->app_port,
		.seq = c->iss + 1 + offset, .ack = c->irs + 1,
		.window = 65535, .flags = FIN | ACK,
		.fragment = -1,
	});
}

static long watches(void)
{
	return slab_objects("halfrst_watch");
}

/* What was received out of order goes when its socket goes */
static void hang_up(struct host *h, struct conn *c, int n)
{
	fuzz_drain(h);
	for (int i = 0; i < n; i++)
		host_abort(h, c[i].fd);
}

/* Never completing: the gap before the FIN is never filled */
static void out_of_order(void **state)
{
	struct host *h = *state;
	long before = watches();
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	for (int i = 0; i < PACKETS; i++) {
		fin(h, &c, 100 + chance(&seed) % 1000);
		if (!(i % 100))
			fuzz_drain(h);
	}
	assert_in_range(watches() - before, 0, 1);
	expect_counter("resets", 0);
	assert_int_equal(app_state(&c), TCP_ESTABLISHED);
	/* it works on */
	fuzz_drain(h);
	sleep_ms(130000);
	expect_counter("watching", 0);
	assert_true(counter("expired") > 0);
	app_write(&c, 10);
	assert_int_equal(app_state(&c), TCP_ESTABLISHED);
	hang_up(h, &c, 1);
}

static void repeated_in_window(void **state)
{
	struct host *h = *state;
	long before = watches();
	struct conn c;

	rule(h, ON_FIN "--grace 1h");
	client(&c, h, 0);
	for (int i = 0; i < PACKETS; i++) {
		fin(h, &c, 0);
		if (!(i % 100))
			fuzz_drain(h);
	}
	assert_int_equal(watches() - before, 1);
	expect_counter("repeated", PACKETS - 1);
	assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
	hang_up(h, &c, 1);
}

/* Whoever does not know the numbers resets nobody */
static void spoofed(void **state)
{
	struct host *h = *state;
	long before = watches();
	struct conn c[CROWD];

	rule(h, ON_FIN);
	for (int i = 0; i < CROWD; i++)
		client(&c[i], h, 0);
	for (int i = 0; i < PACKETS; i++) {
		/* never in the window of 64 KiB */
		fin(h, &c[chance(&seed) % CROWD],
		    (1u << 20) + chance(&seed) % (1u << 31));
		if (!(i % 100))
			fuzz_drain(h);
	}
	assert_int_equal(watches(), before);
	expect_counter("expired", PACKETS);
	expect_counter("resets", 0);
	for (int i = 0; i < CROWD; i++)
		assert_int_equal(app_state(&c[i]), TCP_ESTABLISHED);
	hang_up(h, c, CROWD);
}

static void closed_ports(void **state)
{
	struct host *h = *state;
	long before = watches();

	rule(h, ON_FIN);
	for (int i = 0; i < PACKETS; i++) {
		forge(h, &(struct forged){
			.sport = chance(&seed), .dport = chance(&seed),
			.seq = chance(&seed), .ack = chance(&seed),
			.flags = FIN | ACK, .fragment = -1,
		});
		if (!(i % 100))
			fuzz_drain(h);
	}
	assert_int_equal(watches(), before);
	expect_counter("fins", PACKETS);
	expect_counter("no_socket", PACKETS);
}

static void listener(void **state)
{
	struct host *h = *state;
	int fd = host_listen(h, 8080);

	rule(h, ON_FIN);
	for (int i = 0; i < PACKETS; i++) {
		forge(h, &(struct forged){
			.sport = chance(&seed), .dport = 8080,
			.seq = chance(&seed), .ack = chance(&seed),
			.flags = FIN | (i & 1 ? ACK : SYN),
			.fragment = -1,
		});
		if (!(i % 100))
			fuzz_drain(h);
	}
	expect_counter("resets", 0);
	expect_counter("watching", 0);
	assert_int_equal(socket_state(fd), TCP_LISTEN);
	host_close(h, fd);
}

/* Malformed in every way; the connection is none the wiser */
static void malformed(void **state)
{
	struct host *h = *state;
	static const uint8_t extensions[] = {
		IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING,
	};
	uint8_t options[40];
	struct conn c;

	rule(h, "-t mangle -A INPUT -p tcp -j HALFRST");
	client(&c, h, 0);
	for (int i = 0; i < PACKETS; i++) {
		struct forged f = {
			.sport = c.peer_port, .dport = c.app_port,
			.seq = c.iss + 1 + (1 << 20), .ack = c.irs + 1,
			.flags = FIN | ACK, .fragment = -1,
			.options = options, .options_len = i % 41,
		};

		for (size_t j = 0; j < sizeof(options); j++)
			options[j] = chance(&seed) % (i & 1 ? 256 : 31);
		f.doff = i % 7 == 0 ? chance(&seed) % 16 : 0;
		f.cut = i % 5 == 0 ? 1 + chance(&seed) % 100 : 0;
		f.bad_checksum = i % 11 == 0;
		f.extension = i % 3 == 0 ? extensions[i / 3 % 3] : 0;
		if (i % 13 == 0) {
			f.fragment = chance(&seed) % 4 * 8;
			f.more = chance(&seed) & 1;
		}
		forge(h, &f);
		if (!(i % 100))
			fuzz_drain(h);
	}
	expect_counter("resets", 0);
	assert_int_equal(app_state(&c), TCP_ESTABLISHED);
	hang_up(h, &c, 1);
}

/* An IPv6 extension header in front of an honest FIN changes nothing */
static void extension_header(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	forge(h, &(struct forged){
		.sport = c.peer_port, .dport = c.app_port,
		.seq = c.iss + 1, .ack = c.irs + 1, .window = 65535,
		.flags = FIN | ACK,
		.extension = IPPROTO_DSTOPTS, .fragment = -1,
	});
	peer_expect(&c, "R. 1:1(0) ack 2");
	expect_counter("resets", 1);
}

/* Fragments arrive in INPUT as one packet, or not at all */
static void fragments(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	/* the first 16 bytes of a header, and never the rest */
	for (int i = 0; i < 200; i++)
		forge(h, &(struct forged){
			.sport = c.peer_port, .dport = c.app_port,
			.seq = c.iss + 1 + i, .ack = c.irs + 1,
			.window = 65535, .flags = FIN | ACK,
			.fragment = 0, .more = true,
			.cut = (h->kind == IPV6 ? 48 : 20) + 16,
		});
	expect_counter("fins", 0);
	assert_int_equal(app_state(&c), TCP_ESTABLISHED);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 2");
}

/* What follows the RST meets a closed port */
static void data_after_the_reset(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R. 1:1(0) ack 2");
	for (int i = 0; i < 10; i++) {
		peer_send(&c, "P. 2:102(100) ack 1");
		peer_expect(&c, "R 1:1(0)");
	}
	expect_counter("resets", 1);
	expect_counter("watching", 0);
	app_read_eof(&c);
}

static void simultaneous_close(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
	peer_expect(&c, "F. 1:1(0) ack 1");
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 2:2(0) ack 2");
	peer_send(&c, ". 2:2(0) ack 2");
	peer_expect_nothing(&c, 1000);
	expect_counter("wrong_state", 1);
	expect_counter("resets", 0);
}

/* A peer that takes one byte a second postpones, and ends all the same */
static void dribbling(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	app_write(&c, 100);
	peer_expect(&c, "P. 1:101(100) ack 1");
	peer_send(&c, "F. 1:1(0) ack 1");
	for (int i = 2; i < 101; i++) {
		peer_send(&c, ". 2:2(0) ack %d", i);
		sleep_ms(1000);
		assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
	}
	expect_counter("resets", 0);
	fuzz_drain(h);
	peer_send(&c, ". 2:2(0) ack 101");
	wait_for(app_state(&c) == TCP_CLOSE, 130000);
	expect_counter("resets", 1);
}

/* Instructions a packet of one flood, for icount's clock */
static double flood(struct host *h, const struct conn *c, int crowd, int kind)
{
	int n = how_often(2000, 20000);
	int64_t start;

	fuzz_drain(h);
	start = now_us();
	for (int i = 0; i < n; i++) {
		uint32_t offset = kind == 0 ? (1u << 20) + chance(&seed) % 65536
					    : 100 + chance(&seed) % 1000;

		fin(h, &c[chance(&seed) % crowd], offset);
	}
	return (double)(now_us() - start) / n;
}

/* A watched socket is looked at as time goes by, a few hundred times a second.
 * Where lockdep makes a packet ten times slower, its share is a tenth of the
 * sockets, or the looks would be what is counted.
 */
static int crowd_for(double packet)
{
	int crowd = LOOKS_APART / 3 / packet;

	return crowd < 1 ? 1 : crowd > CROWD ? CROWD : crowd;
}

static void cost_of(struct host *h, int kind, const char *name)
{
	double without, with;
	struct conn c[CROWD];
	int crowd;

	/* a rule of the same shape that does nothing */
	rule(h, "-t mangle -A INPUT -p tcp --tcp-flags FIN FIN");
	for (int i = 0; i < CROWD; i++)
		client(&c[i], h, 0);
	crowd = crowd_for(flood(h, c, CROWD, kind));
	without = flood(h, c, crowd, kind);
	rule(h, "-t mangle -F");
	rule(h, ON_FIN);
	with = flood(h, c, crowd, kind);
	printf("# %s, %d sockets: %.2f us a packet, %.2f without the target\n",
	       name, crowd, with, without);
	assert_true(with < without * 2);
	hang_up(h, c, CROWD);
}

static void cost_spoofed(void **state)
{
	cost_of(*state, 0, "out of window");
}

static void cost_out_of_order(void **state)
{
	cost_of(*state, 1, "out of order");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(out_of_order),
		ON_ALL(repeated_in_window),
		ON_ALL(spoofed),
		ON_IPV4(closed_ports), ON_IPV6(closed_ports),
		ON_ALL(listener),
		ON_ALL(malformed),
		ON_IPV6(extension_header),
		ON_IPV4(fragments), ON_IPV6(fragments),
		ON_ALL(data_after_the_reset),
		ON_ALL(simultaneous_close),
		ON_ALL(dribbling),
		ON_IPV4(cost_spoofed), ON_IPV6(cost_spoofed),
		ON_IPV4(cost_out_of_order), ON_IPV6(cost_out_of_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
