/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between kernels 5.10 and 7.3, and nowhere else.
 *
 * kmod/Kbuild looks into the kernel's headers and defines HALFRST_HAVE_*:
 * what is there decides, not LINUX_VERSION_CODE, because vendors backport.
 */
#ifndef _HALFRST_COMPAT_H
#define _HALFRST_COMPAT_H

#include <linux/skmsg.h>
#include <linux/timer.h>
#include <net/inet_hashtables.h>
#include <net/inet6_hashtables.h>
#include <net/tcp.h>
#if IS_ENABLED(CONFIG_NF_CONNTRACK)
#include <net/netfilter/nf_conntrack_helper.h>
#endif

#ifdef HALFRST_HAVE_LOOKUP_HASHINFO
/* The lookups take the namespace's hash table as an argument until they find
 * it themselves.  tcp_hashinfo, its older name, is not exported everywhere.
 */
static inline struct inet_hashinfo *halfrst_hashinfo(const struct net *net)
{
#ifdef HALFRST_HAVE_DEATH_ROW_POINTER
	return net->ipv4.tcp_death_row->hashinfo;
#else
	return net->ipv4.tcp_death_row.hashinfo;
#endif
}
#endif

/**
 * halfrst_lookup4 - the socket of a connection over IPv4
 * @net: network namespace
 * @peer: the peer's address
 * @peer_port: the peer's port
 * @local: our address
 * @local_port: our port, in the host's order
 * @dif: device
 * @sdif: interface of the VRF's slave, or 0
 *
 * Context: under rcu_read_lock().
 * Return: a full, request or time-wait socket with a reference that
 * sock_gen_put() drops, or NULL.
 */
static inline struct sock *halfrst_lookup4(struct net *net, __be32 peer,
					   __be16 peer_port, __be32 local,
					   u16 local_port, int dif, int sdif)
{
#ifdef HALFRST_HAVE_LOOKUP_HASHINFO
	return __inet_lookup_established(net, halfrst_hashinfo(net), peer,
					 peer_port, local, local_port, dif,
					 sdif);
#else
	return __inet_lookup_established(net, peer, peer_port, local,
					 local_port, dif, sdif);
#endif
}

#if IS_ENABLED(CONFIG_IPV6)
/**
 * halfrst_lookup6 - as halfrst_lookup4(), over IPv6
 * @net: network namespace
 * @peer: the peer's address
 * @peer_port: the peer's port
 * @local: our address
 * @local_port: our port, in the host's order
 * @dif: device
 * @sdif: interface of the VRF's slave, or 0
 *
 * Context: under rcu_read_lock().
 * Return: a socket with a reference, or NULL.
 */
static inline struct sock *halfrst_lookup6(struct net *net,
					   const struct in6_addr *peer,
					   __be16 peer_port,
					   const struct in6_addr *local,
					   u16 local_port, int dif, int sdif)
{
#ifdef HALFRST_HAVE_LOOKUP_HASHINFO
	return __inet6_lookup_established(net, halfrst_hashinfo(net), peer,
					  peer_port, local, local_port, dif,
					  sdif);
#else
	return __inet6_lookup_established(net, peer, peer_port, local,
					  local_port, dif, sdif);
#endif
}
#endif

/**
 * halfrst_stop_timer - stop a timer and wait until its function is over
 * @timer: one that nobody starts again, or only its own function
 *
 * timer_delete_sync(), which was del_timer_sync().
 *
 * Context: process context.
 */
static inline void halfrst_stop_timer(struct timer_list *timer)
{
#ifdef HALFRST_HAVE_TIMER_DELETE
	timer_delete_sync(timer);
#else
	del_timer_sync(timer);
#endif
}

/**
 * halfrst_is_readable - has a layer above TCP bytes for the application?
 * @sk: a TCP socket, its lock held
 *
 * kTLS and sockmap take bytes out of TCP's receive queue before read() does.
 *
 * Return: true if a read would return such bytes.
 */
static inline bool halfrst_is_readable(struct sock *sk)
{
#ifdef HALFRST_HAVE_SK_IS_READABLE
	return sk_is_readable(sk);
#else
	const struct proto *prot = READ_ONCE(sk->sk_prot);

	return prot->stream_memory_read && prot->stream_memory_read(sk);
#endif
}

/**
 * halfrst_psock - what sockmap keeps of a socket
 * @sk: a TCP socket
 *
 * Where SK_USER_DATA_PSOCK does not mark it, sk_psock() takes anybody's
 * sk_user_data for it: such a socket is another part of the kernel's then.
 *
 * Context: under rcu_read_lock().
 * Return: it, or NULL.
 */
static inline struct sk_psock *halfrst_psock(const struct sock *sk)
{
#ifdef SK_USER_DATA_PSOCK
	return sk_psock(sk);
#else
	return NULL;
#endif
}

/**
 * halfrst_psock_holds - are there bytes in sockmap's hands?
 * @sk: a TCP socket, its spinlock held, owned by no process
 *
 * Corked ones that send() took, and ones that have arrived, which TCP's close
 * may destroy.
 *
 * Context: under rcu_read_lock().
 * Return: true if there are.
 */
static inline bool halfrst_psock_holds(const struct sock *sk)
{
	const struct sk_psock *psock = halfrst_psock(sk);

	return psock && (psock->cork || !skb_queue_empty(&psock->ingress_skb) ||
			 !list_empty(&psock->ingress_msg));
}

/**
 * halfrst_right_edge - how far has the peer ever been allowed to send?
 * @tp: a TCP socket, its spinlock held, owned by no process
 *
 * Return: the number behind it; may be before rcv_nxt.
 */
static inline u32 halfrst_right_edge(const struct tcp_sock *tp)
{
	u32 edge = tp->rcv_wup + tp->rcv_wnd;

#ifndef HALFRST_NO_MWND_SEQ
	if (after(tp->rcv_mwnd_seq, edge))
		edge = tp->rcv_mwnd_seq;
#endif
	return edge;
}

/**
 * halfrst_purges_at_reset - does a RST destroy what was not read yet?
 * @sk: a TCP socket
 *
 * Return: true if it does, in this namespace.
 */
static inline bool halfrst_purges_at_reset(const struct sock *sk)
{
#ifdef HALFRST_NO_PURGE
	return false;
#else
	return READ_ONCE(sock_net(sk)->ipv4.sysctl_tcp_purge_receive_queue);
#endif
}

/**
 * halfrst_must_sign - must segments of this socket be signed or encrypted?
 * @sk: a TCP socket
 *
 * TCP-MD5 (RFC 2385), TCP-AO (RFC 5925), PSP.
 *
 * Return: true if the peer takes no plain RST.
 */
static inline bool halfrst_must_sign(const struct sock *sk)
{
#ifdef CONFIG_TCP_MD5SIG
	if (rcu_access_pointer(tcp_sk(sk)->md5sig_info))
		return true;
#endif
#ifdef CONFIG_TCP_AO
	if (rcu_access_pointer(tcp_sk(sk)->ao_info))
		return true;
#endif
#if IS_ENABLED(CONFIG_INET_PSP)
	if (rcu_access_pointer(sk->psp_assoc))
		return true;
#endif
	return false;
}

#if IS_ENABLED(CONFIG_NF_CONNTRACK)
/**
 * halfrst_init_helper - prepare a conntrack helper for TCP
 * @helper: what to prepare
 * @name: its name, of IPv4 and IPv6
 * @number: from 0 to 255, another one for each
 * @policy: about expectations
 * @help: function to call
 *
 * Where helpers have a port it is one of no family: conntrack wants it to be
 * unique, and old ones can be told to assign a helper to it by themselves,
 * which it must never be.
 *
 * Context: process context.
 */
static inline void
halfrst_init_helper(struct nf_conntrack_helper *helper, const char *name,
		    u8 number, const struct nf_conntrack_expect_policy *policy,
		    int (*help)(struct sk_buff *skb, unsigned int protoff,
				struct nf_conn *ct,
				enum ip_conntrack_info ctinfo))
{
#ifdef HALFRST_HAVE_HELPER_PORT
	nf_ct_helper_init(helper, NFPROTO_UNSPEC, IPPROTO_TCP, name, number,
			  number, number, policy, 0, help, NULL, THIS_MODULE);
#else
	nf_ct_helper_init(helper, NFPROTO_UNSPEC, IPPROTO_TCP, name, policy, 0,
			  help, NULL, THIS_MODULE);
#endif
}

/**
 * halfrst_register_helpers - let conntrack know helpers
 * @helpers: these
 * @n: how many there are
 * @registered: receives where conntrack has them: in copies or as they are
 *
 * Context: process context.
 * Return: 0, or an error and none of them is known.
 */
static inline int
halfrst_register_helpers(struct nf_conntrack_helper *helpers, unsigned int n,
			 struct nf_conntrack_helper **registered)
{
#ifdef HALFRST_HAVE_HELPER_COPY
	return nf_conntrack_helpers_register(helpers, n, registered);
#else
	unsigned int i;

	for (i = 0; i < n; i++)
		registered[i] = &helpers[i];
	return nf_conntrack_helpers_register(helpers, n);
#endif
}

/**
 * halfrst_unregister_helpers - take back what halfrst_register_helpers() did
 * @helpers: the same
 * @n: the same
 * @registered: the same
 *
 * Context: process context; waits until none of them is running.
 */
static inline void
halfrst_unregister_helpers(struct nf_conntrack_helper *helpers, unsigned int n,
			   struct nf_conntrack_helper **registered)
{
#ifdef HALFRST_HAVE_HELPER_COPY
	nf_conntrack_helpers_unregister(registered, n);
#else
	nf_conntrack_helpers_unregister(helpers, n);
#endif
}
#endif

#endif /* _HALFRST_COMPAT_H */
