// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a socket is and what it has pending: the only file that reads TCP's
 * state.
 *
 * Where it says "locked", the socket's spinlock is held and no process owns the
 * socket: it keeps its state, its queues and its struct socket.
 */
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/skmsg.h>
#include <linux/user_namespace.h>
#include <net/mptcp.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "halfrst_compat.h"
#include "halfrst_socket.h"
#include "halfrst_tls.h"
#include "xt_HALFRST.h"

/**
 * halfrst_get_name - the connection's name
 * @name: to be filled
 * @sk: a full or a request socket
 *
 * Context: any.
 */
void halfrst_get_name(struct halfrst_name *name, const struct sock *sk)
{
	ipv6_addr_set_v4mapped(sk->sk_daddr, &name->peer);
	ipv6_addr_set_v4mapped(sk->sk_rcv_saddr, &name->local);
#if IS_ENABLED(CONFIG_IPV6)
	if (sk->sk_family == AF_INET6) {
		name->peer = sk->sk_v6_daddr;
		name->local = sk->sk_v6_rcv_saddr;
	}
#endif
	name->peer_port = sk->sk_dport;
	name->local_port = htons(sk->sk_num);
	name->dif = sk->sk_bound_dev_if;
}

/**
 * halfrst_find_socket - the socket of that name, by TCP's own hash table
 * @net: network namespace
 * @n: name
 * @sdif: interface of the VRF's slave that a segment has come through, or 0
 *
 * Context: under rcu_read_lock().
 * Return: a socket with a reference that sock_gen_put() drops, or NULL.  Perhaps
 * another life of it, perhaps a request or time-wait socket.
 */
struct sock *halfrst_find_socket(struct net *net, const struct halfrst_name *n,
				 int sdif)
{
#if IS_ENABLED(CONFIG_IPV6)
	if (!ipv6_addr_v4mapped(&n->peer))
		return halfrst_lookup6(net, &n->peer, n->peer_port, &n->local,
				       ntohs(n->local_port), n->dif, sdif);
#endif
	return halfrst_lookup4(net, n->peer.s6_addr32[3], n->peer_port,
			       n->local.s6_addr32[3], ntohs(n->local_port),
			       n->dif, sdif);
}

/**
 * halfrst_life - what tells one life of a socket from the next
 * @sk: a full socket
 *
 * The peer's first sequence number: connect() after AF_UNSPEC gets another.
 *
 * Context: locked; if not, it is wrong when TCP takes data at this very moment.
 * Return: the number.
 */
u32 halfrst_life(const struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	return READ_ONCE(tp->rcv_nxt) - (u32)READ_ONCE(tp->bytes_received);
}

/* Has a part of the kernel taken the socket for itself?  Sockmap's mark does
 * not count.
 */
static bool halfrst_kernel_owned(struct sock *sk)
{
	return sk->sk_kern_sock || (sk->sk_socket && !sk->sk_socket->file) ||
	       (rcu_dereference_sk_user_data(sk) && !sk_psock(sk));
}

/**
 * halfrst_is_exempt - is this a socket that is always left alone?
 * @sk: a full socket
 *
 * The kernel's own and MPTCP's have an owner that does not expect a reset from
 * inside, one in repair mode belongs to a checkpoint, and a RST that must be
 * signed cannot be made here.
 *
 * Context: locked, under rcu_read_lock().
 * Return: true if it is.
 */
bool halfrst_is_exempt(struct sock *sk)
{
	return sk_is_mptcp(sk) || tcp_sk(sk)->repair || halfrst_must_sign(sk) ||
	       halfrst_kernel_owned(sk);
}

static bool halfrst_in_range(u32 id, u32 min, u32 max)
{
	/* An id without a name in the namespace is (u32)-1, above any max */
	return id >= min && id <= max;
}

/**
 * halfrst_match_owner - is this the owner that the rule means?
 * @sk: a full socket
 * @info: the rule; ids are meant in the user namespace of @sk's network
 *        namespace
 *
 * uid and gid are those of the process that opened or accepted the socket.
 *
 * Context: any.
 * Return: see there.
 */
enum halfrst_owner halfrst_match_owner(struct sock *sk,
				       const struct xt_halfrst_info *info)
{
	struct user_namespace *ns = sock_net(sk)->user_ns;
	enum halfrst_owner owner = HALFRST_OWNER_UNKNOWN;
	u32 flags = info->flags;
	bool match = true;

	if (!(flags & (XT_HALFRST_UID | XT_HALFRST_GID)))
		return HALFRST_OWNER_MEANT;
	/* Against sock_orphan(): with the lock, socket and file stay */
	read_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_socket) {
		const struct file *file = sk->sk_socket->file;
		uid_t uid = from_kuid(ns, READ_ONCE(sk->sk_uid));
		gid_t gid = file ? from_kgid(ns, file->f_cred->fsgid) : -1;

		if (flags & XT_HALFRST_UID)
			match &= halfrst_in_range(uid, info->uid_min,
						  info->uid_max) !=
				 !!(flags & XT_HALFRST_UID_INV);
		if (flags & XT_HALFRST_GID)
			match &= halfrst_in_range(gid, info->gid_min,
						  info->gid_max) !=
				 !!(flags & XT_HALFRST_GID_INV);
		owner = match ? HALFRST_OWNER_MEANT : HALFRST_OWNER_OTHER;
	}
	read_unlock_bh(&sk->sk_callback_lock);
	return owner;
}

/* Did not even one byte pass, and has connect() not returned yet?  Then it
 * shall return what it would have returned.  A program that does not wait in
 * connect() and never asks it again looks the same for ever.
 */
static bool halfrst_is_connecting(const struct sock *sk)
{
	return sk->sk_socket->state == SS_CONNECTING &&
	       !tcp_sk(sk)->data_segs_in && !tcp_sk(sk)->data_segs_out;
}

/* How many bytes does read() still return, and from where?  The FIN takes a
 * sequence number until the end of file was read, and so does an urgent byte
 * that was read out of band.
 */
static u32 halfrst_unread(const struct sock *sk, u32 *from)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	u32 unread = tp->rcv_nxt - tp->copied_seq;

	*from = tp->copied_seq;
	if (unread)
		unread--;
	if (unread && tp->urg_data == TCP_URG_READ && tp->urg_seq == *from &&
	    !sock_flag(sk, SOCK_URGINLINE)) {
		++*from;
		unread--;
	}
	return unread;
}

/**
 * halfrst_has_layer - is there a layer above TCP: kTLS, sockmap?
 * @sk: a full socket
 *
 * It may hold bytes that were written, which cannot be seen from here.
 *
 * Context: locked, under rcu_read_lock().
 * Return: true if there is.
 */
bool halfrst_has_layer(const struct sock *sk)
{
	return inet_csk(sk)->icsk_ulp_ops || sk_psock(sk);
}

/**
 * halfrst_expects_more - is there more to come behind the last write?
 * @sk: a full socket
 *
 * Between two pages of sendfile() or splice() a process is not blocked in a
 * write, and may lose its CPU there.  TCP_CORK says that more is to come; and TCP
 * marks the end of a write as pushed, but neither what MSG_MORE or these two
 * wrote, nor a part.  It does when it sends the last part for want of more,
 * after 200 ms or half a window: then nothing tells.
 *
 * Context: locked.
 * Return: true if there is, as far as TCP knows.
 */
bool halfrst_expects_more(const struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	return tp->pushed_seq != tp->write_seq || tp->nonagle & TCP_NAGLE_CORK;
}

/**
 * halfrst_is_pending - is anything on its way, in either direction?
 * @sk: a socket in CLOSE_WAIT that was accepted
 *
 * What is on its way to the peer would be lost by a reset.
 *
 * Context: locked, under rcu_read_lock().
 * Return: true if something is.
 */
bool halfrst_is_pending(struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	return tp->snd_una != tp->write_seq || sk->sk_write_pending ||
	       halfrst_is_readable(sk);
}

/**
 * halfrst_is_attended - may the application be about to do something?
 * @sk: a socket in CLOSE_WAIT that was accepted
 *
 * Read what it has not read yet, or learn that it is connected.  A reset would
 * lose nothing; but without a grace nothing else tells that nobody comes.
 *
 * Context: locked.
 * Return: true if it may.
 */
bool halfrst_is_attended(struct sock *sk)
{
	u32 from, unread = halfrst_unread(sk, &from);

	return halfrst_is_connecting(sk) ||
	       (unread && !halfrst_is_tls_alert(sk, from, unread));
}
