/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _HALFRST_CLAIM_H
#define _HALFRST_CLAIM_H

#include <linux/bitops.h>
#include <linux/types.h>
#include <net/tcp.h>

#include "halfrst_socket.h"
#include "xt_HALFRST.h"

/* In @info.flags of a claim, where no rule can have them: more bytes may have
 * followed, in other fragments; what comes before it was missing.
 */
#define HALFRST_CLAIM_OPEN	BIT(31)
#define HALFRST_CLAIM_EARLY	BIT(30)

/**
 * struct halfrst_claim - a FIN has met a rule, and may be the one that TCP takes
 * @next: of the same socket; those with one @end are neighbours, in the order of
 *        the rules
 * @end: the number behind the FIN
 * @progress: in place of it, once the FIN was taken; see halfrst_progress()
 * @seen: when that FIN came last
 * @since: in place of it, when TCP had taken the FIN and a process the
 *         connection, as a look saw it
 * @info: options of the rule
 *
 * Times are in jiffies, the lowest 32 bits.
 */
struct halfrst_claim {
	struct halfrst_claim	*next;
	union {
		u32		end;
		u32		progress;
	};
	union {
		u32		seen;
		u32		since;
	};
	struct xt_halfrst_info	info;
};

/**
 * halfrst_init_claim - what a FIN says for a rule
 * @c: to be filled
 * @fin: the FIN, which has come just now
 * @info: options of the rule; copied
 *
 * Context: any.
 */
static inline void halfrst_init_claim(struct halfrst_claim *c,
				      const struct halfrst_fin *fin,
				      const struct xt_halfrst_info *info)
{
	c->next = NULL;
	c->end = fin->end;
	c->seen = tcp_jiffies32;
	c->info = *info;
	if (fin->open)
		c->info.flags |= HALFRST_CLAIM_OPEN;
	if (fin->early)
		c->info.flags |= HALFRST_CLAIM_EARLY;
}

int halfrst_add_claim(struct halfrst_claim *first,
		      const struct halfrst_claim *claim, struct sock *sk);
bool halfrst_drop_old_claims(struct halfrst_claim *first, u32 rcv_nxt,
			     u32 oldest);
bool halfrst_keep_claims_of(struct halfrst_claim *first, u32 rcv_nxt);
bool halfrst_choose_claim(struct halfrst_claim *first, struct sock *sk);
void halfrst_free_claims(struct halfrst_claim *first);

#endif /* _HALFRST_CLAIM_H */
