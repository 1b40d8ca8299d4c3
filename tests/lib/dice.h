/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Chance, and segments by dice: what a hostile peer could put on the wire, from
 * the nearly right to the absurd. The same seed gives the same segments.
 */
#ifndef DICE_H
#define DICE_H

#include "host.h"

/* Small and repeatable; never 0 */
uint32_t chance(uint32_t *seed);

/* @usual times, or @often with HALFRST_LONG */
int how_often(int usual, int often);

/* What a segment is made from; all numbers as on the wire */
struct forged {
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint16_t window;
	uint8_t flags;			/* segment.h has them */
	uint16_t len;			/* of the payload */
	const uint8_t *options;
	uint8_t options_len;		/* at most 40 */
	int doff;			/* in words, 0 for what is right */
	bool bad_checksum;
	uint8_t extension;		/* IPv6: the next header, 0 for none */
	int fragment;			/* offset in bytes; -1: not a fragment */
	bool more;			/* fragments */
	int cut;			/* only so many bytes of it, if > 0 */
	uint8_t ttl;			/* 0 for the usual 64 */
	uint8_t dscp;
};

/* From the peer's address to the application's */
void forge(const struct host *h, const struct forged *f);

/* Nearly the next segment of this connection, or nothing like it */
void fuzz_segment(const struct host *h, const struct conn *c, uint32_t *seed);

/* Drop what the kernel has sent and the log of it; returns RSTs seen */
int fuzz_drain(struct host *h);

#endif /* DICE_H */
