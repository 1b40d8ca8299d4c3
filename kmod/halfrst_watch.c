// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a socket to its reset: the only file that knows time.
 *
 * A watch is one socket whose peer has sent a FIN, looked at until it is
 * reset or let go.  A timer looks, as TCP's own do, and a work item of the
 * watch itself resets: the socket-destroy operation sleeps, and a work item
 * that is stuck on one socket's lock holds up no other.
 *
 * Who holds what:
 *  - A watch holds a reference on its socket, and the socket, being one of
 *    user space, holds its namespace.  So a namespace with watches is alive,
 *    and none is left when it goes.
 *  - The namespace's table holds the watch.  Lookups run under RCU, hence
 *    a watch is freed a grace period after it left the table.
 *  - A watch has its timer pending or running, or its work item, never both:
 *    whichever it is owns the watch and alone takes it out of the table.
 *    When the module goes, both are stopped first, and the table is emptied
 *    then.
 */
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/workqueue.h>
#include <net/mptcp.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "halfrst_compat.h"
#include "halfrst_stats.h"
#include "halfrst_watch.h"
#include "xt_HALFRST.h"

#define CREATE_TRACE_POINTS
#include "halfrst_trace.h"

#define EXACT		64		/* jiffies that a timer keeps to */
#define FIRST_LOOK	msecs_to_jiffies(10)
#define LONGEST_STEP	(60 * HZ)
#define FIN_TIMEOUT	(60 * HZ)	/* for a FIN to take effect */

/**
 * struct halfrst_watch - a socket whose peer has sent a FIN
 * @node: in the table of the socket's namespace
 * @sk: the socket; the key, and a reference
 * @since: when the FIN came, in jiffies
 * @active: when a look last found activity or pending bytes, in jiffies
 * @rcu: to free it, when no look needs @since and @active any more
 * @timer: looks at the socket, and looks again
 * @work: looks at it and resets it
 * @due: when the next look is due, in jiffies
 * @hash: the connection's hash, which tells one life of a socket from the
 *        next (connect() after AF_UNSPEC)
 * @copied_seq: up to where the application had read
 * @write_seq: up to where the application had written
 * @grace: in jiffies
 * @deadline: in jiffies, 0 for never
 * @busy: how many looks in a row found the socket's lock held
 * @error: errno value for the application
 * @pending: the last look found bytes pending
 * @dry_run: count and trace, do not reset
 *
 * Only @timer or @work writes to a watch that is in the table, one of them at
 * a time: no lock.
 */
struct halfrst_watch {
	struct rhash_head	node;
	struct sock		*sk;
	union {
		struct {
			unsigned long	since;
			unsigned long	active;
		};
		struct rcu_head		rcu;
	};
	struct timer_list	timer;
	struct work_struct	work;
	unsigned long		due;
	u32			hash;
	u32			copied_seq;
	u32			write_seq;
	u32			grace;
	u32			deadline;
	u8			busy;
	u8			error;
	bool			pending;
	bool			dry_run;
};

struct halfrst_watch_net {
	struct rhashtable	watches;
};

static unsigned int max_watches __read_mostly = 1048576;
module_param(max_watches, uint, 0644);
MODULE_PARM_DESC(max_watches, "most sockets watched in one network namespace");

static const u8 halfrst_errors[XT_HALFRST_ERRORS] = {
	[XT_HALFRST_EPIPE]		= EPIPE,
	[XT_HALFRST_ECONNRESET]		= ECONNRESET,
	[XT_HALFRST_ECONNABORTED]	= ECONNABORTED,
	[XT_HALFRST_ETIMEDOUT]		= ETIMEDOUT,
};

static const struct rhashtable_params halfrst_watch_params = {
	.head_offset		= offsetof(struct halfrst_watch, node),
	.key_offset		= offsetof(struct halfrst_watch, sk),
	.key_len		= sizeof_field(struct halfrst_watch, sk),
	.automatic_shrinking	= true,
};

/* What the end of a watch is counted as */
static const u8 halfrst_outcome[] = {
	[HALFRST_BY_QUIET]	= HALFRST_RESETS,
	[HALFRST_BY_DEADLINE]	= HALFRST_RESETS,
	[HALFRST_BY_DRY_RUN]	= HALFRST_DRY_RUN,
	[HALFRST_BY_CLOSED]	= HALFRST_CLOSED,
	[HALFRST_BY_EXEMPT]	= HALFRST_EXEMPT,
	[HALFRST_BY_EXPIRED]	= HALFRST_EXPIRED,
};

static struct kmem_cache *halfrst_watch_cache __read_mostly;
static struct workqueue_struct *halfrst_wq __read_mostly;
static unsigned int halfrst_watch_net_id __read_mostly;
static bool halfrst_stopping;

static struct rhashtable *halfrst_watches(const struct net *net)
{
	struct halfrst_watch_net *wn = net_generic(net, halfrst_watch_net_id);

	return &wn->watches;
}

static unsigned int halfrst_age(const struct halfrst_watch *w)
{
	return jiffies_to_msecs(jiffies - w->since);
}

/**
 * halfrst_exempt - is this a socket that is always left alone?
 * @sk: a full TCP socket
 *
 * The kernel's own sockets and MPTCP's have an owner that does not expect
 * a reset from inside; a socket in repair mode belongs to a checkpoint.
 *
 * Context: any; without the socket's lock the answer may be outdated.
 * Return: true if it is.
 */
bool halfrst_exempt(const struct sock *sk)
{
	return sk->sk_kern_sock || sk_is_mptcp(sk) || tcp_sk(sk)->repair ||
	       !READ_ONCE(sk->sk_prot)->diag_destroy;
}

/* Bytes on their way to or from the application?  Socket locked, CLOSE_WAIT.
 * The FIN takes one sequence number, which the application has consumed once
 * it has read the end of file.  Urgent data that was not read counts as well.
 */
static bool halfrst_pending(struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	return tp->rcv_nxt - tp->copied_seq > 1 ||
	       tp->snd_una != tp->write_seq ||
	       halfrst_ulp_readable(sk);
}

/* The next look: as far away as the FIN is, so that the age of the watch
 * doubles from look to look, but not past @due.
 */
static unsigned long halfrst_step(const struct halfrst_watch *w,
				  unsigned long now, unsigned long due,
				  unsigned long longest)
{
	unsigned long step = min(max(now - w->since, FIRST_LOOK), longest);

	return clamp(due - now, 1UL, step);
}

/* What is to be done about the socket, now?  Its spinlock is held.
 *
 * Returns why the watch ends, or HALFRST_BY_FIN: look again in *step jiffies.
 */
static enum halfrst_reason halfrst_judge(struct halfrst_watch *w,
					 unsigned long *step)
{
	unsigned long now = jiffies, due, longest = LONGEST_STEP;
	struct sock *sk = w->sk;
	const struct tcp_sock *tp = tcp_sk(sk);
	bool was_pending = w->pending;

	/* Not ours if a process is inside the socket, perhaps for long: it
	 * may be blocked in a page fault.  TCP's backlog waits for it, too.
	 */
	if (sock_owned_by_user(sk)) {
		*step = min(FIRST_LOOK << w->busy, longest);
		w->busy = min(w->busy + 1, 16);
		return HALFRST_BY_FIN;
	}
	w->busy = 0;

	if (sk->sk_hash != w->hash || sock_flag(sk, SOCK_DEAD) ||
	    sk->sk_shutdown & SEND_SHUTDOWN)
		return HALFRST_BY_CLOSED;
	if (halfrst_exempt(sk))
		return HALFRST_BY_EXEMPT;

	/* Activity, and the FIN's acceptance, are noticed a quarter of the
	 * grace late at most: the reset comes before 1.25 graces of silence.
	 */
	if (w->grace)
		longest = clamp(w->grace / 4UL, FIRST_LOOK, longest);

	if (sk->sk_state == TCP_ESTABLISHED) {
		due = w->since + FIN_TIMEOUT;
		if (time_after_eq(now, due))
			return HALFRST_BY_EXPIRED;
		w->active = now;	/* the grace begins with CLOSE_WAIT */
		*step = halfrst_step(w, now, due, longest);
		return HALFRST_BY_FIN;
	}
	if (sk->sk_state != TCP_CLOSE_WAIT)
		return HALFRST_BY_CLOSED;

	/* Waits in a listener's accept queue.  inet_csk_listen_stop() relies
	 * on nobody owning such a socket's lock, which the destroy operation
	 * would take: only when a process has accepted it, its time begins.
	 */
	if (!sk->sk_socket) {
		w->active = now;
		*step = halfrst_step(w, now, now + longest, longest);
		return HALFRST_BY_FIN;
	}

	/* The first look that finds nothing pending cannot tell since when */
	w->pending = halfrst_pending(sk);
	if (w->pending || was_pending || tp->copied_seq != w->copied_seq ||
	    tp->write_seq != w->write_seq) {
		w->copied_seq = tp->copied_seq;
		w->write_seq = tp->write_seq;
		w->active = now;
	}

	due = w->pending ? now + longest : w->active + w->grace;
	if (!w->pending && time_after_eq(now, due))
		return HALFRST_BY_QUIET;
	if (w->deadline) {
		unsigned long deadline = w->since + w->deadline;

		if (time_after_eq(now, deadline))
			return HALFRST_BY_DEADLINE;
		if (time_before(deadline, due))
			due = deadline;
	}
	*step = halfrst_step(w, now, due, longest);
	return HALFRST_BY_FIN;
}

/* Sleep until the look that is due.  A timer is late by up to an eighth of its
 * time, and brings many together in one softirq that is long enough to hold up
 * the reception of packets.  So stop early and go on: looks are as far apart
 * as the FINs were.  Nothing is left if the CPU was taken away meanwhile.
 */
static void halfrst_sleep(struct halfrst_watch *w)
{
	unsigned long now = jiffies;
	long left = w->due - now;

	if (left > EXACT)
		left -= left / 8;
	mod_timer(&w->timer, now + left);
}

static void halfrst_free_rcu(struct rcu_head *rcu)
{
	kmem_cache_free(halfrst_watch_cache,
			container_of(rcu, struct halfrst_watch, rcu));
}

/* The watch is over.  Softirq or process context. */
static void halfrst_end(struct halfrst_watch *w, enum halfrst_reason reason)
{
	struct sock *sk = w->sk;
	const struct net *net = sock_net(sk);

	halfrst_count(net, halfrst_outcome[reason]);
	if (reason == HALFRST_BY_QUIET || reason == HALFRST_BY_DEADLINE)
		trace_halfrst_reset(sk, reason, halfrst_age(w));
	else
		trace_halfrst_forget(sk, reason, halfrst_age(w));

	rhashtable_remove_fast(halfrst_watches(net), &w->node,
			       halfrst_watch_params);
	call_rcu(&w->rcu, halfrst_free_rcu);
	sock_put(sk);		/* perhaps the last thing that holds net */
}

/* One look.  Softirq or process context.
 *
 * Returns why the socket is to be reset now, by the caller, or HALFRST_BY_FIN:
 * the next look is set up, or the watch has ended.
 */
static enum halfrst_reason halfrst_look(struct halfrst_watch *w, bool reset)
{
	struct sock *sk = w->sk;
	enum halfrst_reason reason;
	unsigned long step = 0;

	spin_lock_bh(&sk->sk_lock.slock);
	reason = halfrst_judge(w, &step);
	if (reason == HALFRST_BY_QUIET || reason == HALFRST_BY_DEADLINE) {
		if (w->dry_run)
			reason = HALFRST_BY_DRY_RUN;
		/* No write from here on: a request that came between the
		 * decision and the reset would be accepted and lost.
		 */
		else if (reset)
			WRITE_ONCE(sk->sk_shutdown,
				   sk->sk_shutdown | SEND_SHUTDOWN);
	}
	spin_unlock_bh(&sk->sk_lock.slock);

	switch (reason) {
	case HALFRST_BY_QUIET:
	case HALFRST_BY_DEADLINE:
		return reason;
	case HALFRST_BY_FIN:
		w->due = jiffies + step;
		halfrst_sleep(w);
		break;
	default:
		halfrst_end(w, reason);
	}
	return HALFRST_BY_FIN;
}

/* Softirq.  The explicit RCU section is what halfrst_watch_stop() waits for. */
static void halfrst_timer(struct timer_list *timer)
{
	struct halfrst_watch *w = container_of(timer, struct halfrst_watch,
					       timer);

	rcu_read_lock();
	if (READ_ONCE(halfrst_stopping))
		;		/* halfrst_watch_exit() takes the watch */
	else if (time_before(jiffies, w->due))
		halfrst_sleep(w);
	else if (halfrst_look(w, false) != HALFRST_BY_FIN)
		queue_work(halfrst_wq, &w->work);
	rcu_read_unlock();
}

/* Process context.  Looks once more: much may have happened since the timer. */
static void halfrst_work(struct work_struct *work)
{
	struct halfrst_watch *w = container_of(work, struct halfrst_watch,
					       work);
	struct sock *sk = w->sk;
	enum halfrst_reason reason;

	if (READ_ONCE(halfrst_stopping))
		return;		/* halfrst_watch_exit() takes the watch */
	reason = halfrst_look(w, true);
	if (reason == HALFRST_BY_FIN)
		return;
	/* Takes the socket's lock, and sleeps if a process got hold of it
	 * just now; that one may have closed the socket.
	 */
	if (READ_ONCE(sk->sk_prot)->diag_destroy(sk, w->error) == -ENOENT)
		reason = HALFRST_BY_CLOSED;
	else if (reason == HALFRST_BY_DEADLINE && w->pending)
		halfrst_count(sock_net(sk), HALFRST_DEADLINE);
	halfrst_end(w, reason);
}

/* Put a socket under watch.  Softirq, or process context behind NFQUEUE;
 * under RCU.  Returns what to count, or HALFRST_FINS for a new watch.
 */
static enum halfrst_stat halfrst_watch_new(struct sock *sk,
					   const struct xt_halfrst_info *info)
{
	struct rhashtable *watches = halfrst_watches(sock_net(sk));
	const struct tcp_sock *tp = tcp_sk(sk);
	struct halfrst_watch *w;
	int err;

	if (rhashtable_lookup(watches, &sk, halfrst_watch_params))
		return HALFRST_REPEATED;
	if (halfrst_watching(sock_net(sk)) >= READ_ONCE(max_watches))
		return HALFRST_FULL;
	w = kmem_cache_alloc(halfrst_watch_cache, GFP_ATOMIC | __GFP_NOWARN);
	if (!w)
		return HALFRST_NOMEM;

	w->sk = sk;
	w->since = jiffies;
	w->active = w->since;
	w->hash = sk->sk_hash;
	w->copied_seq = READ_ONCE(tp->copied_seq);
	w->write_seq = READ_ONCE(tp->write_seq);
	w->grace = msecs_to_jiffies(info->grace);
	w->deadline = msecs_to_jiffies(info->deadline);
	w->busy = 0;
	w->pending = false;
	w->error = halfrst_errors[info->reset_with];
	w->dry_run = info->flags & XT_HALFRST_DRY_RUN;
	timer_setup(&w->timer, halfrst_timer, 0);
	INIT_WORK(&w->work, halfrst_work);

	sock_hold(sk);
	err = rhashtable_lookup_insert_fast(watches, &w->node,
					    halfrst_watch_params);
	if (err) {
		sock_put(sk);
		kmem_cache_free(halfrst_watch_cache, w);
		return err == -EEXIST ? HALFRST_REPEATED : HALFRST_NOMEM;
	}
	trace_halfrst_watch(sk, HALFRST_BY_FIN, 0);
	if (w->grace) {
		w->due = w->since + clamp(w->grace / 4UL, 1UL, FIRST_LOOK);
		halfrst_sleep(w);
	} else {
		/* Runs on this CPU, after this softirq and thereby after TCP:
		 * normally the first look is the last.
		 */
		queue_work(halfrst_wq, &w->work);
	}
	return HALFRST_FINS;
}

/**
 * halfrst_watch - watch a socket that is getting a FIN
 * @sk: a full TCP socket that the caller holds a reference on
 * @info: options of the rule; copied, they do not change with the rule
 *
 * Resets the socket with its protocol's diag_destroy(), tcp_abort() that is,
 * once TCP has taken the FIN and the socket is quiet.  Counts what happens.
 * Takes a reference of its own.
 *
 * Context: softirq or process context, under rcu_read_lock(); does not sleep.
 */
void halfrst_watch(struct sock *sk, const struct xt_halfrst_info *info)
{
	enum halfrst_stat stat = halfrst_watch_new(sk, info);

	if (stat != HALFRST_FINS)
		halfrst_count(sock_net(sk), stat);
}

/**
 * halfrst_watching - how many sockets are being watched now?
 * @net: a network namespace
 *
 * Context: any.
 * Return: their number.
 */
unsigned int halfrst_watching(const struct net *net)
{
	return atomic_read(&halfrst_watches(net)->nelems);
}

static int __net_init halfrst_watch_net_init(struct net *net)
{
	return rhashtable_init(halfrst_watches(net), &halfrst_watch_params);
}

/* What has not begun does nothing any more, so the watch is ours once neither
 * runs.  The timer first: it may just be queueing the work item.
 */
static void halfrst_watch_abandon(void *ptr, void *arg)
{
	struct halfrst_watch *w = ptr;

	halfrst_timer_stop(&w->timer);
	cancel_work_sync(&w->work);
	trace_halfrst_forget(w->sk, HALFRST_BY_UNLOAD, halfrst_age(w));
	sock_put(w->sk);
	kmem_cache_free(halfrst_watch_cache, w);
}

/* Finds watches only when the module goes: they hold their namespace. */
static void __net_exit halfrst_watch_net_exit(struct net *net)
{
	rhashtable_free_and_destroy(halfrst_watches(net),
				    halfrst_watch_abandon, NULL);
}

static struct pernet_operations halfrst_watch_net_ops = {
	.init	= halfrst_watch_net_init,
	.exit	= halfrst_watch_net_exit,
	.id	= &halfrst_watch_net_id,
	.size	= sizeof(struct halfrst_watch_net),
};

/**
 * halfrst_watch_init - make halfrst_watch() usable
 *
 * Context: module init, before halfrst_stats_init(), which shows the watches'
 * number.
 * Return: 0, or a negative errno.
 */
int halfrst_watch_init(void)
{
	int err = -ENOMEM;

	halfrst_watch_cache = KMEM_CACHE(halfrst_watch, 0);
	if (!halfrst_watch_cache)
		return err;
	/* High priority: a reset is some thousand instructions, and it had
	 * better come before TCP's delayed ACK, let alone the next request.
	 */
	halfrst_wq = alloc_workqueue("xt_halfrst",
				     HALFRST_WQ_FLAGS | WQ_HIGHPRI, 0);
	if (!halfrst_wq)
		goto err_cache;
	err = register_pernet_subsys(&halfrst_watch_net_ops);
	if (err)
		goto err_wq;
	return 0;

err_wq:
	destroy_workqueue(halfrst_wq);
err_cache:
	kmem_cache_destroy(halfrst_watch_cache);
	return err;
}

/**
 * halfrst_watch_stop - no watch does or counts anything any more
 *
 * Context: module exit: no halfrst_watch() is running or will run.  Sleeps,
 * at worst until a process lets go of a socket that is just being reset.
 */
void halfrst_watch_stop(void)
{
	/* From here on a timer or a work item that begins ends at once, and
	 * those that began earlier are over then: nobody else frees a watch.
	 */
	WRITE_ONCE(halfrst_stopping, true);
	synchronize_rcu();
	flush_workqueue(halfrst_wq);
}

/**
 * halfrst_watch_exit - end all watches
 *
 * Context: module exit, after halfrst_watch_stop(), or halfrst_watch_init()
 * if nothing was ever watched.  Sleeps.
 */
void halfrst_watch_exit(void)
{
	unregister_pernet_subsys(&halfrst_watch_net_ops);
	destroy_workqueue(halfrst_wq);
	rcu_barrier();		/* halfrst_free_rcu() */
	kmem_cache_destroy(halfrst_watch_cache);
}
