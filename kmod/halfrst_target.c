// SPDX-License-Identifier: GPL-2.0-only
/*
 * A front end for iptables: the xtables target HALFRST.  This file knows rules
 * only.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cred.h>
#include <linux/module.h>
#include <linux/netfilter/x_tables.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/user_namespace.h>
#include <net/net_namespace.h>

#include "halfrst_fin.h"
#include "xt_HALFRST.h"

/* Softirq, or process context behind NFQUEUE; under rcu_read_lock(). */
static unsigned int halfrst_tg(struct sk_buff *skb,
			       const struct xt_action_param *par)
{
	/* A fragment but the first has no TCP header */
	if (halfrst_may_be_fin(skb, par->thoff) && !par->fragoff)
		halfrst_receive_fin(xt_net(par), skb, xt_family(par), par->thoff,
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

	err = halfrst_core_init();
	if (err)
		return err;
	err = xt_register_targets(halfrst_tg_reg, ARRAY_SIZE(halfrst_tg_reg));
	if (err) {
		halfrst_core_exit();
		return err;
	}
	pr_info("version " XT_HALFRST_VERSION "\n");
	return 0;
}

/* A rule holds the module, and a rule is freed after the last packet that is
 * inside it: nothing is on its way into halfrst_tg() here.
 */
static void __exit halfrst_exit(void)
{
	xt_unregister_targets(halfrst_tg_reg, ARRAY_SIZE(halfrst_tg_reg));
	halfrst_core_exit();
}

module_init(halfrst_init);
module_exit(halfrst_exit);
MODULE_AUTHOR("HALFRST maintainers");
MODULE_DESCRIPTION("Xtables: reset half-closed TCP sockets that nobody uses");
MODULE_LICENSE("GPL");
MODULE_VERSION(XT_HALFRST_VERSION);
MODULE_ALIAS("ipt_HALFRST");
MODULE_ALIAS("ip6t_HALFRST");
