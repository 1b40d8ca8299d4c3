// SPDX-License-Identifier: GPL-2.0-only
/*
 * A TLS peer says close_notify before its FIN, and nobody reads it.  With a
 * grace of 0 such an alert, if it is all that is unread, does not postpone the
 * reset; it can be read after it.  Any other unread byte postpones, for a second
 * if there are few.
 *
 * The peer's first sequence number is close to the wrap: every alert here
 * lies across it.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dice.h"
#include "rules.h"

#define RST_ACK		0x14
#define ALERT		21	/* TLS 1.2 and before */
#define DATA		23	/* what TLS 1.3 calls everything */
#define AES_GCM		26	/* an alert in TLS 1.2 with AES-GCM */
#define SMALLEST	19	/* an alert in TLS 1.3 */
#define AT_MOST		80	/* an alert with CBC and SHA-384 */
#define TICKET		250	/* a session ticket in TLS 1.3, about */
#define GOAWAY		34	/* of HTTP/2, over TLS 1.3 */
#define A_SECOND	1250000	/* us: and a look later */
#define A_LOOK		(900000 / 8)	/* us: an eighth of the FIN's age */
#define SOON		12000	/* us: the shortest wait between two looks */

/* A record of this type and length; returns its size */
static size_t record(uint8_t *r, int type, size_t length)
{
	r[0] = type;
	r[1] = 3;
	r[2] = 3;
	r[3] = length >> 8;
	r[4] = length;
	for (size_t i = 0; i < length; i++)
		r[5 + i] = 0x80 + 7 * i;
	return 5 + length;
}

/* @n bytes in segments of @part, from sequence number @seq; the FIN is in the
 * last one or alone
 */
static void say(struct conn *c, const uint8_t *bytes, size_t n, size_t part,
		uint32_t seq, bool fin_with_data)
{
	for (size_t at = 0; at < n; at += part) {
		size_t len = n - at < part ? n - at : part;
		bool last = at + len == n;

		peer_send_bytes(c, bytes + at, "%s %zu:%zu(%zu) ack 1",
				last && fin_with_data ? "FP." : "P.", seq + at,
				seq + at + len, len);
	}
	if (!fin_with_data)
		peer_send(c, "F. %zu:%zu(0) ack 1", seq + n, seq + n);
}

/* The RST|ACK comes @us after now at most, and acknowledges the FIN */
static void expect_reset(struct conn *c, size_t bytes, int64_t us)
{
	int64_t start = now_us();
	const struct segment *g;

	do {
		g = peer_next(c, 10000);
		if (!g)
			peer_fail(c, "no reset with %zu bytes", bytes);
	} while (g->flags != RST_ACK);
	assert_int_equal(peer_relative_seq(c, g), 1);
	assert_int_equal(peer_relative_ack(c, g), bytes + 2);
	if (g->when - start > us)
		peer_fail(c, "reset after %lld us",
			  (long long)(g->when - start));
	app_wait_state(c, TCP_CLOSE, 0);
}

static void expect_no_reset(struct conn *c, int ms)
{
	peer_take_acks(c, ms);
	assert_int_equal(app_state(c), TCP_CLOSE_WAIT);
	expect_counter("resets", 0);
	expect_counter("watching", 1);
}

static void read_these(struct conn *c, const uint8_t *bytes, size_t n)
{
	uint8_t got[256];

	assert_true(n <= sizeof(got));
	assert_int_equal(recv(c->fd, got, n, 0), n);
	assert_memory_equal(got, bytes, n);
}

/* Nothing was lost, and then it is over */
static void read_to_the_end(struct conn *c, const uint8_t *bytes, size_t n,
			    int error)
{
	read_these(c, bytes, n);
	app_read_eof(c);
	app_write_fails(c, error);
	app_read_eof(c);
	peer_expect_nothing(c, 10000);
}

static void alone(struct host *h, int type, size_t length, size_t part,
		  bool fin_with_data)
{
	uint8_t alert[5 + AT_MOST];
	size_t n = record(alert, type, length);
	unsigned long before;
	struct conn c;

	rule(h, ON_FIN "--reset-with etimedout");
	before = counter("resets");
	client(&c, h, TIMESTAMPS);
	say(&c, alert, n, part, 1, fin_with_data);
	expect_reset(&c, n, SOON);
	read_to_the_end(&c, alert, n, ETIMEDOUT);
	expect_counter("resets", before + 1);
	rule(h, "-t mangle -F");
}

static void tls_1_2(void **state)
{
	alone(*state, ALERT, AES_GCM, 1000, false);
}

static void tls_1_3(void **state)
{
	alone(*state, DATA, SMALLEST, 1000, false);
}

/* How long an alert is, with and without encrypt-then-MAC */
static const struct {
	const char *suite;
	size_t length;
} suites[] = {
	{ "AES128-GCM-SHA256, ARIA128-GCM-SHA256", 26 },
	{ "AES128-CCM", 26 },
	{ "AES128-CCM8", 18 },
	{ "CHACHA20-POLY1305", 18 },
	{ "AES128-SHA", 48 },
	{ "AES128-SHA, encrypt-then-MAC", 52 },
	{ "AES128-SHA256", 64 },
	{ "AES256-SHA384, CAMELLIA256-SHA384", 80 },
	{ "NULL-SHA256", 34 },
};

static void each_cipher_suite(void **state)
{
	for (size_t i = 0; i < sizeof(suites) / sizeof(*suites); i++) {
		print_message("# %s\n", suites[i].suite);
		alone(*state, ALERT, suites[i].length, 1000, i % 2);
	}
}

static void in_the_segment_of_the_fin(void **state)
{
	alone(*state, DATA, SMALLEST, 1000, true);
}

static void in_many_segments(void **state)
{
	alone(*state, ALERT, AES_GCM, 1, false);
	alone(*state, ALERT, AT_MOST, 1, false);
}

static void cut_in_the_header(void **state)
{
	alone(*state, DATA, SMALLEST, 3, true);
}

/* The application reads a record that came in the alert's own segment, in time;
 * the next look finds the alert alone.
 */
static void behind_a_record(void **state)
{
	uint8_t bytes[200];
	size_t first = record(bytes, DATA, 100);
	size_t n = record(bytes + first, DATA, SMALLEST);
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	say(&c, bytes, first + n, 1000, 1, true);
	expect_no_reset(&c, 60);
	/* all but the last byte of what is before the alert */
	read_these(&c, bytes, first - 1);
	expect_no_reset(&c, 900);
	read_these(&c, bytes + first - 1, 1);
	expect_reset(&c, first + n, A_LOOK + SOON);
	read_to_the_end(&c, bytes + first, n, ECONNRESET);
}

/* Whoever has begun to read the alert is about to read on */
static void partly_read(void **state)
{
	uint8_t alert[100];
	size_t n = record(alert, ALERT, AES_GCM);
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send_bytes(&c, alert, "P. 1:%zu(%zu) ack 1", n + 1, n);
	peer_expect_acks(&c, n + 1);
	read_these(&c, alert, 5);
	peer_send(&c, "F. %zu:%zu(0) ack 1", n + 1, n + 1);
	expect_no_reset(&c, 900);
	read_these(&c, alert + 5, n - 5);
	expect_reset(&c, n, A_LOOK + SOON);
	read_to_the_end(&c, alert, 0, ECONNRESET);
}

/* An urgent byte that was read out of band is not in the way */
static void behind_an_urgent_byte(void **state)
{
	uint8_t alert[100], byte;
	size_t n = record(alert, DATA, SMALLEST);
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	peer_send_bytes(&c, "!", "PU. 1:2(1) ack 1 urg 1");
	peer_expect_acks(&c, 2);
	assert_int_equal(recv(c.fd, &byte, 1, MSG_OOB), 1);
	say(&c, alert, n, 1000, 2, false);
	expect_reset(&c, n + 1, SOON);
	read_to_the_end(&c, alert, n, ECONNRESET);
}

/* Two records may be what somebody is about to read: they have a second */
static void two_records(struct host *h, int type, size_t length, int last,
			size_t last_length)
{
	uint8_t bytes[2 * (5 + TICKET)];
	size_t first = record(bytes, type, length);
	size_t n = record(bytes + first, last, last_length);
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	say(&c, bytes, first + n, first, 1, false);
	expect_no_reset(&c, 900);
	expect_reset(&c, first + n, A_SECOND - 900000 + SOON);
	read_these(&c, bytes, first);
	read_to_the_end(&c, bytes + first, n, ECONNRESET);
	rule(h, "-t mangle -F");
}

static void two(void **state)
{
	two_records(*state, ALERT, 2, ALERT, 2);
}

static void ticket_and_close_notify(void **state)
{
	two_records(*state, DATA, TICKET, DATA, SMALLEST);
}

static void goaway_and_close_notify(void **state)
{
	two_records(*state, DATA, GOAWAY, DATA, SMALLEST);
}

/* Not an alert by its type, nor by a length that only an alert has */
static void longer_than_an_alert(void **state)
{
	static const struct {
		int type;
		size_t length;
	} not_alerts[] = {
		{ DATA, SMALLEST - 1 }, { DATA, SMALLEST + 1 },
		{ DATA, AES_GCM }, { DATA, AT_MOST }, { ALERT, AT_MOST + 1 },
	};
	struct host *h = *state;
	uint8_t bytes[100];
	struct conn c;

	rule(h, ON_FIN);
	for (size_t i = 0; i < sizeof(not_alerts) / sizeof(*not_alerts); i++) {
		size_t n = record(bytes, not_alerts[i].type,
				  not_alerts[i].length);

		client(&c, h, 0);
		say(&c, bytes, n, 1000, 1, false);
		peer_take_acks(&c, 900);
		assert_int_equal(app_state(&c), TCP_CLOSE_WAIT);
		expect_reset(&c, n, A_SECOND - 900000 + SOON);
		read_to_the_end(&c, bytes, n, ECONNRESET);
	}
}

/* Each way to read, after the reset: all of it, then 0, then the error */
static void ways_to_read(void **state)
{
	uint8_t alert[100], got[100];
	size_t n = record(alert, DATA, SMALLEST);
	struct host *h = *state;
	struct conn c;
	int pipes[2];

	rule(h, ON_FIN);
	assert_int_equal(pipe2(pipes, O_NONBLOCK | O_CLOEXEC), 0);
	for (int way = 0; way < 5; way++) {
		int error = ECONNRESET;

		client(&c, h, 0);
		say(&c, alert, n, 10, 1, false);
		expect_reset(&c, n, SOON);
		memset(got, 0, sizeof(got));
		switch (way) {
		case 0:
			assert_int_equal(recv(c.fd, got, sizeof(got), MSG_PEEK),
					 n);
			break;
		case 1:
			assert_int_equal(recv(c.fd, got, sizeof(got),
					      MSG_WAITALL), n);
			break;
		case 2:
			for (size_t i = 0; i < n; i++)
				assert_int_equal(read(c.fd, got + i, 1), 1);
			break;
		case 3:
			for (size_t i = 0; i < n; ) {
				ssize_t part = splice(c.fd, NULL, pipes[1],
						      NULL, n - i, 0);

				assert_true(part > 0);
				assert_int_equal(read(pipes[0], got + i, part),
						 part);
				i += part;
			}
			break;
		case 4:		/* as event loops do that see EPOLLERR first */
			assert_int_equal(app_error(&c), error);
			error = EPIPE;
			assert_int_equal(recv(c.fd, got, sizeof(got), 0), n);
			break;
		}
		assert_memory_equal(got, alert, n);
		read_to_the_end(&c, alert, way ? 0 : n, error);
	}
	close(pipes[0]);
	close(pipes[1]);
}

/* Is this one whole alert and nothing else? */
static bool is_alert(const uint8_t *r, size_t n)
{
	size_t length = n >= 5 ? r[3] << 8 | r[4] : 0;

	if (n < 5 || r[1] != 3 || length != n - 5 || length > AT_MOST)
		return false;
	return r[0] == ALERT || (r[0] == DATA && length == SMALLEST);
}

/* What could be taken for an alert.  What is shorter than the two bytes that
 * an alert says is not among it.
 */
static size_t any_shape(uint8_t *r, uint32_t *dice)
{
	static const uint8_t types[] = { ALERT, DATA, ALERT, DATA, 20, 22, 24 };
	size_t length = chance(dice) % 3 ? SMALLEST : 2 + chance(dice) % 90;
	size_t n = record(r, types[chance(dice) % sizeof(types)], length);

	switch (chance(dice) % 8) {
	case 0:
		r[chance(dice) % 5] ^= 1 << chance(dice) % 8;
		break;
	case 1:
		r[2] = chance(dice);		/* the minor version: any */
		break;
	case 2:
		n -= 1 + chance(dice) % (n - 1);	/* not all of it */
		break;
	case 3:
		n += 1 + chance(dice) % 10;		/* and more */
		break;
	case 4:
		r[3] = chance(dice);
		break;
	}
	return n;
}

#define SHAPES	200
#define AT_ONCE	20	/* well within the second after which all go */

static void is_right(const struct conn *c, const uint8_t *shape, size_t size)
{
	bool reset = app_state(c) == TCP_CLOSE;

	if (reset != is_alert(shape, size))
		peer_fail(c, "%s: %u %u %u %u %u and %zu bytes",
			  reset ? "reset" : "not reset", shape[0], shape[1],
			  shape[2], shape[3], shape[4], size - 5);
}

static void fuzzed(void **state)
{
	static uint8_t shape[SHAPES][256];
	static size_t size[SHAPES];
	static struct conn c[SHAPES];
	struct host *h = *state;
	uint32_t dice = 2119;
	int alerts = 0;

	rule(h, ON_FIN);
	for (int i = 0; i < SHAPES; i++) {
		memset(shape[i], 21, sizeof(shape[i]));
		size[i] = any_shape(shape[i], &dice);
		alerts += is_alert(shape[i], size[i]);
		client(&c[i], h, 0);
		say(&c[i], shape[i], size[i], 1 + chance(&dice) % 30, 1,
		    chance(&dice) % 2);
		if ((i + 1) % AT_ONCE)
			continue;
		sleep_ms(500);
		for (int j = i + 1 - AT_ONCE; j <= i; j++)
			is_right(&c[j], shape[j], size[j]);
	}
	print_message("# %d of %d are alerts\n", alerts, SHAPES);
	assert_in_range(alerts, SHAPES / 5, SHAPES * 4 / 5);
	wait_for(counter("resets") == SHAPES, 10000);
	for (int i = 0; i < SHAPES; i++) {
		read_these(&c[i], shape[i], size[i]);
		app_read_eof(&c[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(tls_1_2),
		ON_ALL(tls_1_3),
		ON_ALL(each_cipher_suite),
		ON_IPV6(in_the_segment_of_the_fin),
		ON_MAPPED(in_many_segments),
		ON_IPV4(cut_in_the_header),
		ON_IPV4(behind_a_record),
		ON_IPV6(partly_read),
		ON_IPV4(behind_an_urgent_byte),
		ON_MAPPED(two),
		ON_ALL(ticket_and_close_notify),
		ON_ALL(goaway_and_close_notify),
		ON_ALL(longer_than_an_alert),
		ON_ALL(ways_to_read),
		ON_IPV4(fuzzed), ON_IPV6(fuzzed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
