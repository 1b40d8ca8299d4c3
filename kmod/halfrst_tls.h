/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _HALFRST_TLS_H
#define _HALFRST_TLS_H

#include <linux/types.h>

struct sock;

bool halfrst_is_tls_alert(const struct sock *sk, u32 from, u32 unread);
bool halfrst_has_tls(const struct sock *sk);
bool halfrst_tls_holds(const struct sock *sk);

#endif /* _HALFRST_TLS_H */
