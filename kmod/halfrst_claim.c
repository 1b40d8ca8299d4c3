// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which FINs have met which rules, of one socket.
 *
 * Anybody can send a FIN.  Each that TCP could take brings its rule's options,
 * and none decides anything: TCP says later which one it has taken, by its
 * number.  The usual claim is the only one, and lies in its watch.
 *
 * All functions are called with the watch's lock held, or before anybody else
 * knows the watch.
 */
#include <linux/errno.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <net/tcp.h>

#include "halfrst_claim.h"
#include "halfrst_socket.h"
#include "xt_HALFRST.h"

#define MOST_EARLY	4	/* different FINs of one socket, for one that is early */
#define MOST_ENDS	8	/* and for one that TCP may take at once */
#define MOST_RULES	32	/* that have seen one of them */

/* Is it the FIN that TCP has taken, which has moved rcv_nxt behind it? */
static bool halfrst_claim_fits(const struct halfrst_claim *c, u32 rcv_nxt,
			       u32 oldest)
{
	if (c->info.flags & HALFRST_CLAIM_OPEN)
		return !before(rcv_nxt, c->end) &&
		       !after(rcv_nxt, c->end + HALFRST_LONGEST_PACKET);
	return c->end == rcv_nxt;
}

/* May TCP still take it? */
static bool halfrst_claim_lives(const struct halfrst_claim *c, u32 rcv_nxt,
				u32 oldest)
{
	u32 end = c->end;

	if (c->info.flags & HALFRST_CLAIM_OPEN)
		end += HALFRST_LONGEST_PACKET;
	return !before(end, rcv_nxt) && (s32)(c->seen - oldest) > 0;
}

/* Takes out what is behind @link */
static void halfrst_unlink_claim(struct halfrst_claim **link)
{
	struct halfrst_claim *c = *link;

	*link = c->next;
	kfree(c);
}

/* The first one lies in the watch: the second takes its place.  Returns false if
 * there is none.
 */
static bool halfrst_drop_first_claim(struct halfrst_claim *first)
{
	struct halfrst_claim *second = first->next;

	if (!second)
		return false;
	*first = *second;
	kfree(second);
	return true;
}

/* Of those that are to go when there are too many: the one that was seen longest
 * ago and that TCP does not hold.  If it holds them all they stay; or if nobody can
 * tell, because a process owns the socket.  Then only what may be taken at once
 * gets the room of the highest, which TCP would take last.  NULL if there is none,
 * or that is @claim.
 */
static struct halfrst_claim *
halfrst_choose_victim(struct halfrst_claim *first,
		      const struct halfrst_claim *claim, struct sock *sk)
{
	struct halfrst_claim *oldest = NULL, *highest = NULL, *c;

	for (c = first; c; c = c->next) {
		if ((!oldest || before(c->seen, oldest->seen)) &&
		    !halfrst_may_hold_fin(sk, c->end))
			oldest = c;
		if (after(c->end, highest ? highest->end : claim->end))
			highest = c;
	}
	if (oldest || claim->info.flags & HALFRST_CLAIM_EARLY)
		return oldest;
	return highest;
}

/* Of a socket that has too many: all of one number */
static bool halfrst_make_room(struct halfrst_claim *first,
			      const struct halfrst_claim *claim,
			      struct sock *sk)
{
	struct halfrst_claim **link = &first->next;
	struct halfrst_claim *victim = halfrst_choose_victim(first, claim, sk);
	u32 end;

	if (!victim)
		return false;
	end = victim->end;
	while (*link) {
		if ((*link)->end == end)
			halfrst_unlink_claim(link);
		else
			link = &(*link)->next;
	}
	if (first->end == end)
		halfrst_drop_first_claim(first);
	return true;
}

static bool halfrst_same_options(const struct xt_halfrst_info *a,
				 const struct xt_halfrst_info *b)
{
	struct xt_halfrst_info c = *a;

	c.flags ^= (a->flags ^ b->flags) & HALFRST_CLAIM_EARLY;
	return !memcmp(&c, b, sizeof(c));
}

/**
 * halfrst_add_claim - one more FIN has met a rule
 * @first: the claims that are there
 * @claim: the new one; copied
 * @sk: the socket, a full or a request one
 *
 * A FIN that comes again makes its claim younger.
 *
 * Context: bottom halves off; the socket's spinlock is not held.
 * Return: 0, -ENOSPC if this socket has too many, or -ENOMEM.
 */
int halfrst_add_claim(struct halfrst_claim *first,
		      const struct halfrst_claim *claim, struct sock *sk)
{
	int most = claim->info.flags & HALFRST_CLAIM_EARLY ? MOST_EARLY : MOST_ENDS;
	struct halfrst_claim *behind = NULL, *c;
	int ends = 0, rules = 0;

	for (c = first; c; c = c->next) {
		ends += !c->next || c->next->end != c->end;
		if (c->end != claim->end)
			continue;
		if (halfrst_same_options(&c->info, &claim->info)) {
			c->seen = claim->seen;
			return 0;
		}
		rules++;
		behind = c;
	}
	if (rules == MOST_RULES)
		return -ENOSPC;
	c = kmalloc(sizeof(*c), GFP_ATOMIC | __GFP_NOWARN);
	if (!c)
		return -ENOMEM;
	if (!rules && ends >= most &&
	    !halfrst_make_room(first, claim, sk)) {
		kfree(c);
		return -ENOSPC;
	}
	*c = *claim;
	if (!behind)
		for (behind = first; behind->next; behind = behind->next)
			;
	c->next = behind->next;
	behind->next = c;
	return 0;
}

typedef bool halfrst_stays(const struct halfrst_claim *c, u32 rcv_nxt,
			   u32 oldest);

/* Inline, so that @stays is no call through a pointer */
static __always_inline bool
halfrst_sweep_claims(struct halfrst_claim *first, halfrst_stays *stays,
		     u32 rcv_nxt, u32 oldest)
{
	struct halfrst_claim **link = &first->next;

	while (*link) {
		if (stays(*link, rcv_nxt, oldest))
			link = &(*link)->next;
		else
			halfrst_unlink_claim(link);
	}
	return stays(first, rcv_nxt, oldest) || halfrst_drop_first_claim(first);
}

/**
 * halfrst_drop_old_claims - forget FINs that TCP will not take any more
 * @first: the claims
 * @rcv_nxt: the number that TCP expects next
 * @oldest: those that were seen then, or before, go, too
 *
 * Context: any.
 * Return: false if none is left.
 */
bool halfrst_drop_old_claims(struct halfrst_claim *first, u32 rcv_nxt,
			     u32 oldest)
{
	return halfrst_sweep_claims(first, halfrst_claim_lives, rcv_nxt,
				    oldest);
}

/**
 * halfrst_keep_claims_of - TCP has taken a FIN: forget all others
 * @first: the claims
 * @rcv_nxt: the number that TCP expects next
 *
 * Context: any.
 * Return: false if none is left.
 */
bool halfrst_keep_claims_of(struct halfrst_claim *first, u32 rcv_nxt)
{
	return halfrst_sweep_claims(first, halfrst_claim_fits, rcv_nxt, 0);
}

/* How much is said for it: a number that is known, a rule that is no trial */
static int halfrst_claim_rank(const struct halfrst_claim *c)
{
	return !(c->info.flags & HALFRST_CLAIM_OPEN) * 2 +
	       !(c->info.flags & XT_HALFRST_DRY_RUN);
}

/**
 * halfrst_choose_claim - whose options count?
 * @first: the claims to the FIN that was taken; the one that counts remains
 * @sk: the socket, accepted
 *
 * Of the rules that mean the socket's owner the first one counts that is no dry
 * run, else the first.
 *
 * Context: any.
 * Return: false if no rule means the owner.
 */
bool halfrst_choose_claim(struct halfrst_claim *first, struct sock *sk)
{
	struct halfrst_claim *best = NULL, *c;

	if (likely(!first->next))
		return halfrst_match_owner(sk, &first->info) ==
		       HALFRST_OWNER_MEANT;
	for (c = first; c; c = c->next)
		if (halfrst_match_owner(sk, &c->info) == HALFRST_OWNER_MEANT &&
		    (!best || halfrst_claim_rank(c) > halfrst_claim_rank(best)))
			best = c;
	if (!best)
		return false;
	if (best != first)
		first->info = best->info;
	halfrst_free_claims(first);
	return true;
}

/**
 * halfrst_free_claims - free all claims but the first
 * @first: the one that lies in its watch
 *
 * Context: any.
 */
void halfrst_free_claims(struct halfrst_claim *first)
{
	while (first->next)
		halfrst_unlink_claim(&first->next);
}
