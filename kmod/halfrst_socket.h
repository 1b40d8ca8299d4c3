/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _HALFRST_SOCKET_H
#define _HALFRST_SOCKET_H

#include <linux/in6.h>
#include <linux/types.h>

#include "xt_HALFRST.h"

struct net;
struct sock;

/**
 * struct halfrst_name - what a connection's socket is found by
 * @peer: the peer's address; IPv4 as IPv4-mapped IPv6, one layout for both
 * @local: ours
 * @peer_port: the peer's port
 * @local_port: ours
 * @dif: the device that the socket is bound to, or 0
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
 * struct halfrst_path - the devices that a segment has come through
 * @dif: the device, or the VRF that it is in
 * @sdif: the device itself if it is in a VRF, or 0
 */
struct halfrst_path {
	int	dif;
	int	sdif;
};

#define HALFRST_LONGEST_PACKET	65535	/* in all its fragments */

/**
 * struct halfrst_fin - what a FIN says
 * @seq: the number of its first byte
 * @end: the number behind it, as far as its length is known
 * @ack: what it acknowledges
 * @path: what it has come through
 * @open: more bytes may follow before the FIN, in other fragments
 * @adjusted: conntrack is going to change @ack
 * @early: something that comes before it is missing
 */
struct halfrst_fin {
	u32	seq;
	u32	end;
	u32	ack;
	struct halfrst_path path;
	bool	open;
	bool	adjusted;
	bool	early;
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

/**
 * enum halfrst_attention - may the application be about to do something?
 * @HALFRST_ATTENTION_NONE: nothing is left that it could read
 * @HALFRST_ATTENTION_BRIEF: it has little to read, or has not learnt yet that it
 *                           is connected
 * @HALFRST_ATTENTION_LASTING: it has much to read, and may take its time
 */
enum halfrst_attention {
	HALFRST_ATTENTION_NONE,
	HALFRST_ATTENTION_BRIEF,
	HALFRST_ATTENTION_LASTING,
};

u32 halfrst_hash_name(const void *key, u32 len, u32 seed);
void halfrst_get_name(struct halfrst_name *name, const struct sock *sk);
struct sock *halfrst_find_socket(struct net *net, const struct halfrst_name *n,
				 const struct halfrst_path *path);
bool halfrst_may_take_fin(struct sock *sk, struct halfrst_fin *fin);
bool halfrst_has_taken_fin(struct sock *sk, u32 end);
bool halfrst_may_hold_fin(struct sock *sk, u32 end);
u32 halfrst_life(const struct sock *sk);
bool halfrst_is_exempt(struct sock *sk);
enum halfrst_owner halfrst_check_owner(struct sock *sk,
				       const struct xt_halfrst_info *info);
bool halfrst_has_layer(const struct sock *sk);
bool halfrst_expects_more(const struct sock *sk);
bool halfrst_is_pending(struct sock *sk, bool layer);
enum halfrst_attention halfrst_attention(struct sock *sk, bool layer);
u32 halfrst_progress(const struct sock *sk);

/**
 * halfrst_match_owner - is this the owner that the rule means?
 * @sk: a full socket
 * @info: the rule, which may mean everybody
 *
 * Context: any.
 * Return: see there.
 */
static inline enum halfrst_owner
halfrst_match_owner(struct sock *sk, const struct xt_halfrst_info *info)
{
	return info->flags & (XT_HALFRST_UID | XT_HALFRST_GID) ?
	       halfrst_check_owner(sk, info) : HALFRST_OWNER_MEANT;
}

#endif /* _HALFRST_SOCKET_H */
