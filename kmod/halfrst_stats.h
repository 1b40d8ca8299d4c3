/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _HALFRST_STATS_H
#define _HALFRST_STATS_H

#include "halfrst_look.h"

struct net;

/**
 * enum halfrst_stat - what became of a FIN
 * @HALFRST_FINS: FIN segments handed to the target
 * @HALFRST_RESETS: sockets reset
 * @HALFRST_DEADLINE: of these, by --deadline with bytes pending
 * @HALFRST_DRY_RUN: would have been reset
 * @HALFRST_CLOSED: the application, or the peer's RST, closed first
 * @HALFRST_NO_SOCKET: no local socket for the segment
 * @HALFRST_OTHER_OWNER: the socket belongs to somebody else
 * @HALFRST_WRONG_STATE: not an established connection
 * @HALFRST_EXEMPT: MPTCP, repair mode, signed, or a kernel socket
 * @HALFRST_EXPIRED: TCP could not take the FIN, or has not
 * @HALFRST_FULL: max_watches was reached, or the socket has too many FINs or
 *                rules
 * @HALFRST_NOMEM: out of memory
 * @HALFRST_REPEATED: the socket was being watched already
 * @HALFRST_WATCHING: is being watched now
 * @HALFRST_STATS: how many there are
 *
 * HALFRST_FINS is the sum of all others but HALFRST_DEADLINE.
 */
enum halfrst_stat {
	HALFRST_FINS,
	HALFRST_RESETS,
	HALFRST_DEADLINE,
	HALFRST_DRY_RUN,
	HALFRST_CLOSED,
	HALFRST_NO_SOCKET,
	HALFRST_OTHER_OWNER,
	HALFRST_WRONG_STATE,
	HALFRST_EXEMPT,
	HALFRST_EXPIRED,
	HALFRST_FULL,
	HALFRST_NOMEM,
	HALFRST_REPEATED,
	HALFRST_WATCHING,
	HALFRST_STATS
};

void halfrst_count(const struct net *net, enum halfrst_stat stat);
void halfrst_uncount(const struct net *net, enum halfrst_stat stat);
void halfrst_count_end(const struct net *net, enum halfrst_reason reason,
		       bool pending);
int halfrst_stats_init(void);
void halfrst_stats_exit(void);

#endif /* _HALFRST_STATS_H */
