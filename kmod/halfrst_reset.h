/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _HALFRST_RESET_H
#define _HALFRST_RESET_H

#include <linux/types.h>

struct sock;

bool halfrst_reset(struct sock *sk, int error);

#endif /* _HALFRST_RESET_H */
