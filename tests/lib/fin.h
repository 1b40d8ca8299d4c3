/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * FINs that several rules tell apart by a mark, and what comes of them:
 *
 *	fin_rule(h, 1, "--reset-with epipe");		rules for marked FINs
 *	fin_send(h, &c, &(struct fin){ .at = 101, .mark = 1 });
 *	fin_reset(&c, start, 0, 100, EPIPE);		the one that TCP took
 */
#ifndef FIN_H
#define FIN_H

#include "host.h"

/* Numbers as in a script; what is not set is as an honest peer has it */
struct fin {
	uint32_t at;			/* the first byte's, or the FIN's own */
	uint16_t len;
	int mark;			/* 0: what no fin_rule() sees */
	uint32_t ack;			/* 0: 1 */
	bool bad_checksum;		/* TCP drops it */
};

/* A FIN's mark is in its DSCP field */
void fin_send(const struct host *h, const struct conn *c, const struct fin *f);
void fin_rule(const struct host *h, int mark, const char *options);

/* The RST that resets the socket, whatever comes before it; or NULL */
const struct segment *fin_answer(struct conn *c, int ms);

/* The socket is reset @least to @most ms after @start, and @error says so */
#define fin_reset(c, start, least, most, error) \
	fin_reset_at(c, __FILE__, __LINE__, start, least, most, error)
void fin_reset_at(struct conn *c, const char *file, int line, int64_t start,
		  int least, int most, int error);

/* It is half-closed, and remains so for @ms */
#define fin_no_reset(c, ms) \
	fin_no_reset_at(c, __FILE__, __LINE__, ms)
void fin_no_reset_at(struct conn *c, const char *file, int line, int ms);

/* Objects in all slab caches of these names: "halfrst*", "kmalloc-*" */
long fin_objects(const char *caches);

#endif /* FIN_H */
