/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Segments by dice: what a hostile peer could put on the wire, from the
 * nearly right to the absurd. The same seed gives the same segments.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "host.h"

/* What a segment is made from; all numbers as on the wire */
struct forged {
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint16_t window;
	uint8_t flags;			/* FORGED_FIN and so on */
	uint16_t len;			/* of the payload */
	const uint8_t *options;
	uint8_t options_len;		/* at most 40 */
	int doff;			/* in words, 0 for what is right */
	bool bad_checksum;
	uint8_t extension;		/* IPv6: the next header, 0 for none */
	int fragment;			/* offset in bytes; -1: not a fragment */
	bool more;			/* fragments */
	int cut;			/* only so many bytes of it, if > 0 */
};

enum {
	FORGED_FIN = 1, FORGED_SYN = 2, FORGED_RST = 4,
	FORGED_PSH = 8, FORGED_ACK = 16, FORGED_URG = 32,
};

/* From the peer's address to the application's */
void forge(const struct host *h, const struct forged *f);

/* Nearly the next segment of this connection, or nothing like it */
void fuzz_segment(const struct host *h, const struct conn *c, uint32_t *seed);

/* Drop what the kernel has sent and the log of it; returns RSTs seen */
int fuzz_drain(struct host *h);

#endif /* FUZZ_H */
