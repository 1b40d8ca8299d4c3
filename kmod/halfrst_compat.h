/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between kernels 4.14 and 7.3, and nowhere else.
 *
 * kmod/Kbuild looks into the kernel's headers and defines HALFRST_NO_* for what
 * is not there: that decides, not LINUX_VERSION_CODE, because vendors backport.
 * A define that is forgotten does not compile; nor does one too many, where it
 * would turn a check off.
 */
#ifndef _HALFRST_COMPAT_H
#define _HALFRST_COMPAT_H

#include <linux/interrupt.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/skbuff.h>
#include <linux/timer.h>
#include <linux/tls.h>
#include <net/inet_hashtables.h>
#include <net/inet6_hashtables.h>
#include <net/sock.h>
#include <net/tcp.h>
#ifndef HALFRST_NO_PSOCK
#include <linux/skmsg.h>
#endif
#if defined(HALFRST_NO_PSOCK) == defined(SK_USER_DATA_PSOCK)
#error "sk_user_data: HALFRST_NO_PSOCK does not say what this kernel does"
#endif
#if !defined(HALFRST_NO_MPTCP) || IS_ENABLED(CONFIG_MPTCP)
#include <net/mptcp.h>
#endif
#if IS_ENABLED(CONFIG_NF_CONNTRACK)
#include <net/netfilter/nf_conntrack_helper.h>
#endif
#if IS_ENABLED(CONFIG_TLS)
#include <net/tls.h>
#if defined(HALFRST_NO_TLS_TX_LIST) == defined(BIT_TX_SCHEDULED)
#error "kTLS: HALFRST_NO_TLS_TX_LIST does not say what this kernel has"
#endif
#endif

#ifdef HALFRST_NO_POINTER_IF_LINEAR
/**
 * skb_pointer_if_linear - bytes of a packet, if they are in one piece
 * @skb: the packet
 * @offset: where they begin
 * @len: how many
 *
 * Context: any.
 * Return: the first one, or NULL.
 */
static inline void *skb_pointer_if_linear(const struct sk_buff *skb, int offset,
					  int len)
{
	return (int)skb_headlen(skb) - offset >= len ? skb->data + offset :
						       NULL;
}
#endif

#ifdef HALFRST_NO_SK_STATE_LOAD
#define inet_sk_state_load(sk)	sk_state_load(sk)
#endif

/* What a tasklet's function gets, and a timer's: the tasklet, the timer.  Old
 * ones get it as a number, and with CFI none may be called as what it is not.
 */
#ifdef HALFRST_NO_TASKLET_SETUP
#define HALFRST_TASKLET_ARG	unsigned long
#else
#define HALFRST_TASKLET_ARG	struct tasklet_struct *
#endif
#ifdef HALFRST_NO_TIMER_CALLBACK
#define HALFRST_TIMER_ARG	unsigned long
#else
#define HALFRST_TIMER_ARG	struct timer_list *
#endif

/**
 * halfrst_setup_tasklet - prepare a tasklet
 * @tasklet: what to prepare
 * @function: it casts what it gets to a pointer to the tasklet
 *
 * Context: any.
 */
static inline void halfrst_setup_tasklet(struct tasklet_struct *tasklet,
					 void (*function)(HALFRST_TASKLET_ARG))
{
#ifdef HALFRST_NO_TASKLET_SETUP
	tasklet_init(tasklet, function, (unsigned long)tasklet);
#else
	tasklet_setup(tasklet, function);
#endif
}

/* A macro, as lockdep wants a key of each place.  @callback casts as above.  Late
 * releases of 4.14 have timer_setup(), and call it as the other type all the same.
 */
#ifdef HALFRST_NO_TIMER_CALLBACK
#define halfrst_setup_timer(timer, callback)				\
({									\
	struct timer_list *timer_ = (timer);				\
									\
	setup_timer(timer_, callback, (unsigned long)timer_);		\
})
#else
#define halfrst_setup_timer(timer, callback)				\
({									\
	struct timer_list *timer_ = (timer);				\
									\
	BUILD_BUG_ON(!__same_type(timer_->function,			\
				  void (*)(struct timer_list *)));	\
	timer_setup(timer_, callback, 0);				\
})
#endif

#ifdef HALFRST_NO_PROC_SINGLE
/* The module has one file of /proc, and one place that makes it */
static __maybe_unused int (*halfrst_show)(struct seq_file *seq, void *v);

static inline int halfrst_open(struct inode *inode, struct file *file)
{
	return single_open(file, halfrst_show, PDE_DATA(inode));
}

static const __maybe_unused struct file_operations halfrst_file = {
	.owner		= THIS_MODULE,
	.open		= halfrst_open,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.release	= single_release,
};
#endif

/**
 * halfrst_create_proc - a file of /proc that is shown whole
 * @name: its name
 * @dir: where it is
 * @show: shows it
 * @data: for @show, as the seq_file's private data
 *
 * Context: process context.
 * Return: NULL if it could not be made.
 */
static inline struct proc_dir_entry *
halfrst_create_proc(const char *name, struct proc_dir_entry *dir,
		    int (*show)(struct seq_file *seq, void *v), void *data)
{
#ifdef HALFRST_NO_PROC_SINGLE
	halfrst_show = show;
	return proc_create_data(name, 0444, dir, &halfrst_file, data);
#else
	return proc_create_single_data(name, 0444, dir, show, data);
#endif
}

#ifndef HALFRST_NO_LOOKUP_HASHINFO
/* The lookups take the namespace's hash table as an argument until they find
 * it themselves.  tcp_hashinfo, its older name, is not exported everywhere.
 */
static inline struct inet_hashinfo *halfrst_hashinfo(const struct net *net)
{
#ifdef HALFRST_NO_DEATH_ROW_STRUCT
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
#ifdef HALFRST_NO_LOOKUP_HASHINFO
	return __inet_lookup_established(net, peer, peer_port, local,
					 local_port, dif, sdif);
#else
	return __inet_lookup_established(net, halfrst_hashinfo(net), peer,
					 peer_port, local, local_port, dif,
					 sdif);
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
#ifdef HALFRST_NO_LOOKUP_HASHINFO
	return __inet6_lookup_established(net, peer, peer_port, local,
					  local_port, dif, sdif);
#else
	return __inet6_lookup_established(net, halfrst_hashinfo(net), peer,
					  peer_port, local, local_port, dif,
					  sdif);
#endif
}
#endif

#ifdef HALFRST_NO_TIMER_DELETE
#define timer_delete(timer)		del_timer(timer)
#define timer_delete_sync(timer)	del_timer_sync(timer)
#endif

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
#ifndef HALFRST_NO_SK_IS_READABLE
	return sk_is_readable(sk);
#elif !defined(HALFRST_NO_STREAM_MEMORY_READ)
	const struct proto *prot = READ_ONCE(sk->sk_prot);

	return prot->stream_memory_read && prot->stream_memory_read(sk);
#elif defined(TLS_RX)
	/* kTLS that receives and does not say so: perhaps it has */
	return inet_csk(sk)->icsk_ulp_ops;
#else
	return false;
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
#ifdef HALFRST_NO_PSOCK
	return NULL;
#else
	return sk_psock(sk);
#endif
}

/**
 * halfrst_psock_holds - are there bytes in sockmap's hands?
 * @sk: a TCP socket, its spinlock held, owned by no process
 *
 * Corked ones that send() took, as long as some are missing (the cork itself
 * stays), and ones that have arrived, which TCP's close may destroy.
 *
 * Context: under rcu_read_lock().
 * Return: true if there are.
 */
static inline bool halfrst_psock_holds(const struct sock *sk)
{
#ifdef HALFRST_NO_PSOCK
	return false;
#else
	const struct sk_psock *psock = halfrst_psock(sk);

	return psock && ((psock->cork && psock->cork_bytes) ||
			 !skb_queue_empty(&psock->ingress_skb) ||
			 !list_empty(&psock->ingress_msg));
#endif
}

#if IS_ENABLED(CONFIG_TLS)
/**
 * halfrst_is_encrypting - are there records that kTLS encrypts, or has encrypted?
 * @ctx: of a socket whose spinlock is held, owned by no process
 *
 * Where kTLS has no list of them it waits for each, with the socket its own.
 *
 * Return: true if there are.
 */
static inline bool halfrst_is_encrypting(const struct tls_context *ctx)
{
#ifdef HALFRST_NO_TLS_TX_LIST
	return false;
#else
	return ctx->tx_conf == TLS_SW &&
	       !list_empty(&tls_sw_ctx_tx(ctx)->tx_list);
#endif
}
#endif

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
 * halfrst_is_mptcp - is this a subflow of MPTCP?
 * @sk: a TCP socket
 *
 * Without sk_is_mptcp() there is none, or the kernel has the one that was never
 * merged: mptcp(), of net/mptcp.h as well.
 *
 * Context: any.
 * Return: true if it is.
 */
static inline bool halfrst_is_mptcp(const struct sock *sk)
{
#ifndef HALFRST_NO_MPTCP
	return sk_is_mptcp(sk);
#elif IS_ENABLED(CONFIG_MPTCP)
	return mptcp(tcp_sk(sk));
#else
	return false;
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
#ifdef HALFRST_NO_HELPER_PORT
	nf_ct_helper_init(helper, NFPROTO_UNSPEC, IPPROTO_TCP, name, policy, 0,
			  help, NULL, THIS_MODULE);
#else
	nf_ct_helper_init(helper, NFPROTO_UNSPEC, IPPROTO_TCP, name, number,
			  number, number, policy, 0, help, NULL, THIS_MODULE);
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
#ifdef HALFRST_NO_HELPER_COPY
	unsigned int i;

	for (i = 0; i < n; i++)
		registered[i] = &helpers[i];
	return nf_conntrack_helpers_register(helpers, n);
#else
	return nf_conntrack_helpers_register(helpers, n, registered);
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
#ifdef HALFRST_NO_HELPER_COPY
	nf_conntrack_helpers_unregister(helpers, n);
#else
	nf_conntrack_helpers_unregister(registered, n);
#endif
}
#endif

#endif /* _HALFRST_COMPAT_H */
