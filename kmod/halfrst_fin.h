/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _HALFRST_FIN_H
#define _HALFRST_FIN_H

#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/types.h>

#include "halfrst_compat.h"

struct net;
struct xt_halfrst_info;

/**
 * halfrst_may_be_fin - is it worth a call of halfrst_receive_fin()?
 * @skb: a segment
 * @thoff: where its TCP header begins
 *
 * What each packet goes through.
 *
 * Context: any.
 * Return: false if it is no FIN; true also for a header that is in pieces.
 */
static inline bool halfrst_may_be_fin(const struct sk_buff *skb,
				      unsigned int thoff)
{
	const struct tcphdr *th;

	th = skb_pointer_if_linear(skb, thoff, sizeof(*th));
	return unlikely(!th || th->fin);
}

void halfrst_receive_fin(struct net *net, struct sk_buff *skb, u8 family,
			 unsigned int thoff,
			 const struct xt_halfrst_info *info);

#ifdef HALFRST_CORE_ELSEWHERE
/* Another module holds the core, and exports its door */
static inline int halfrst_core_init(void)
{
	return 0;
}

static inline void halfrst_core_exit(void)
{
}
#else
int halfrst_core_init(void);
void halfrst_core_exit(void);
#endif

#endif /* _HALFRST_FIN_H */
