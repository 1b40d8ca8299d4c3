/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _HALFRST_WATCH_H
#define _HALFRST_WATCH_H

#include <linux/types.h>

struct net;
struct sock;
struct xt_halfrst_info;

bool halfrst_exempt(const struct sock *sk);
void halfrst_watch(struct sock *sk, const struct xt_halfrst_info *info);
unsigned int halfrst_watching(const struct net *net);
int halfrst_watch_init(void);
void halfrst_watch_stop(void);
void halfrst_watch_exit(void);

#endif /* _HALFRST_WATCH_H */
