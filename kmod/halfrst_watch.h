/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _HALFRST_WATCH_H
#define _HALFRST_WATCH_H

#include <linux/types.h>

struct halfrst_fin;
struct net;
struct sock;
struct xt_halfrst_info;

void halfrst_watch(struct net *net, struct sock *sk,
		   const struct halfrst_fin *fin,
		   const struct xt_halfrst_info *info);
int halfrst_watch_init(void);
void halfrst_watch_exit(void);

#endif /* _HALFRST_WATCH_H */
