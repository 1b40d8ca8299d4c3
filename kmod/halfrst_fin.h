/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _HALFRST_FIN_H
#define _HALFRST_FIN_H

#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/types.h>

struct net;
struct xt_halfrst_info;

/**
 * halfrst_fin_header - is a segment a FIN?
 * @skb: the segment
 * @thoff: where its TCP header begins
 * @buf: for a header that is not in one piece
 *
 * What each packet goes through.
 *
 * Context: any.
 * Return: the header, or NULL if there is none or it has no FIN.
 */
static inline const struct tcphdr *
halfrst_fin_header(const struct sk_buff *skb, unsigned int thoff,
		   struct tcphdr *buf)
{
	const struct tcphdr *th;

	th = skb_header_pointer(skb, thoff, sizeof(*buf), buf);
	return unlikely(!th || th->fin) ? th : NULL;
}

void halfrst_receive_fin(struct net *net, struct sk_buff *skb, u8 family,
			 unsigned int thoff, const struct tcphdr *th,
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
