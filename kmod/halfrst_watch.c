// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which sockets are looked at, and who looks.
 *
 * A watch is one connection whose peer has sent a FIN.  Its first look is a
 * tasklet's, behind the softirq that brings the FIN to TCP; normally it is the
 * last.  If not, it goes to the namespace's table, and a timer looks again.
 * A tasklet and a list for each CPU, as TCP's small queues have them: it runs
 * behind NET_RX, on the CPU whose cache has the connection.
 *
 * Who holds what:
 *  - Until its first look a watch is in the list of a CPU and nobody else knows
 *    it.  It holds the socket, and thereby the namespace.
 *  - In the table it holds neither: each look finds the socket by its name.  A
 *    closed socket is not found any more; a namespace that goes takes its
 *    watches along.
 *  - Lookups in the table run under RCU, hence a watch is freed a grace period
 *    after it left.  Only its own timer takes it out, which from then on nobody
 *    starts (@dead).
 *  - The end of namespaces comes in two steps.  After @gone and a grace period
 *    no timer does anything; then the tables are emptied.
 */
#include <linux/interrupt.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include <net/sock.h>

#include "halfrst_compat.h"
#include "halfrst_look.h"
#include "halfrst_socket.h"
#include "halfrst_stats.h"
#include "halfrst_trace.h"
#include "halfrst_watch.h"
#include "xt_HALFRST.h"

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
 * @path: what the last FIN has come through: TCP found the socket by it
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
	struct halfrst_path	path;
};

struct halfrst_watch_net {
	struct rhashtable	watches;
	bool			gone;
};

/**
 * struct halfrst_first_looks - what this CPU is to look at for the first time
 * @lock: of @list
 * @list: watches
 * @spare: a watch whose first look was its last, for the next FIN, or NULL: the
 *         slab would clear it, and most are such
 * @tasklet: looks at them
 */
struct halfrst_first_looks {
	spinlock_t		lock;	/* of the list */
	struct list_head	list;
	struct halfrst_watch	*spare;
	struct tasklet_struct	tasklet;
};

static unsigned int max_watches __read_mostly = 1048576;
module_param(max_watches, uint, 0644);
MODULE_PARM_DESC(max_watches, "most sockets watched in one network namespace; 0: reset none any more");

static const struct rhashtable_params halfrst_watch_params = {
	.hashfn			= halfrst_hash_name,
	.head_offset		= offsetof(struct halfrst_watch, node),
	.key_offset		= offsetof(struct halfrst_watch, name),
	.key_len		= sizeof(struct halfrst_name),
	.automatic_shrinking	= true,
};

static struct kmem_cache *halfrst_watch_cache __read_mostly;
static unsigned int halfrst_watch_net_id __read_mostly;
static DEFINE_PER_CPU(struct halfrst_first_looks, halfrst_first_looks);

static struct halfrst_watch_net *halfrst_net(const struct net *net)
{
	return net_generic(net, halfrst_watch_net_id);
}

/* From here on watches have their lock held, or nobody else knows them */

static void halfrst_arm_timer(struct halfrst_watch *w)
{
	mod_timer(&w->timer, halfrst_next_look(&w->state));
}

static void halfrst_trace(const struct halfrst_watch *w,
			  enum halfrst_reason reason)
{
	halfrst_trace_event(w, &w->name, &w->state, reason);
}

/* That was the last look */
static void halfrst_watch_end(const struct halfrst_watch *w,
			      enum halfrst_reason reason)
{
	halfrst_count_end(w->net, reason, w->state.pending);
	halfrst_trace(w, reason);
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
		sk = halfrst_find_socket(w->net, &w->name, &w->path);
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
	/* A FIN may have started it again while this function waited for the lock */
	timer_delete(&w->timer);
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
				  const struct halfrst_path *path)
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
		w->state.first = *claims;
		halfrst_begin(&w->state, sk);
		halfrst_trace(w, HALFRST_REASON_FIN);
		halfrst_refresh(&w->state, claims->next, sk);
	} else {
		err = halfrst_refresh(&w->state, claims, sk);
		halfrst_count(w->net, halfrst_stat_of(err));
	}
	w->path = *path;
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
				     const struct halfrst_path *path)
{
	struct halfrst_watch *w;

	do {
		w = rhashtable_lookup(&halfrst_net(net)->watches, name,
				      halfrst_watch_params);
	} while (w && !halfrst_watch_refresh(w, sk, claims, path));
	return w;
}

/* How many there are in the table.  None is the usual case. */
static unsigned int halfrst_watches(const struct net *net)
{
	return atomic_read(&halfrst_net(net)->watches.nelems);
}

/* The first look has not been the last: into the table, and sleep.  Returns
 * false if the watch cannot live on.
 */
static bool halfrst_watch_insert(struct halfrst_watch *w, struct sock *sk)
{
	struct net *net = w->net;
	int err;

	if (halfrst_watches(net) >= READ_ONCE(max_watches)) {
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
					   &w->path));
	if (!err)
		halfrst_count(net, HALFRST_WATCHING);
	else if (err == -EEXIST)	/* counted with the other watch */
		halfrst_trace(w, HALFRST_REASON_REPEATED);
	else
		halfrst_watch_end(w, HALFRST_REASON_NOMEM);
	return !err;
}

/* The first look.  Under RCU, in softirq.  Returns true if it was the last. */
static bool halfrst_first_look(struct halfrst_watch *w)
{
	struct sock *sk = w->sk, *now = sk, *found = NULL;
	enum halfrst_reason reason;
	bool over = true;

	/* TCP has made a full one meanwhile, or it is @sk, referenced twice */
	if (!sk_fullsock(sk)) {
		found = halfrst_find_socket(w->net, &w->name, &w->path);
		now = found;
	}
	reason = halfrst_look(&w->state, now);
	if (reason == HALFRST_REASON_LOOK_AGAIN)
		over = !halfrst_watch_insert(w, now);
	else
		halfrst_watch_end(w, reason);
	if (found)
		sock_gen_put(found);
	sock_gen_put(sk);	/* perhaps the last thing that holds the net */
	return over;
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
	list_for_each_entry_safe(w, next, &list, entry) {
		if (!halfrst_first_look(w))
			continue;
		halfrst_free_claims(&w->state.first);
		w = xchg(&looks->spare, w);
		if (w)
			kmem_cache_free(halfrst_watch_cache, w);
	}
	rcu_read_unlock();
}

/* A new watch, to be looked at behind this softirq and thereby behind TCP; when
 * bottom halves are on again, if this is not softirq.  Returns HALFRST_WATCHING,
 * and the first look is going to count; or what to count.
 */
static enum halfrst_stat halfrst_watch_new(struct net *net, struct sock *sk,
					   const struct halfrst_fin *fin,
					   const struct xt_halfrst_info *info)
{
	struct halfrst_first_looks *looks = this_cpu_ptr(&halfrst_first_looks);
	enum halfrst_stat stat = HALFRST_WATCHING;
	struct halfrst_claim claim;
	struct halfrst_watch *w;

	if (!READ_ONCE(max_watches))
		return HALFRST_FULL;
	spin_lock(&looks->lock);
	if (!list_empty(&looks->list)) {
		w = list_last_entry(&looks->list, struct halfrst_watch, entry);
		/* One more rule that sees this FIN, or a copy of it, comes
		 * right behind
		 */
		if (w->sk == sk && w->state.first.end == fin->end) {
			halfrst_init_claim(&claim, fin, info);
			stat = halfrst_stat_of(halfrst_refresh(&w->state,
							       &claim, sk));
			goto unlock;
		}
	}
	w = xchg(&looks->spare, NULL);
	if (!w)
		w = kmem_cache_alloc(halfrst_watch_cache,
				     GFP_ATOMIC | __GFP_NOWARN);
	if (!w) {
		stat = HALFRST_NOMEM;
		goto unlock;
	}
	w->net = net;
	halfrst_get_name(&w->name, sk);
	w->sk = sk;
	w->path = fin->path;
	w->state.ipv6 = sk->sk_family == AF_INET6;
	w->state.dead = false;
	spin_lock_init(&w->state.lock);
	halfrst_init_claim(&w->state.first, fin, info);
	halfrst_begin(&w->state, sk);
	halfrst_trace(w, HALFRST_REASON_FIN);
	list_add_tail(&w->entry, &looks->list);
	tasklet_schedule(&looks->tasklet);
unlock:
	spin_unlock(&looks->lock);
	return stat;
}

/**
 * halfrst_watch - watch a connection that is getting a FIN
 * @net: its network namespace
 * @sk: its socket, a full or a request one, with a reference that is handed over
 * @fin: the FIN
 * @info: options of the rule; copied, they do not change with the rule
 *
 * Resets the socket by halfrst_reset() once TCP has taken the FIN and the
 * socket is still.  Counts what happens.
 *
 * Context: bottom halves off, under rcu_read_lock().
 */
void halfrst_watch(struct net *net, struct sock *sk,
		   const struct halfrst_fin *fin,
		   const struct xt_halfrst_info *info)
{
	struct halfrst_claim claim;
	struct halfrst_name name;
	enum halfrst_stat stat;
	bool known = false;

	if (halfrst_watches(net)) {
		halfrst_get_name(&name, sk);
		halfrst_init_claim(&claim, fin, info);
		known = halfrst_find_and_refresh(net, &name, sk, &claim,
						 &fin->path);
	}
	if (!known) {
		stat = halfrst_watch_new(net, sk, fin, info);
		if (stat == HALFRST_WATCHING)
			return;		/* @sk is the watch's */
		halfrst_count(net, stat);
	}
	sock_gen_put(sk);
}

static int __net_init halfrst_watch_net_init(struct net *net)
{
	return rhashtable_init(&halfrst_net(net)->watches,
			       &halfrst_watch_params);
}

static void halfrst_watch_abandon(void *ptr, void *arg)
{
	struct halfrst_watch *w = ptr;

	timer_delete_sync(&w->timer);
	halfrst_trace(w, HALFRST_REASON_UNLOAD);
	halfrst_free_claims(&w->state.first);
	kmem_cache_free(halfrst_watch_cache, w);
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
	struct halfrst_first_looks *looks;
	int err, cpu;

	for_each_possible_cpu(cpu) {
		looks = per_cpu_ptr(&halfrst_first_looks, cpu);
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
	struct halfrst_first_looks *looks;
	int cpu;

	for_each_possible_cpu(cpu) {
		looks = per_cpu_ptr(&halfrst_first_looks, cpu);
		tasklet_kill(&looks->tasklet);
		/* May have come between a run and the next */
		while (!list_empty(&looks->list)) {
			tasklet_schedule(&looks->tasklet);
			tasklet_kill(&looks->tasklet);
		}
		if (looks->spare)
			kmem_cache_free(halfrst_watch_cache, looks->spare);
	}
	unregister_pernet_subsys(&halfrst_watch_net_ops);
	rcu_barrier();		/* halfrst_free_rcu() */
	kmem_cache_destroy(halfrst_watch_cache);
}
