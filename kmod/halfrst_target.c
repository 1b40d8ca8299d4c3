// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a packet to a socket: the xtables target HALFRST.
 *
 * Resets a local TCP socket whose peer has closed its side, once nothing is
 * pending in either direction.  This file knows packets and rules only.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cred.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/module.h>
#include <linux/netfilter/x_tables.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/user_namespace.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/route.h>
#include <net/sock.h>
#include <net/tcp.h>
#if IS_ENABLED(CONFIG_NF_CONNTRACK)
#include <net/netfilter/nf_conntrack.h>
#endif

#include "halfrst_socket.h"
#include "halfrst_stats.h"
#include "halfrst_target.h"
#include "halfrst_watch.h"
#include "xt_HALFRST.h"

/* NAT and IPVS on this host undo their work for local sockets only behind
 * mangle's INPUT.  The segment's final addresses are those that an answer to
 * it starts with: conntrack has them as the tuple of the other direction.
 * Returns whether they are others than the segment's own.
 */
static bool halfrst_translated(struct halfrst_name *name,
			       const struct sk_buff *skb, u8 family)
{
#if IS_ENABLED(CONFIG_NF_CONNTRACK)
	enum ip_conntrack_info ctinfo;
	const struct nf_conn *ct = nf_ct_get(skb, &ctinfo);
	const struct nf_conntrack_tuple *answer;
	struct halfrst_name own = *name;

	if (!ct)
		return false;
	answer = &ct->tuplehash[!CTINFO2DIR(ctinfo)].tuple;
	if (family == NFPROTO_IPV4) {
		ipv6_addr_set_v4mapped(answer->dst.u3.ip, &name->peer);
		ipv6_addr_set_v4mapped(answer->src.u3.ip, &name->local);
	} else {
		name->peer = answer->dst.u3.in6;
		name->local = answer->src.u3.in6;
	}
	name->peer_port = answer->dst.u.tcp.port;
	name->local_port = answer->src.u.tcp.port;
	return memcmp(name, &own, sizeof(own));
#else
	return false;
#endif
}

/* The socket that TCP will give the segment to, with a reference that
 * sock_gen_put() drops: a request or time-wait socket, too.  Or NULL.
 */
static struct sock *halfrst_sock(struct net *net, struct sk_buff *skb,
				 u8 family, const struct tcphdr *th)
{
	struct halfrst_name name = {
		.peer_port = th->source,
		.local_port = th->dest,
	};
	struct sock *sk = skb->sk;
	int sdif;

	if (family == NFPROTO_IPV4) {
		ipv6_addr_set_v4mapped(ip_hdr(skb)->saddr, &name.peer);
		ipv6_addr_set_v4mapped(ip_hdr(skb)->daddr, &name.local);
		name.dif = inet_iif(skb);
		sdif = inet_sdif(skb);
	} else {
		name.peer = ipv6_hdr(skb)->saddr;
		name.local = ipv6_hdr(skb)->daddr;
		name.dif = inet6_iif(skb);
		sdif = inet6_sdif(skb);
	}
	/* From early demux or a redirection, which do not know of NAT.  Not
	 * every such socket is counted for the segment: one that is being
	 * freed has no reference.
	 */
	if (!halfrst_translated(&name, skb, family) && sk)
		return refcount_inc_not_zero(&sk->sk_refcnt) ? sk : NULL;
	return halfrst_find(net, &name, sdif);
}

/**
 * halfrst_fin - a segment for this host that may be a FIN
 * @net: the network namespace that it has come to
 * @skb: the segment
 * @family: NFPROTO_IPV4 or NFPROTO_IPV6
 * @thoff: where its TCP header begins
 * @info: options
 *
 * Finds the socket and puts it under watch.  Counts what happens.
 *
 * Context: softirq, or process context behind NFQUEUE; under rcu_read_lock(),
 * in LOCAL_IN.
 */
void halfrst_fin(struct net *net, struct sk_buff *skb, u8 family,
		 unsigned int thoff, const struct xt_halfrst_info *info)
{
	const struct tcphdr *th;
	struct tcphdr buf;
	struct sock *sk;

	th = skb_header_pointer(skb, thoff, sizeof(buf), &buf);
	if (!th || !th->fin)
		return;

	halfrst_count(net, HALFRST_FINS);
	sk = halfrst_sock(net, skb, family, th);
	if (sk)
		halfrst_watch(net, sk, info);
	else
		halfrst_count(net, HALFRST_NO_SOCKET);
}
EXPORT_SYMBOL_GPL(halfrst_fin);

/* Softirq, or process context behind NFQUEUE; under rcu_read_lock(). */
static unsigned int halfrst_tg(struct sk_buff *skb,
			       const struct xt_action_param *par)
{
	const struct tcphdr *th = (const void *)(skb->data + par->thoff);

	/* A fragment but the first has no TCP header */
	if (unlikely(skb_headlen(skb) < par->thoff + sizeof(*th) || th->fin) &&
	    !par->fragoff)
		halfrst_fin(xt_net(par), skb, xt_family(par), par->thoff,
			    par->targinfo);
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
		return "unknown flag, the extension is newer than this module, version "
			XT_HALFRST_VERSION;
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

	if (!strcmp(par->table, "nat"))
		error = "not in nat, which sees the first packet of a connection only; use mangle";
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

	err = halfrst_stats_init();
	if (err)
		return err;
	err = halfrst_watch_init();
	if (err)
		goto err_stats;
	err = xt_register_targets(halfrst_tg_reg, ARRAY_SIZE(halfrst_tg_reg));
	if (err)
		goto err_watch;
	pr_info("version " XT_HALFRST_VERSION "\n");
	return 0;

err_watch:
	halfrst_watch_exit();
err_stats:
	halfrst_stats_exit();
	return err;
}

/* A rule holds the module, and a rule is freed after the last packet that is
 * inside it: nothing is on its way into halfrst_tg() here.
 */
static void __exit halfrst_exit(void)
{
	xt_unregister_targets(halfrst_tg_reg, ARRAY_SIZE(halfrst_tg_reg));
	halfrst_watch_exit();
	halfrst_stats_exit();
}

module_init(halfrst_init);
module_exit(halfrst_exit);
MODULE_AUTHOR("HALFRST maintainers");
MODULE_DESCRIPTION("Xtables: reset half-closed TCP sockets that nobody uses");
MODULE_LICENSE("GPL");
MODULE_VERSION(XT_HALFRST_VERSION);
MODULE_ALIAS("ipt_HALFRST");
MODULE_ALIAS("ip6t_HALFRST");
