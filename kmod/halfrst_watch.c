// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which sockets are looked at, and who looks.
 *
 * A watch is one connection whose peer has sent a FIN.  Its first look is a
 * tasklet's, behind the softirq that brings the FIN to TCP; normally it is the
 * last.  If not, the watch goes to the namespace's table, and a timer looks
 * again.  Nothing in here sleeps but the module's beginning and end.
 *
 * A tasklet and a list for each CPU, as TCP's small queues have them: what runs
 * behind NET_RX in the same softirq, on the same CPU, has the connection in its
 * cache.
 *
 * Who holds what:
 *  - Until its first look a watch is in the list of a CPU and nobody else knows
 *    it.  It holds the socket, and thereby the namespace.
 *  - In the table it holds neither: each look finds the socket by its name.  A
 *    closed socket is not found any more; a namespace that goes takes its
 *    watches along.
 *  - Lookups in the table run under RCU, hence a watch is freed a grace period
 *    after it left.  Only its own timer takes it out (@dead).
 *  - The end of namespaces comes in two steps.  After @gone and a grace period
 *    no timer does anything; then the tables are emptied.
 */
#include <linux/interrupt.h>
#include <linux/jhash.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "halfrst_compat.h"
#include "halfrst_look.h"
#include "halfrst_socket.h"
#include "halfrst_stats.h"
#include "halfrst_watch.h"
#include "xt_HALFRST.h"

#define CREATE_TRACE_POINTS
#include "halfrst_trace.h"

/**
 * struct halfrst_watch - a connection whose peer has sent a FIN
 * @node: in the table of the namespace
 * @net: the namespace
 * @name: finds the socket; the key
 * @entry: in the list of a CPU, until the first look
 * @sk: until then the socket, a full or a request one, with a reference
 * @timer: looks again
 * @state: what looks remember
 * @rcu: to free it when it is dead; over the first claim, which nobody reads then
 * @dif: the device that the last FIN has come through: TCP found the socket by it
 * @sdif: interface of the VRF's slave that it has come through, or 0
 */
struct halfrst_watch {
	struct rhash_head	node;
	struct net		*net;
	struct halfrst_name	name;
	union {
		struct {
			struct list_head	entry;
			struct sock		*sk;
		};
		struct timer_list	timer;
	};
	union {
		struct halfrst_state	state;
		struct rcu_head		rcu;
	};
	int			dif;
	int			sdif;
};

struct halfrst_watch_net {
	struct rhashtable	watches;
	bool			gone;
};

/* The watches that this CPU is to look at for the first time */
struct halfrst_first_looks {
	spinlock_t		lock;	/* of the list */
	struct list_head	list;
	struct tasklet_struct	tasklet;
};

static unsigned int max_watches __read_mostly = 1048576;
module_param(max_watches, uint, 0644);
MODULE_PARM_DESC(max_watches, "most sockets watched in one network namespace; 0: reset none any more");

/* An IPv4 address is 32 bits of its 128 */
static u32 halfrst_hash(const void *key, u32 len, u32 seed)
{
	const struct halfrst_name *n = key;

	if (!ipv6_addr_v4mapped(&n->peer))
		return jhash2(key, len / sizeof(u32), seed);
	return jhash_3words((__force u32)n->peer.s6_addr32[3],
			    (__force u32)n->local.s6_addr32[3],
			    (__force u32)n->peer_port << 16 |
			    (__force u32)n->local_port, seed);
}

static const struct rhashtable_params halfrst_watch_params = {
	.hashfn			= halfrst_hash,
	.head_offset		= offsetof(struct halfrst_watch, node),
	.key_offset		= offsetof(struct halfrst_watch, name),
	.key_len		= sizeof(struct halfrst_name),
	.automatic_shrinking	= true,
};

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

static struct kmem_cache *halfrst_watch_cache __read_mostly;
static unsigned int halfrst_watch_net_id __read_mostly;
static DEFINE_PER_CPU(struct halfrst_first_looks, halfrst_first_looks);

static struct halfrst_watch_net *halfrst_net(const struct net *net)
{
	return net_generic(net, halfrst_watch_net_id);
}

/* From here on it is about a watch whose lock the caller holds, or that nobody
 * else knows.
 */

static void halfrst_arm_timer(struct halfrst_watch *w)
{
	mod_timer(&w->timer, halfrst_next_look(&w->state));
}

static void halfrst_trace_event(const struct halfrst_watch *w,
				enum halfrst_reason reason)
{
	u16 family = w->state.ipv6 ? AF_INET6 : AF_INET;
	u32 uid = __kuid_val(w->state.uid), since = w->state.first.since;

	switch (reason) {
	case HALFRST_REASON_FIN:
		trace_halfrst_watch(w, &w->name, family, uid, reason, since);
		break;
	case HALFRST_REASON_STILL:
	case HALFRST_REASON_DEADLINE:
		trace_halfrst_reset(w, &w->name, family, uid, reason, since);
		break;
	default:
		trace_halfrst_forget(w, &w->name, family, uid, reason, since);
	}
}

/* That was the last look */
static void halfrst_watch_end(const struct halfrst_watch *w,
			      enum halfrst_reason reason)
{
	halfrst_count(w->net, halfrst_outcome[reason]);
	if (reason == HALFRST_REASON_DEADLINE && w->state.pending)
		halfrst_count(w->net, HALFRST_DEADLINE);
	halfrst_trace_event(w, reason);
}

static void halfrst_free_watch(struct halfrst_watch *w)
{
	halfrst_free_claims(&w->state.first);
	kmem_cache_free(halfrst_watch_cache, w);
}

static void halfrst_free_rcu(struct rcu_head *rcu)
{
	kmem_cache_free(halfrst_watch_cache,
			container_of(rcu, struct halfrst_watch, rcu));
}

/* Softirq.  The explicit RCU section is what the grace period at a
 * namespace's end is for.
 */
static void halfrst_timer(HALFRST_TIMER_ARG timer)
{
	struct halfrst_watch *w = container_of((struct timer_list *)timer,
					       struct halfrst_watch, timer);
	enum halfrst_reason reason = HALFRST_REASON_LOOK_AGAIN;
	struct sock *sk;

	rcu_read_lock();
	spin_lock(&w->state.lock);
	if (READ_ONCE(halfrst_net(w->net)->gone))
		goto unlock;	/* halfrst_watch_abandon() takes the watch */
	if (!READ_ONCE(max_watches)) {
		reason = HALFRST_REASON_FULL;
	} else if (halfrst_look_is_due(&w->state)) {
		sk = halfrst_find_socket(w->net, &w->name, w->dif, w->sdif);
		reason = halfrst_look(&w->state, sk);
		if (sk)
			sock_gen_put(sk);
	}
	if (reason == HALFRST_REASON_LOOK_AGAIN) {
		halfrst_arm_timer(w);
		goto unlock;
	}
	halfrst_uncount(w->net, HALFRST_WATCHING);
	halfrst_watch_end(w, reason);
	rhashtable_remove_fast(&halfrst_net(w->net)->watches, &w->node,
			       halfrst_watch_params);
	w->state.dead = true;
	halfrst_free_claims(&w->state.first);
	call_rcu(&w->rcu, halfrst_free_rcu);
unlock:
	spin_unlock(&w->state.lock);
	rcu_read_unlock();
}

/* What becomes of a FIN whose socket is watched already */
static enum halfrst_stat halfrst_stat_of(int err)
{
	return err == -ENOMEM ? HALFRST_NOMEM :
	       err ? HALFRST_FULL : HALFRST_REPEATED;
}

/* A FIN for a connection that is being watched.  Or the first one of another
 * life: the watch begins anew, and the old one is over.  Returns false if the
 * watch has just ended.
 */
static bool halfrst_watch_refresh(struct halfrst_watch *w, struct sock *sk,
				  const struct halfrst_claim *claims,
				  int dif, int sdif)
{
	bool alive;
	int err;

	spin_lock(&w->state.lock);
	alive = !w->state.dead;
	if (!alive)
		goto unlock;
	if (halfrst_is_another_life(&w->state, sk)) {
		halfrst_watch_end(w, HALFRST_REASON_CLOSED);
		halfrst_free_claims(&w->state.first);
		halfrst_begin(&w->state, claims, sk);
		halfrst_trace_event(w, HALFRST_REASON_FIN);
		err = halfrst_refresh(&w->state, claims->next, sk);
	} else {
		err = halfrst_refresh(&w->state, claims, sk);
		halfrst_count(w->net, halfrst_stat_of(err));
	}
	w->dif = dif;
	w->sdif = sdif;
	mod_timer(&w->timer, jiffies);
unlock:
	spin_unlock(&w->state.lock);
	return alive;
}

/* Is there a watch of that name?  Then it has got one more FIN. */
static bool halfrst_find_and_refresh(struct net *net,
				     const struct halfrst_name *name,
				     struct sock *sk,
				     const struct halfrst_claim *claims,
				     int dif, int sdif)
{
	struct halfrst_watch *w;

	/* The usual case: a first look is mostly the last */
	if (!atomic_read(&halfrst_net(net)->watches.nelems))
		return false;
	do {
		w = rhashtable_lookup(&halfrst_net(net)->watches, name,
				      halfrst_watch_params);
	} while (w && !halfrst_watch_refresh(w, sk, claims, dif, sdif));
	return w;
}

/* The first look has not been the last: into the table, and sleep.  Returns
 * false if the watch cannot live on.
 */
static bool halfrst_watch_insert(struct halfrst_watch *w, struct sock *sk)
{
	struct net *net = w->net;
	int err;

	if (atomic_read(&halfrst_net(net)->watches.nelems) >=
	    READ_ONCE(max_watches)) {
		halfrst_watch_end(w, HALFRST_REASON_FULL);
		return false;
	}
	halfrst_setup_timer(&w->timer, halfrst_timer);	/* was @entry and @sk */
	do {
		/* From the table on a FIN may come in between */
		spin_lock(&w->state.lock);
		err = rhashtable_lookup_insert_fast(&halfrst_net(net)->watches,
						    &w->node,
						    halfrst_watch_params);
		if (!err)
			halfrst_arm_timer(w);
		spin_unlock(&w->state.lock);
	} while (err == -EEXIST &&
		 !halfrst_find_and_refresh(net, &w->name, sk, &w->state.first,
					   w->dif, w->sdif));
	if (!err)
		halfrst_count(net, HALFRST_WATCHING);
	else if (err == -EEXIST)	/* counted with the other watch */
		halfrst_trace_event(w, HALFRST_REASON_REPEATED);
	else
		halfrst_watch_end(w, HALFRST_REASON_NOMEM);
	return !err;
}

/* The first look.  Under RCU, in softirq. */
static void halfrst_first_look(struct halfrst_watch *w)
{
	struct sock *sk = w->sk, *now = sk, *found = NULL;
	enum halfrst_reason reason;

	/* TCP has made a full one meanwhile.  If not, this is @sk again, with
	 * one more reference.
	 */
	if (!sk_fullsock(sk)) {
		found = halfrst_find_socket(w->net, &w->name, w->dif, w->sdif);
		now = found;
	}
	reason = halfrst_look(&w->state, now);
	if (reason != HALFRST_REASON_LOOK_AGAIN)
		halfrst_watch_end(w, reason);
	if (reason != HALFRST_REASON_LOOK_AGAIN || !halfrst_watch_insert(w, now))
		halfrst_free_watch(w);
	if (found)
		sock_gen_put(found);
	sock_gen_put(sk);	/* perhaps the last thing that holds the net */
}

/* Softirq, behind the one that brought the FINs to TCP.  Takes all that are there:
 * no more than one NET_RX has brought, and a look costs less than its packet did.
 */
static void halfrst_tasklet(HALFRST_TASKLET_ARG tasklet)
{
	struct halfrst_first_looks *looks =
		container_of((struct tasklet_struct *)tasklet,
			     struct halfrst_first_looks, tasklet);
	struct halfrst_watch *w, *next;
	LIST_HEAD(list);

	spin_lock(&looks->lock);
	list_splice_init(&looks->list, &list);
	spin_unlock(&looks->lock);
	rcu_read_lock();
	list_for_each_entry_safe(w, next, &list, entry)
		halfrst_first_look(w);
	rcu_read_unlock();
}

/* Does the socket hold its namespace, so that both outlive the first look? */
static bool halfrst_holds_net(const struct sock *sk)
{
	if (!sk_fullsock(sk))
		sk = inet_reqsk(sk)->rsk_listener;
	return sk && sk->sk_net_refcnt;
}

/* Whose socket has it to be, and in which state?  Returns HALFRST_WATCHING, or
 * what to count if it cannot be watched.
 */
static enum halfrst_stat halfrst_may_watch(const struct net *net,
					   struct sock *sk,
					   const struct halfrst_fin *fin,
					   const struct xt_halfrst_info *info)
{
	/* TCP has not seen the FIN yet, unless it is a repeated one */
	if (!((1 << inet_sk_state_load(sk)) &
	      (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT | TCPF_SYN_RECV |
	       TCPF_NEW_SYN_RECV)))
		return HALFRST_WRONG_STATE;
	/* By a redirection it may be anything */
	if (!net_eq(sock_net(sk), net) ||
	    (sk_fullsock(sk) && sk->sk_protocol != IPPROTO_TCP))
		return HALFRST_WRONG_STATE;
	if (!halfrst_may_take_fin(sk, fin))
		return HALFRST_EXPIRED;
	if (!halfrst_holds_net(sk))
		return HALFRST_EXEMPT;
	if (sk_fullsock(sk) &&
	    halfrst_match_owner(sk, info) == HALFRST_OWNER_OTHER)
		return HALFRST_OTHER_OWNER;
	return HALFRST_WATCHING;
}

/* Is this one more rule that sees the FIN that came last, or a copy of it?  They
 * come one after the other.
 */
static bool halfrst_is_copy(const struct halfrst_watch *last,
			    const struct sock *sk,
			    const struct halfrst_claim *claim)
{
	return last->sk == sk && last->state.first.end == claim->end;
}

/* A new watch, to be looked at behind this softirq and thereby behind TCP; when
 * bottom halves are on again, if this is not softirq.  Returns HALFRST_WATCHING,
 * and the first look is going to count; or what to count.
 */
static enum halfrst_stat halfrst_watch_new(struct net *net, struct sock *sk,
					   const struct halfrst_name *name,
					   const struct halfrst_claim *claim,
					   int dif, int sdif)
{
	struct halfrst_first_looks *looks = this_cpu_ptr(&halfrst_first_looks);
	enum halfrst_stat stat = HALFRST_WATCHING;
	struct halfrst_watch *w;

	if (!READ_ONCE(max_watches))
		return HALFRST_FULL;
	spin_lock(&looks->lock);
	if (!list_empty(&looks->list)) {
		w = list_last_entry(&looks->list, struct halfrst_watch, entry);
		if (halfrst_is_copy(w, sk, claim)) {
			stat = halfrst_stat_of(halfrst_refresh(&w->state, claim,
							       sk));
			goto unlock;
		}
	}
	w = kmem_cache_alloc(halfrst_watch_cache, GFP_ATOMIC | __GFP_NOWARN);
	if (!w) {
		stat = HALFRST_NOMEM;
		goto unlock;
	}
	w->net = net;
	w->name = *name;
	w->sk = sk;
	w->dif = dif;
	w->sdif = sdif;
	w->state.ipv6 = sk->sk_family == AF_INET6;
	w->state.dead = false;
	spin_lock_init(&w->state.lock);
	halfrst_begin(&w->state, claim, sk);
	halfrst_trace_event(w, HALFRST_REASON_FIN);
	list_add_tail(&w->entry, &looks->list);
	tasklet_schedule(&looks->tasklet);
unlock:
	spin_unlock(&looks->lock);
	return stat;
}

/**
 * halfrst_watch - watch a connection that is getting a FIN
 * @net: its network namespace
 * @sk: its socket, full or request or time-wait, with a reference that is
 *      handed over
 * @fin: the FIN
 * @info: options of the rule; copied, they do not change with the rule
 *
 * Resets the socket by halfrst_reset() once TCP has taken the FIN and the
 * socket is still.  Counts what happens.
 *
 * Context: softirq or process context, under rcu_read_lock(); does not sleep.
 */
void halfrst_watch(struct net *net, struct sock *sk,
		   const struct halfrst_fin *fin,
		   const struct xt_halfrst_info *info)
{
	struct halfrst_claim claim = {
		.end = fin->end,
		.seen = tcp_jiffies32,
		.info = *info,
	};
	struct halfrst_name name;
	enum halfrst_stat stat;

	if (fin->open)
		claim.info.flags |= HALFRST_CLAIM_OPEN;
	local_bh_disable();
	stat = halfrst_may_watch(net, sk, fin, info);
	if (stat == HALFRST_WATCHING) {
		halfrst_get_name(&name, sk);
		if (halfrst_find_and_refresh(net, &name, sk, &claim, fin->dif,
					     fin->sdif))
			goto put;
		stat = halfrst_watch_new(net, sk, &name, &claim, fin->dif,
					 fin->sdif);
		if (stat == HALFRST_WATCHING)
			goto out;	/* @sk is the watch's */
	}
	halfrst_count(net, stat);
put:
	sock_gen_put(sk);
out:
	local_bh_enable();
}

static int __net_init halfrst_watch_net_init(struct net *net)
{
	return rhashtable_init(&halfrst_net(net)->watches,
			       &halfrst_watch_params);
}

static void halfrst_watch_abandon(void *ptr, void *arg)
{
	struct halfrst_watch *w = ptr;

	halfrst_stop_timer(&w->timer);
	halfrst_trace_event(w, HALFRST_REASON_UNLOAD);
	halfrst_free_watch(w);
}

/* No packet comes any more.  One grace period for all that go together. */
static void __net_exit halfrst_watch_net_exit(struct list_head *list)
{
	struct net *net;

	list_for_each_entry(net, list, exit_list)
		WRITE_ONCE(halfrst_net(net)->gone, true);
	synchronize_rcu();
	list_for_each_entry(net, list, exit_list)
		rhashtable_free_and_destroy(&halfrst_net(net)->watches,
					    halfrst_watch_abandon, NULL);
}

static struct pernet_operations halfrst_watch_net_ops = {
	.init		= halfrst_watch_net_init,
	.exit_batch	= halfrst_watch_net_exit,
	.id		= &halfrst_watch_net_id,
	.size		= sizeof(struct halfrst_watch_net),
};

/**
 * halfrst_watch_init - make halfrst_watch() usable
 *
 * Context: module init, after halfrst_stats_init().
 * Return: 0, or a negative errno.
 */
int halfrst_watch_init(void)
{
	int err, cpu;

	for_each_possible_cpu(cpu) {
		struct halfrst_first_looks *looks =
			per_cpu_ptr(&halfrst_first_looks, cpu);

		spin_lock_init(&looks->lock);
		INIT_LIST_HEAD(&looks->list);
		halfrst_setup_tasklet(&looks->tasklet, halfrst_tasklet);
	}
	halfrst_watch_cache = KMEM_CACHE(halfrst_watch, 0);
	if (!halfrst_watch_cache)
		return -ENOMEM;
	err = register_pernet_subsys(&halfrst_watch_net_ops);
	if (err)
		kmem_cache_destroy(halfrst_watch_cache);
	return err;
}

/**
 * halfrst_watch_exit - end all watches
 *
 * Context: module exit: no halfrst_watch() is running or will run.  Sleeps, but
 * waits for softirqs and RCU only.
 */
void halfrst_watch_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct halfrst_first_looks *looks =
			per_cpu_ptr(&halfrst_first_looks, cpu);

		tasklet_kill(&looks->tasklet);
		/* May have come between a run and the next */
		while (!list_empty(&looks->list)) {
			tasklet_schedule(&looks->tasklet);
			tasklet_kill(&looks->tasklet);
		}
	}
	unregister_pernet_subsys(&halfrst_watch_net_ops);
	rcu_barrier();		/* halfrst_free_rcu() */
	kmem_cache_destroy(halfrst_watch_cache);
}
