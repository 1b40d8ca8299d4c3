/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _HALFRST_LOOK_H
#define _HALFRST_LOOK_H

#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uidgid.h>

#include "xt_HALFRST.h"

struct sock;

/**
 * enum halfrst_reason - why a socket is watched, reset or let go
 * @HALFRST_REASON_FIN: a FIN matched a rule (watch)
 * @HALFRST_REASON_STILL: half-closed and still (reset)
 * @HALFRST_REASON_DEADLINE: the deadline is over (reset)
 * @HALFRST_REASON_DRY_RUN: would have been reset (forget)
 * @HALFRST_REASON_CLOSED: closed by the application or a RST (forget)
 * @HALFRST_REASON_EXEMPT: a socket that is left alone (forget)
 * @HALFRST_REASON_EXPIRED: the FIN never took effect (forget)
 * @HALFRST_REASON_UNLOAD: the module or the namespace goes away (forget)
 * @HALFRST_REASON_OWNER: accepted by somebody else than the rule means (forget)
 * @HALFRST_REASON_FULL: its first look was not the last, and too many are
 *                       watched (forget)
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
 * @info: options of the rule
 * @since: when TCP had accepted the FIN and a process the connection, as a look
 *         saw it; until then when the last FIN came
 * @active: when there was the last activity; until then as @since
 * @due: when the next look is due
 * @progress: copied_seq + write_seq, which grows when the application reads or
 *            writes
 * @life: see halfrst_life()
 * @uid: the socket's owner
 * @lock: held throughout a look, and by a FIN that changes the state; comes
 *        before the socket's spinlock
 * @begun: the FIN was accepted, and the connection, too
 * @known: @life is set
 * @pending: the last look found something that postpones the reset
 * @dead: the last look has been
 * @ipv6: an AF_INET6 socket
 *
 * Times are in jiffies, the lowest 32 bits.
 */
struct halfrst_state {
	struct xt_halfrst_info	info;
	u32			since;
	u32			active;
	u32			due;
	u32			progress;
	u32			life;
	kuid_t			uid;
	spinlock_t		lock;	/* looks and FINs */
	u8			begun : 1,
				known : 1,
				pending : 1,
				dead : 1,
				ipv6 : 1;
};

void halfrst_begin(struct halfrst_state *s, const struct sock *sk,
		   const struct xt_halfrst_info *info);
enum halfrst_reason halfrst_look(struct halfrst_state *s, struct sock *sk);
bool halfrst_look_is_due(const struct halfrst_state *s);
void halfrst_hurry(struct halfrst_state *s);
unsigned long halfrst_next_look(const struct halfrst_state *s);

#endif /* _HALFRST_LOOK_H */
