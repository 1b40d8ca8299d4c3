/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _HALFRST_TARGET_H
#define _HALFRST_TARGET_H

#include <linux/types.h>

struct net;
struct sk_buff;
struct xt_halfrst_info;

void halfrst_fin(struct net *net, struct sk_buff *skb, u8 family,
		 unsigned int thoff, const struct xt_halfrst_info *info);

#endif /* _HALFRST_TARGET_H */
