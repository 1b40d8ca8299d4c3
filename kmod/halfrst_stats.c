// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters, one set for each network namespace: /proc/net/xt_halfrst.
 */
#include <linux/percpu.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>

#include "halfrst_compat.h"
#include "halfrst_stats.h"

#define HALFRST_PROC "xt_halfrst"

struct halfrst_counters {
	unsigned long	n[HALFRST_STATS];
};

struct halfrst_stats_net {
	struct halfrst_counters __percpu *counters;
};

static unsigned int halfrst_stats_net_id __read_mostly;

/**
 * halfrst_count - count one event
 * @net: the namespace that it belongs to; alive for the length of the call
 * @stat: the event
 *
 * Context: any.  Touches only memory of the CPU that it runs on.
 */
void halfrst_count(const struct net *net, enum halfrst_stat stat)
{
	struct halfrst_stats_net *sn = net_generic(net, halfrst_stats_net_id);

	this_cpu_inc(sn->counters->n[stat]);
}

/**
 * halfrst_uncount - take back one halfrst_count(), perhaps another CPU's
 * @net: the namespace that it belongs to; alive for the length of the call
 * @stat: HALFRST_WATCHING, which tells how many there are now
 *
 * Context: any.
 */
void halfrst_uncount(const struct net *net, enum halfrst_stat stat)
{
	struct halfrst_stats_net *sn = net_generic(net, halfrst_stats_net_id);

	this_cpu_dec(sn->counters->n[stat]);
}

/* What the end of a watch is counted as */
static const u8 halfrst_outcome[] = {
	[HALFRST_REASON_STILL]		= HALFRST_RESETS,
	[HALFRST_REASON_DEADLINE]	= HALFRST_RESETS,
	[HALFRST_REASON_DRY_RUN]	= HALFRST_DRY_RUN,
	[HALFRST_REASON_CLOSED]		= HALFRST_CLOSED,
	[HALFRST_REASON_EXEMPT]		= HALFRST_EXEMPT,
	[HALFRST_REASON_EXPIRED]	= HALFRST_EXPIRED,
	[HALFRST_REASON_OWNER]		= HALFRST_OTHER_OWNER,
	[HALFRST_REASON_FULL]		= HALFRST_FULL,
	[HALFRST_REASON_NOMEM]		= HALFRST_NOMEM,
};

/**
 * halfrst_count_end - count the end of a watch
 * @net: the namespace that it belongs to; alive for the length of the call
 * @reason: why it ends
 * @pending: there were bytes that a deadline has discarded
 *
 * Context: any.
 */
void halfrst_count_end(const struct net *net, enum halfrst_reason reason,
		       bool pending)
{
	halfrst_count(net, halfrst_outcome[reason]);
	if (reason == HALFRST_REASON_DEADLINE && pending)
		halfrst_count(net, HALFRST_DEADLINE);
}

static void halfrst_stats_line(struct seq_file *seq, const char *name,
			       enum halfrst_stat stat)
{
	const struct halfrst_stats_net *sn = seq->private;
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(sn->counters, cpu)->n[stat]);
	/* One that goes down may do so while the CPUs are added up */
	if (stat == HALFRST_WATCHING)
		sum = max((long)sum, 0L);
	seq_printf(seq, "%s %lu\n", name, sum);
}

/* The names are an interface: they never change their meaning. */
static int __maybe_unused halfrst_stats_show(struct seq_file *seq, void *v)
{
	halfrst_stats_line(seq, "fins", HALFRST_FINS);
	halfrst_stats_line(seq, "resets", HALFRST_RESETS);
	halfrst_stats_line(seq, "deadline", HALFRST_DEADLINE);
	halfrst_stats_line(seq, "dry_run", HALFRST_DRY_RUN);
	halfrst_stats_line(seq, "closed", HALFRST_CLOSED);
	halfrst_stats_line(seq, "watching", HALFRST_WATCHING);
	halfrst_stats_line(seq, "no_socket", HALFRST_NO_SOCKET);
	halfrst_stats_line(seq, "other_owner", HALFRST_OTHER_OWNER);
	halfrst_stats_line(seq, "wrong_state", HALFRST_WRONG_STATE);
	halfrst_stats_line(seq, "exempt", HALFRST_EXEMPT);
	halfrst_stats_line(seq, "expired", HALFRST_EXPIRED);
	halfrst_stats_line(seq, "full", HALFRST_FULL);
	halfrst_stats_line(seq, "nomem", HALFRST_NOMEM);
	halfrst_stats_line(seq, "repeated", HALFRST_REPEATED);
	return 0;
}

static int __net_init halfrst_stats_net_init(struct net *net)
{
	struct halfrst_stats_net *sn = net_generic(net, halfrst_stats_net_id);

	sn->counters = alloc_percpu(struct halfrst_counters);
	if (!sn->counters)
		return -ENOMEM;
	if (!halfrst_create_proc(HALFRST_PROC, net->proc_net,
				 halfrst_stats_show, sn) &&
	    IS_ENABLED(CONFIG_PROC_FS)) {
		free_percpu(sn->counters);
		return -ENOMEM;
	}
	return 0;
}

static void __net_exit halfrst_stats_net_exit(struct net *net)
{
	struct halfrst_stats_net *sn = net_generic(net, halfrst_stats_net_id);

	remove_proc_entry(HALFRST_PROC, net->proc_net);
	free_percpu(sn->counters);
}

static struct pernet_operations halfrst_stats_net_ops = {
	.init	= halfrst_stats_net_init,
	.exit	= halfrst_stats_net_exit,
	.id	= &halfrst_stats_net_id,
	.size	= sizeof(struct halfrst_stats_net),
};

/**
 * halfrst_stats_init - give every namespace its counters
 *
 * Context: module init, before the first halfrst_count().
 * Return: 0, or a negative errno.
 */
int halfrst_stats_init(void)
{
	return register_pernet_subsys(&halfrst_stats_net_ops);
}

/**
 * halfrst_stats_exit - take the counters away
 *
 * Context: module exit, after the last halfrst_count().
 */
void halfrst_stats_exit(void)
{
	unregister_pernet_subsys(&halfrst_stats_net_ops);
}
