// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a packet to a socket: the xtables target HALFRST.
 *
 * Resets a local TCP socket whose peer has closed its side, once nothing is
 * pending in either direction.  This file knows packets and rules only.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/module.h>
#include <linux/netfilter/x_tables.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/route.h>
#include <net/sock.h>
#include <net/tcp.h>
#if IS_ENABLED(CONFIG_NF_CONNTRACK)
#include <net/netfilter/nf_conntrack.h>
#endif

#include "halfrst_compat.h"
#include "halfrst_stats.h"
#include "halfrst_watch.h"
#include "xt_HALFRST.h"

/* A segment's addresses as its socket knows them */
struct halfrst_flow {
	union nf_inet_addr	saddr;
	union nf_inet_addr	daddr;
	__be16			sport;
	__be16			dport;
};

/* NAT on this host undoes its work for local sockets only behind INPUT.  Then
 * the segment's final addresses are those that an answer to it starts with:
 * conntrack has them as the tuple of the other direction.
 */
static void halfrst_flow_nat(struct halfrst_flow *flow,
			     const struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_NF_CONNTRACK)
	enum ip_conntrack_info ctinfo;
	const struct nf_conn *ct = nf_ct_get(skb, &ctinfo);
	const struct nf_conntrack_tuple *answer;

	if (!ct || !(READ_ONCE(ct->status) & IPS_NAT_MASK))
		return;
	answer = &ct->tuplehash[!CTINFO2DIR(ctinfo)].tuple;
	flow->saddr = answer->dst.u3;
	flow->daddr = answer->src.u3;
	flow->sport = answer->dst.u.tcp.port;
	flow->dport = answer->src.u.tcp.port;
#endif
}

/* The socket that TCP will give the segment to, with a reference that
 * sock_gen_put() drops: a request or time-wait socket, too.  Or NULL.
 */
static struct sock *halfrst_sock(struct sk_buff *skb,
				 const struct xt_action_param *par,
				 const struct tcphdr *th)
{
	struct halfrst_flow flow = { .sport = th->source, .dport = th->dest };
	struct net *net = xt_net(par);
	struct sock *sk = skb->sk;

	/* From early demux or a redirection.  Not every such socket is
	 * counted for the segment: one that is being freed has no reference.
	 */
	if (sk)
		return refcount_inc_not_zero(&sk->sk_refcnt) ? sk : NULL;

	switch (xt_family(par)) {
	case NFPROTO_IPV4:
		flow.saddr.ip = ip_hdr(skb)->saddr;
		flow.daddr.ip = ip_hdr(skb)->daddr;
		halfrst_flow_nat(&flow, skb);
		return halfrst_lookup4(net, flow.saddr.ip, flow.sport,
				       flow.daddr.ip, flow.dport,
				       inet_iif(skb), inet_sdif(skb));
#if IS_ENABLED(CONFIG_IPV6)
	case NFPROTO_IPV6:
		flow.saddr.in6 = ipv6_hdr(skb)->saddr;
		flow.daddr.in6 = ipv6_hdr(skb)->daddr;
		halfrst_flow_nat(&flow, skb);
		return halfrst_lookup6(net, &flow.saddr.in6, flow.sport,
				       &flow.daddr.in6, flow.dport,
				       inet6_iif(skb), inet6_sdif(skb));
#endif
	}
	return NULL;
}

static bool halfrst_in_range(u32 id, u32 min, u32 max)
{
	/* An id without a name in the namespace is (u32)-1, above any max */
	return id >= min && id <= max;
}

/* The group of the process that opened the socket; the socket itself has
 * none.  A socket that was not accepted yet has no file, and no group.
 */
static bool halfrst_gid_matches(struct sock *sk, struct user_namespace *ns,
				const struct xt_halfrst_info *info)
{
	bool match = false;

	/* Against sock_orphan(): with the lock, socket and file stay */
	read_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_socket && sk->sk_socket->file) {
		const struct cred *cred = sk->sk_socket->file->f_cred;

		match = halfrst_in_range(from_kgid(ns, cred->fsgid),
					 info->gid_min, info->gid_max);
	}
	read_unlock_bh(&sk->sk_callback_lock);
	return match;
}

static bool halfrst_owner_matches(struct sock *sk, const struct net *net,
				  const struct xt_halfrst_info *info)
{
	if (info->flags & XT_HALFRST_UID) {
		uid_t uid = from_kuid(net->user_ns, READ_ONCE(sk->sk_uid));

		if (halfrst_in_range(uid, info->uid_min, info->uid_max) ==
		    !!(info->flags & XT_HALFRST_UID_INV))
			return false;
	}
	if (info->flags & XT_HALFRST_GID) {
		if (halfrst_gid_matches(sk, net->user_ns, info) ==
		    !!(info->flags & XT_HALFRST_GID_INV))
			return false;
	}
	return true;
}

/* A segment that may be a FIN.  Kept out of halfrst_tg(), which is to need no
 * stack for all the others.
 */
static noinline void halfrst_fin(struct sk_buff *skb,
				 const struct xt_action_param *par)
{
	const struct xt_halfrst_info *info = par->targinfo;
	struct net *net = xt_net(par);
	const struct tcphdr *th;
	struct tcphdr buf;
	struct sock *sk;

	if (par->fragoff)
		return;		/* no TCP header in here */
	th = skb_header_pointer(skb, par->thoff, sizeof(buf), &buf);
	if (!th || !th->fin)
		return;

	halfrst_count(net, HALFRST_FINS);
	sk = halfrst_sock(skb, par, th);
	if (!sk) {
		halfrst_count(net, HALFRST_NO_SOCKET);
		return;
	}
	/* TCP has not seen the FIN yet, unless it is a repeated one */
	if (!sk_fullsock(sk) || sk->sk_protocol != IPPROTO_TCP ||
	    !net_eq(sock_net(sk), net) ||
	    !((1 << inet_sk_state_load(sk)) &
	      (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT)))
		halfrst_count(net, HALFRST_WRONG_STATE);
	else if (halfrst_exempt(sk))
		halfrst_count(net, HALFRST_EXEMPT);
	else if (!halfrst_owner_matches(sk, net, info))
		halfrst_count(net, HALFRST_OTHER_OWNER);
	else
		halfrst_watch(sk, info);
	sock_gen_put(sk);
}

/* Softirq, or process context behind NFQUEUE; under rcu_read_lock(). */
static unsigned int halfrst_tg(struct sk_buff *skb,
			       const struct xt_action_param *par)
{
	const struct tcphdr *th = (const void *)(skb->data + par->thoff);

	if (unlikely(skb_headlen(skb) < par->thoff + sizeof(*th) || th->fin))
		halfrst_fin(skb, par);
	return XT_CONTINUE;
}

static bool halfrst_id_range_valid(u32 flags, u32 set, u32 inv,
				   u32 min, u32 max)
{
	if (flags & set)
		return min <= max && max != (u32)-1;
	return !(flags & inv) && !min && !max;
}

/* What is wrong with a rule, or NULL.  Process context, at load time. */
static const char *halfrst_rule_error(const struct xt_halfrst_info *info,
				      const struct net *net)
{
	u32 flags = info->flags;

	if (flags & ~XT_HALFRST_FLAGS)
		return "unknown flag, the extension is newer than the module";
	if (!halfrst_id_range_valid(flags, XT_HALFRST_UID, XT_HALFRST_UID_INV,
				    info->uid_min, info->uid_max))
		return "--uid-owner: not a range of 0 to 4294967294";
	if (!halfrst_id_range_valid(flags, XT_HALFRST_GID, XT_HALFRST_GID_INV,
				    info->gid_min, info->gid_max))
		return "--gid-owner: not a range of 0 to 4294967294";
	/* The same numbers mean other owners to the writer and to the rule */
	if ((flags & (XT_HALFRST_UID | XT_HALFRST_GID)) &&
	    current_user_ns() != net->user_ns)
		return "owners can be set from the network namespace's own user namespace only";
	if (info->grace > XT_HALFRST_TIME_MAX)
		return "--grace: not within 0 to 168h";
	if (flags & XT_HALFRST_DEADLINE) {
		if (!info->deadline || info->deadline > XT_HALFRST_TIME_MAX)
			return "--deadline: not within 1ms to 168h";
		if (info->deadline < info->grace)
			return "--deadline: shorter than --grace";
	} else if (info->deadline) {
		return "--deadline: set without its flag";
	}
	if (info->reset_with >= XT_HALFRST_ERRORS)
		return "--reset-with: not one of epipe, econnreset, econnaborted, etimedout";
	return NULL;
}

static int halfrst_tg_check(const struct xt_tgchk_param *par)
{
	const char *error = halfrst_rule_error(par->targinfo, par->net);

	if (!error)
		return 0;
	pr_info_ratelimited("%s\n", error);
	return -EINVAL;
}

static struct xt_target halfrst_tg_reg[] __read_mostly = {
	{
		.name		= "HALFRST",
		.revision	= 0,
		.family		= NFPROTO_IPV4,
		.proto		= IPPROTO_TCP,
		.hooks		= 1 << NF_INET_LOCAL_IN,
		.target		= halfrst_tg,
		.targetsize	= sizeof(struct xt_halfrst_info),
		.checkentry	= halfrst_tg_check,
		.me		= THIS_MODULE,
	},
#if IS_ENABLED(CONFIG_IPV6)
	{
		.name		= "HALFRST",
		.revision	= 0,
		.family		= NFPROTO_IPV6,
		.proto		= IPPROTO_TCP,
		.hooks		= 1 << NF_INET_LOCAL_IN,
		.target		= halfrst_tg,
		.targetsize	= sizeof(struct xt_halfrst_info),
		.checkentry	= halfrst_tg_check,
		.me		= THIS_MODULE,
	},
#endif
};

static int __init halfrst_init(void)
{
	int err;

	err = halfrst_watch_init();
	if (err)
		return err;
	err = halfrst_stats_init();
	if (err)
		goto err_watch;
	err = xt_register_targets(halfrst_tg_reg, ARRAY_SIZE(halfrst_tg_reg));
	if (err)
		goto err_stats;
	return 0;

err_stats:
	halfrst_stats_exit();
err_watch:
	halfrst_watch_exit();
	return err;
}

/* A rule holds the module, and a rule is freed after the last packet that is
 * inside it: nothing is on its way into halfrst_tg() here.
 */
static void __exit halfrst_exit(void)
{
	xt_unregister_targets(halfrst_tg_reg, ARRAY_SIZE(halfrst_tg_reg));
	halfrst_watch_stop();
	halfrst_stats_exit();
	halfrst_watch_exit();
}

module_init(halfrst_init);
module_exit(halfrst_exit);
MODULE_AUTHOR("HALFRST maintainers");
MODULE_DESCRIPTION("Xtables: reset half-closed TCP sockets that nobody uses");
MODULE_LICENSE("GPL");
MODULE_ALIAS("ipt_HALFRST");
MODULE_ALIAS("ip6t_HALFRST");
