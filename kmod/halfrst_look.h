/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _HALFRST_LOOK_H
#define _HALFRST_LOOK_H

#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uidgid.h>

#include "halfrst_claim.h"

struct sock;

/**
 * enum halfrst_reason - why a socket is watched, reset or let go
 * @HALFRST_REASON_FIN: a FIN matched a rule (watch)
 * @HALFRST_REASON_STILL: half-closed and still (reset)
 * @HALFRST_REASON_DEADLINE: the deadline is over (reset)
 * @HALFRST_REASON_DRY_RUN: would have been reset (forget)
 * @HALFRST_REASON_CLOSED: closed by the application or a RST (forget)
 * @HALFRST_REASON_EXEMPT: a socket that is left alone (forget)
 * @HALFRST_REASON_EXPIRED: TCP has not taken the FIN (forget)
 * @HALFRST_REASON_UNLOAD: the module or the namespace goes away (forget)
 * @HALFRST_REASON_OWNER: accepted by somebody else than the rule means (forget)
 * @HALFRST_REASON_FULL: its first look was not the last, and too many are
 *                       watched, or none may be any more (forget)
 * @HALFRST_REASON_NOMEM: likewise, and out of memory (forget)
 * @HALFRST_REASON_REPEATED: likewise, and the socket is watched already (forget)
 * @HALFRST_REASON_LOOK_AGAIN: nothing of all this yet; not traced
 */
enum halfrst_reason {
	HALFRST_REASON_FIN,
	HALFRST_REASON_STILL,
	HALFRST_REASON_DEADLINE,
	HALFRST_REASON_DRY_RUN,
	HALFRST_REASON_CLOSED,
	HALFRST_REASON_EXEMPT,
	HALFRST_REASON_EXPIRED,
	HALFRST_REASON_UNLOAD,
	HALFRST_REASON_OWNER,
	HALFRST_REASON_FULL,
	HALFRST_REASON_NOMEM,
	HALFRST_REASON_REPEATED,
	HALFRST_REASON_LOOK_AGAIN,
};

/**
 * struct halfrst_state - what one look leaves to the next
 * @first: the first claim, and once the FIN was taken the one that counts
 * @active: when there was the last activity; until then when a FIN came last
 * @due: when the next look is due
 * @life: see halfrst_life()
 * @uid: the socket's owner
 * @lock: held throughout a look, and by a FIN that changes the state; comes
 *        before the socket's spinlock
 * @taken: TCP has taken the FIN: only claims to that one are left
 * @begun: and a process has accepted the connection: one claim is left
 * @pending: the last look found something that postpones the reset
 * @dead: the last look has been
 * @ipv6: an AF_INET6 socket
 *
 * Times are in jiffies, the lowest 32 bits.
 */
struct halfrst_state {
	struct halfrst_claim	first;
	u32			active;
	u32			due;
	u32			life;
	kuid_t			uid;
	spinlock_t		lock;	/* looks and FINs */
	u8			taken : 1,
				begun : 1,
				pending : 1,
				dead : 1,
				ipv6 : 1;
};

void halfrst_begin(struct halfrst_state *s, const struct sock *sk);
int halfrst_refresh(struct halfrst_state *s, const struct halfrst_claim *claims,
		    struct sock *sk);
bool halfrst_is_another_life(const struct halfrst_state *s,
			     const struct sock *sk);
enum halfrst_reason halfrst_look(struct halfrst_state *s, struct sock *sk);
bool halfrst_look_is_due(const struct halfrst_state *s);
unsigned long halfrst_next_look(const struct halfrst_state *s);

#endif /* _HALFRST_LOOK_H */
