// SPDX-License-Identifier: GPL-2.0-only
/*
 * A front end for nftables: conntrack helpers.
 *
 * nft has no plug-ins, but "ct helper" takes any name that the kernel knows.
 * A connection that has one of these helpers is treated as if each of its
 * FINs met a rule with the target HALFRST and the options of that name.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <net/ip6_route.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_expect.h>
#include <net/netfilter/nf_conntrack_helper.h>
#include <net/route.h>

#include "halfrst_compat.h"
#include "halfrst_fin.h"
#include "xt_HALFRST.h"

#define SECONDS	1000
#define MINUTES	(60 * SECONDS)

/* The error is the extension's default */
#define OPTIONS(grace_, flags_) {			\
	.grace = (grace_),				\
	.flags = (flags_),				\
	.reset_with = XT_HALFRST_ECONNRESET,		\
}

/* A helper has no options but its name, of at most 15 characters */
static const struct {
	const char *name;
	struct xt_halfrst_info info;
} halfrst_variants[] = {
	{ "halfrst",	 OPTIONS(0, 0) },
	{ "halfrst-1s",	 OPTIONS(1 * SECONDS, 0) },
	{ "halfrst-10s", OPTIONS(10 * SECONDS, 0) },
	{ "halfrst-1m",	 OPTIONS(1 * MINUTES, 0) },
	{ "halfrst-5m",	 OPTIONS(5 * MINUTES, 0) },
	{ "halfrst-30m", OPTIONS(30 * MINUTES, 0) },
	{ "halfrst-dry", OPTIONS(5 * MINUTES, XT_HALFRST_DRY_RUN) },
};

#define HALFRST_VARIANTS	ARRAY_SIZE(halfrst_variants)

static struct nf_conntrack_helper halfrst_helpers[HALFRST_VARIANTS];

/* What conntrack knows them by */
static struct nf_conntrack_helper *halfrst_registered[HALFRST_VARIANTS];

/* None of these expects another connection */
static const struct nf_conntrack_expect_policy halfrst_policy = {
	.timeout = 1,
};

/* The options of this connection's helper.  NULL if it has been taken away
 * since conntrack looked.
 */
static const struct xt_halfrst_info *halfrst_get_options(const struct nf_conn *ct)
{
	const struct nf_conn_help *help = nfct_help(ct);
	const struct nf_conntrack_helper *helper;
	int i;

	helper = help ? rcu_dereference(help->helper) : NULL;
	if (!helper)
		return NULL;
	for (i = 0; i < HALFRST_VARIANTS; i++)
		if (halfrst_registered[i] == helper)
			return &halfrst_variants[i].info;
	return NULL;
}

/* A helper is called in LOCAL_IN and in POST_ROUTING, and not told in which.
 * What this host sends came through no device; what it forwards did, but its
 * route does not end here.  On loopback a segment goes out by the route that
 * it comes in by.  A bridge's conntrack has no route at all.
 */
static bool halfrst_has_arrived(const struct sk_buff *skb, u8 family)
{
	if (!skb->skb_iif || !skb_dst(skb))
		return false;
	if (family == NFPROTO_IPV4)
		return skb_rtable(skb)->rt_flags & RTCF_LOCAL;
	return IS_ENABLED(CONFIG_IPV6) && ipv6_unicast_destination(skb);
}

/* Apart from what each packet goes through */
static noinline void halfrst_help_fin(struct sk_buff *skb,
				      unsigned int protoff,
				      const struct nf_conn *ct,
				      enum ip_conntrack_info ctinfo)
{
	const struct xt_halfrst_info *info;
	u8 family = nf_ct_l3num(ct);

	/* An ICMP error about the connection is no segment */
	if (ctinfo == IP_CT_RELATED || !halfrst_has_arrived(skb, family))
		return;
	info = halfrst_get_options(ct);
	if (info)
		halfrst_receive_fin(nf_ct_net(ct), skb, family, protoff, info);
}

/* Softirq, or process context for what this host sends and behind NFQUEUE;
 * under rcu_read_lock().
 */
static int halfrst_help(struct sk_buff *skb, unsigned int protoff,
			struct nf_conn *ct, enum ip_conntrack_info ctinfo)
{
	if (halfrst_may_be_fin(skb, protoff))
		halfrst_help_fin(skb, protoff, ct, ctinfo);
	return NF_ACCEPT;
}

static int __init halfrst_helper_module_init(void)
{
	int i, err;

	err = halfrst_core_init();
	if (err)
		return err;
	BUILD_BUG_ON(HALFRST_VARIANTS > 255);	/* of halfrst_init_helper() */
	for (i = 0; i < HALFRST_VARIANTS; i++)
		halfrst_init_helper(&halfrst_helpers[i],
				    halfrst_variants[i].name, i,
				    &halfrst_policy, halfrst_help);
	/* unwinds in reverse if it fails */
	err = halfrst_register_helpers(halfrst_helpers, HALFRST_VARIANTS,
				       halfrst_registered);
	if (err)
		halfrst_core_exit();
	return err;
}

/* Takes them from the connections that have them, and returns when nothing is
 * on its way into halfrst_help().  Watches are the core's: if that is
 * xt_HALFRST's, they go on.
 */
static void __exit halfrst_helper_module_exit(void)
{
	halfrst_unregister_helpers(halfrst_helpers, HALFRST_VARIANTS,
				   halfrst_registered);
	halfrst_core_exit();
}

module_init(halfrst_helper_module_init);
module_exit(halfrst_helper_module_exit);
MODULE_AUTHOR("HALFRST maintainers");
MODULE_DESCRIPTION("Conntrack helpers: reset half-closed TCP sockets that nobody uses");
MODULE_LICENSE("GPL");
MODULE_VERSION(XT_HALFRST_VERSION);
/* Of all names above: a wrong one loads this and gets "no such file" */
MODULE_ALIAS_NFCT_HELPER("halfrst");
MODULE_ALIAS_NFCT_HELPER("halfrst-*");
