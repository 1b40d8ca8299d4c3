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
#include <linux/jhash.h>
#include <linux/user_namespace.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "halfrst_compat.h"
#include "halfrst_socket.h"
#include "halfrst_tls.h"
#include "xt_HALFRST.h"

#define LITTLE		4096	/* bytes */

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
 * halfrst_hash_name - hash of a name, for rhashtable
 * @key: the name
 * @len: its length in bytes
 * @seed: of the table
 *
 * An IPv4 address is 32 bits of its 128.
 *
 * Context: any.
 * Return: the hash.
 */
u32 halfrst_hash_name(const void *key, u32 len, u32 seed)
{
	const struct halfrst_name *n = key;

	if (!ipv6_addr_v4mapped(&n->peer))
		return jhash2(key, len / sizeof(u32), seed);
	return jhash_3words((__force u32)n->peer.s6_addr32[3],
			    (__force u32)n->local.s6_addr32[3],
			    (__force u32)n->peer_port << 16 |
			    (__force u32)n->local_port, seed);
}

/**
 * halfrst_find_socket - the socket of that name, by TCP's own hash table
 * @net: network namespace
 * @n: name, of which the device does not count
 * @path: what a segment has come through
 *
 * Context: under rcu_read_lock().
 * Return: a socket with a reference that sock_gen_put() drops, or NULL.  Perhaps
 * another life of it, perhaps a request or time-wait socket.
 */
struct sock *halfrst_find_socket(struct net *net, const struct halfrst_name *n,
				 const struct halfrst_path *path)
{
#if IS_ENABLED(CONFIG_IPV6)
	if (!ipv6_addr_v4mapped(&n->peer))
		return halfrst_lookup6(net, &n->peer, n->peer_port, &n->local,
				       ntohs(n->local_port), path->dif,
				       path->sdif);
#endif
	return halfrst_lookup4(net, n->peer.s6_addr32[3], n->peer_port,
			       n->local.s6_addr32[3], ntohs(n->local_port),
			       path->dif, path->sdif);
}

/* tcp_sequence(), without what differs between kernels: a segment that begins
 * inside the window, or at its edge, may be taken whole.
 */
static bool halfrst_in_window(const struct halfrst_fin *fin, u32 rcv_nxt,
			      u32 edge)
{
	u32 end = fin->open ? fin->end + HALFRST_LONGEST_PACKET : fin->end;

	if (before(edge, rcv_nxt))
		edge = rcv_nxt;
	return !before(end, rcv_nxt) && !after(fin->seq, edge);
}

/* tcp_ack() drops a segment that acknowledges what was never sent, or what was
 * acknowledged long ago.
 */
static bool halfrst_is_ack_valid(const struct tcp_sock *tp,
				 const struct halfrst_fin *fin)
{
	return fin->adjusted ||
	       (!after(fin->ack, tp->write_seq) &&
		!before(fin->ack, tp->snd_una - tp->max_window));
}

/* As it is now: a look asks again */
static bool halfrst_may_take(const struct sock *sk,
			     const struct halfrst_fin *fin)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	if (!halfrst_is_ack_valid(tp, fin))
		return false;
	/* It can only be the FIN that TCP has, once more */
	if (sk->sk_state == TCP_CLOSE_WAIT && !fin->open)
		return fin->end == tp->rcv_nxt;
	return halfrst_in_window(fin, tp->rcv_nxt, halfrst_right_edge(tp));
}

/**
 * halfrst_may_take_fin - can TCP take this FIN, or has it taken it?
 * @sk: a full or a request socket
 * @fin: the FIN
 *
 * Keeps out what no kernel takes (RFC 9293, 3.10.7.4), and lets through what any
 * may take: a FIN that is kept out by mistake is a socket that is never reset.
 * While a process owns the socket its window may move: then each may be it.
 * Sets @fin->early.
 *
 * Context: bottom halves off, the spinlock not held.
 * Return: false if it cannot.
 */
bool halfrst_may_take_fin(struct sock *sk, struct halfrst_fin *fin)
{
	const struct request_sock *req;
	bool may;

	if (!sk_fullsock(sk)) {
		req = inet_reqsk(sk);
		return halfrst_in_window(fin, tcp_rsk(req)->rcv_nxt,
					 tcp_rsk(req)->rcv_nxt +
					 req->rsk_rcv_wnd);
	}
	/* The window's edge may be behind rcv_nxt for an instant */
	bh_lock_sock_nested(sk);
	if (sock_owned_by_user(sk)) {
		may = true;
	} else {
		may = halfrst_may_take(sk, fin);
		fin->early = after(fin->seq, tcp_sk(sk)->rcv_nxt);
	}
	bh_unlock_sock(sk);
	return may;
}

/* Is a FIN among what has come too early?  TCP keeps that sorted, without any that
 * another covers: by where they end as well, though two may overlap.
 */
static bool halfrst_holds_fin(const struct sock *sk, u32 end)
{
	struct rb_node *node = tcp_sk(sk)->out_of_order_queue.rb_node;
	const struct tcp_skb_cb *cb;

	while (node) {
		cb = TCP_SKB_CB(rb_entry(node, struct sk_buff, rbnode));
		if (before(end, cb->end_seq))
			node = node->rb_left;
		else if (after(end, cb->end_seq))
			node = node->rb_right;
		else
			return cb->tcp_flags & TCPHDR_FIN;
	}
	return false;
}

/**
 * halfrst_may_hold_fin - does TCP keep a FIN until what is before it has come?
 * @sk: a full or a request socket
 * @end: the number behind the FIN
 *
 * Context: bottom halves off, the spinlock not held.
 * Return: true if it does, or if nobody can tell because a process owns the
 * socket.
 */
bool halfrst_may_hold_fin(struct sock *sk, u32 end)
{
	bool holds;

	if (!sk_fullsock(sk))
		return false;
	bh_lock_sock_nested(sk);
	holds = sock_owned_by_user(sk) || halfrst_holds_fin(sk, end);
	bh_unlock_sock(sk);
	return holds;
}

/**
 * halfrst_has_taken_fin - is this the FIN that TCP has taken?
 * @sk: a full or a request socket
 * @end: the number behind the FIN
 *
 * Context: bottom halves off, the spinlock not held.
 * Return: false if it is not, or if a process owns the socket.
 */
bool halfrst_has_taken_fin(struct sock *sk, u32 end)
{
	bool taken;

	if (!sk_fullsock(sk))
		return false;
	bh_lock_sock_nested(sk);
	taken = !sock_owned_by_user(sk) && sk->sk_state == TCP_CLOSE_WAIT &&
		tcp_sk(sk)->rcv_nxt == end;
	bh_unlock_sock(sk);
	return taken;
}

/**
 * halfrst_life - what tells one life of a socket from the next
 * @sk: a full socket
 *
 * Our own first sequence number, which no peer chooses: connect() after
 * AF_UNSPEC gets another.
 *
 * Context: locked.
 * Return: the number.
 */
u32 halfrst_life(const struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	return tp->snd_una - (u32)tp->bytes_acked;
}

/* Has a part of the kernel taken the socket for itself?  Sockmap's mark does
 * not count.  Before accept() nothing tells: a child has its listener's marks,
 * and a listener of MPTCP's is the kernel's own.
 */
static bool halfrst_is_kernels(struct sock *sk)
{
	return sk->sk_socket &&
	       (sk->sk_kern_sock || !sk->sk_socket->file ||
		(rcu_dereference_sk_user_data(sk) && !halfrst_psock(sk)));
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
	return halfrst_is_mptcp(sk) || tcp_sk(sk)->repair ||
	       halfrst_must_sign(sk) || halfrst_is_kernels(sk);
}

static bool halfrst_in_range(u32 id, u32 min, u32 max)
{
	/* An id without a name in the namespace is (u32)-1, above any max */
	return id >= min && id <= max;
}

/**
 * halfrst_check_owner - is this the owner that a rule with owners means?
 * @sk: a full socket
 * @info: the rule; ids are meant in the user namespace of @sk's network
 *        namespace
 *
 * uid and gid are those of the process that opened or accepted the socket.
 *
 * Context: any.
 * Return: see there.
 */
enum halfrst_owner halfrst_check_owner(struct sock *sk,
				       const struct xt_halfrst_info *info)
{
	struct user_namespace *ns = sock_net(sk)->user_ns;
	enum halfrst_owner owner = HALFRST_OWNER_UNKNOWN;
	u32 flags = info->flags;
	bool match = true;

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

/* Has the application not learnt yet that it is connected?  That it reads or
 * writes tells, since most programs ask SO_ERROR and never connect() again.  One
 * that does neither looks the same for ever.
 */
static bool halfrst_is_connecting(const struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	return sk->sk_socket->state == SS_CONNECTING && !tp->data_segs_out &&
	       tp->copied_seq == tp->rcv_nxt - (u32)tp->bytes_received;
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
 * Bytes may be on their way between it and TCP.
 *
 * Context: locked, under rcu_read_lock().
 * Return: true if there is.
 */
bool halfrst_has_layer(const struct sock *sk)
{
	return inet_csk(sk)->icsk_ulp_ops || halfrst_psock(sk);
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
 * halfrst_is_pending - would a reset lose bytes?
 * @sk: a socket in CLOSE_WAIT that was accepted
 * @layer: there is something above TCP
 *
 * What is on its way to the peer; what a layer above TCP holds; and what a
 * connect() that is asked again would purge.
 *
 * Context: locked, under rcu_read_lock().
 * Return: true if it would.
 */
bool halfrst_is_pending(struct sock *sk, bool layer)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	u32 from;

	return tp->snd_una != tp->write_seq || sk->sk_write_pending ||
	       (layer && (halfrst_tls_holds(sk) || halfrst_psock_holds(sk))) ||
	       ((halfrst_is_connecting(sk) || halfrst_purges_at_reset(sk)) &&
		halfrst_unread(sk, &from));
}

/**
 * halfrst_attention - may the application be about to do something?
 * @sk: a socket in CLOSE_WAIT that was accepted
 * @layer: there is something above TCP
 *
 * Read what it has not read yet, or learn that it is connected.  A reset would
 * lose nothing; but without a grace little else tells whether somebody comes.
 * Of what leaks in the field, 4 KiB is above all farewells and greetings.  kTLS
 * says the error of a reset before bytes that it has not parsed yet.
 *
 * Context: locked, under rcu_read_lock().
 * Return: see there.
 */
enum halfrst_attention halfrst_attention(struct sock *sk, bool layer)
{
	u32 from, unread = halfrst_unread(sk, &from);

	if (layer && halfrst_is_readable(sk))
		return HALFRST_ATTENTION_LASTING;
	if (!unread && halfrst_is_connecting(sk))
		return HALFRST_ATTENTION_BRIEF;
	if (!unread || halfrst_is_tls_alert(sk, from, unread))
		return HALFRST_ATTENTION_NONE;
	return unread > LITTLE || halfrst_has_tls(sk) ?
	       HALFRST_ATTENTION_LASTING : HALFRST_ATTENTION_BRIEF;
}

/**
 * halfrst_progress - what changes when the application does something
 * @sk: a socket in CLOSE_WAIT that was accepted
 *
 * Reads or writes, or asks connect() again: that moves it further than any window
 * is wide.
 *
 * Context: locked.
 * Return: a number to be compared with the last one.
 */
u32 halfrst_progress(const struct sock *sk)
{
	return tcp_sk(sk)->copied_seq + tcp_sk(sk)->write_seq +
	       ((u32)halfrst_is_connecting(sk) << 31);
}
