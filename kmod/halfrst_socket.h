/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _HALFRST_SOCKET_H
#define _HALFRST_SOCKET_H

#include <linux/in6.h>
#include <linux/types.h>

struct net;
struct sock;
struct xt_halfrst_info;

/**
 * struct halfrst_name - what a connection's socket is found by
 * @peer: the peer's address; IPv4 as IPv4-mapped IPv6, one layout for both
 * @local: ours
 * @peer_port: the peer's port
 * @local_port: ours
 * @dif: the device that the socket is bound to, or 0; of a segment, the one
 *       that it has come through
 *
 * A key: it has no padding.
 */
struct halfrst_name {
	struct in6_addr	peer;
	struct in6_addr	local;
	__be16		peer_port;
	__be16		local_port;
	int		dif;
};

/**
 * enum halfrst_owner - is a socket's owner the one that a rule means?
 * @HALFRST_OWNER_MEANT: yes, or the rule means everybody
 * @HALFRST_OWNER_OTHER: no
 * @HALFRST_OWNER_UNKNOWN: nobody can tell before accept()
 */
enum halfrst_owner {
	HALFRST_OWNER_MEANT,
	HALFRST_OWNER_OTHER,
	HALFRST_OWNER_UNKNOWN,
};

void halfrst_get_name(struct halfrst_name *name, const struct sock *sk);
struct sock *halfrst_find_socket(struct net *net, const struct halfrst_name *n,
				 int sdif);
u32 halfrst_life(const struct sock *sk);
bool halfrst_is_exempt(struct sock *sk);
enum halfrst_owner halfrst_match_owner(struct sock *sk,
				       const struct xt_halfrst_info *info);
bool halfrst_has_layer(const struct sock *sk);
bool halfrst_expects_more(const struct sock *sk);
bool halfrst_is_pending(struct sock *sk);
bool halfrst_is_attended(struct sock *sk);

#endif /* _HALFRST_SOCKET_H */
