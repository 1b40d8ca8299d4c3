/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The scripted peer: the test itself is the other end of a TUN device and
 * of every TCP connection on it.  It sends only what the script says and
 * checks each segment that the kernel sends.
 *
 * Segments are written as packetdrill writes them,
 *
 *	"FLAGS FIRST:NEXT(LENGTH) [ack N] [win N] [urg N]"
 *
 * FLAGS are S F R P U and '.' for ACK.  Sequence and acknowledgement numbers
 * count from each side's SYN, which is 0; the first byte is 1.  Where host.h's
 * app_begins() has sent a byte before the script, the application's numbers
 * count from that byte, so that its next one is 1 all the same.  They are
 * exact: nothing is acknowledged or repeated behind the script's back.
 */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kind {
	IPV4,
	IPV6,
	MAPPED,		/* IPv4 packets, AF_INET6 socket */
};

/* 192.0.2.1 and 2001:db8::1 are the application's, .2 and ::2 the peer's */
#define APP_IPV4	"192.0.2.1"
#define APP_IPV6	"2001:db8::1"
#define PEER_IPV4	"192.0.2.2"
#define PEER_IPV6	"2001:db8::2"

#define PEER_MTU	1500

/* How a segment differs from an honest one */
enum {
	BAD_CHECKSUM	= 1 << 0,
	OLD_TIMESTAMP	= 1 << 1,
};

/* Options of the peer's SYN or SYN-ACK */
enum {
	TIMESTAMPS	= 1 << 0,	/* if the application's side agrees */
	WINDOW_SCALE	= 1 << 1,	/* large windows in both directions */
};

struct segment {
	int64_t when;			/* CLOCK_MONOTONIC, in us */
	bool from_peer;
	bool taken;			/* an expectation has seen it */
	uint16_t app_port;
	uint16_t peer_port;
	uint8_t flags;
	uint32_t seq;			/* as on the wire */
	uint32_t ack;
	uint32_t len;
	uint32_t window;
	bool timestamps;
	uint32_t tsval;
	int wscale;			/* of a SYN, -1 without */
	uint16_t mss;			/* of a SYN, 0 without */
	bool mptcp;			/* carries an MPTCP option */
	bool checksum_ok;
	uint8_t data[PEER_MTU];
};

struct peer {
	enum kind kind;
	int tun;
	uint16_t next_port;
	uint32_t iss;			/* of the next connection */
	struct segment **log;
	size_t segments;
};

struct conn {
	struct peer *peer;
	int fd;				/* the application's socket */
	uint16_t app_port;
	uint16_t peer_port;
	uint32_t iss;			/* the peer's SYN */
	uint32_t irs;			/* the application's SYN, or the byte
					 * that its script begins behind
					 */
	bool timestamps;
	uint32_t tsval_last;		/* of the application */
	int app_wscale;
	uint32_t app_ack;		/* what the last one seen allows: */
	uint32_t app_edge;		/* the peer may send up to here */
	uint32_t written;		/* by the application, for the pattern */
	uint32_t read;
};

/* Create the TUN device "peer0" in the current network namespace */
void peer_open(struct peer *p, enum kind kind);
void peer_close(struct peer *p);

/*
 * Wait for the application's SYN to @port, answer it with @options and take
 * the ACK that completes the handshake.  Leaves @c->fd alone.
 */
void peer_accept(struct conn *c, struct peer *p, uint16_t port, int options);

/* Send a SYN to the application's @port; nothing is awaited */
void peer_syn(struct conn *c, struct peer *p, uint16_t port, int options);

/* peer_syn() and the rest of the handshake */
void peer_connect(struct conn *c, struct peer *p, uint16_t port, int options);

/* Longest wait for a segment that must come, in ms */
#define PEER_PATIENCE	5000

/* peer_send(c, "F. 1:1(0) ack 1"); more than one MTU is sent as GRO merges */
#define peer_send(c, ...) \
	peer_send_at(c, __FILE__, __LINE__, 0, NULL, __VA_ARGS__)
#define peer_send_twisted(c, twist, ...) \
	peer_send_at(c, __FILE__, __LINE__, twist, NULL, __VA_ARGS__)

/* With these bytes in place of the pattern that app_read() wants to see */
#define peer_send_bytes(c, bytes, ...) \
	peer_send_at(c, __FILE__, __LINE__, 0, bytes, __VA_ARGS__)

/*
 * TCP delays the ACK of the FIN to the next timer tick at least, and on a
 * connection that never received data no longer.  When that tick comes just
 * then, the ACK precedes the reset.  Only test_one_packet is about this, and
 * sets peer_strict; elsewhere one such ACK before a reset is overlooked.
 */
extern bool peer_strict;

/* The next segment on this connection is this one; returns it */
#define peer_expect(c, ...) \
	peer_expect_at(c, __FILE__, __LINE__, PEER_PATIENCE, __VA_ARGS__)
#define peer_expect_within(c, ms, ...) \
	peer_expect_at(c, __FILE__, __LINE__, ms, __VA_ARGS__)

/* No segment on this connection for @ms */
#define peer_expect_nothing(c, ms) \
	peer_expect_nothing_at(c, __FILE__, __LINE__, ms)

void peer_send_at(struct conn *c, const char *file, int line, int twist,
		  const void *bytes, const char *format, ...)
	__attribute__((format(printf, 6, 7)));
const struct segment *peer_expect_at(struct conn *c, const char *file,
				     int line, int ms, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
void peer_expect_nothing_at(struct conn *c, const char *file, int line,
			    int ms);

/* Take pure ACKs until one acknowledges everything before @ack */
#define peer_expect_acks(c, ack) \
	peer_expect_acks_at(c, __FILE__, __LINE__, ack)
void peer_expect_acks_at(struct conn *c, const char *file, int line,
			 uint32_t ack);

/* Take pure ACKs, window updates above all, until none comes for @ms */
#define peer_take_acks(c, ms) \
	peer_take_acks_at(c, __FILE__, __LINE__, ms)
void peer_take_acks_at(struct conn *c, const char *file, int line, int ms);

/* The next segment whatever it is, NULL if none comes within @ms */
const struct segment *peer_next(struct conn *c, int ms);

/* Relative numbers as used in scripts */
uint32_t peer_relative_seq(const struct conn *c, const struct segment *g);
uint32_t peer_relative_ack(const struct conn *c, const struct segment *g);

/* What the application's side sent so far, a line a segment; to be freed */
char *peer_transcript(const struct conn *c);

/* Print everything seen on @c, and fail the test */
#define peer_fail(c, ...) \
	peer_fail_at(c, __FILE__, __LINE__, __VA_ARGS__)
void peer_fail_at(const struct conn *c, const char *file, int line,
		  const char *format, ...)
	__attribute__((format(printf, 4, 5), noreturn));

/* Byte number @n of each stream, counted from 0 */
static inline uint8_t stream_byte(uint32_t n)
{
	return n * 31 + (n >> 8) * 7 + 5;
}

int64_t now_us(void);

#endif /* PEER_H */
