// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a socket to its reset: the only file that knows time.
 *
 * A watch is one connection whose peer has sent a FIN.  From time to time it
 * is looked at, and a look decides under the socket's spinlock what to do, and
 * does it there.  The first look is a tasklet's, behind the softirq that brings
 * the FIN to TCP; normally it is the last.  If not, the watch goes to the
 * namespace's table, and a timer looks again.  Nothing in here sleeps but the
 * module's beginning and end.
 *
 * Who holds what:
 *  - Until its first look a watch is in the list of a CPU and nobody else knows
 *    it.  It holds the socket, and thereby the namespace.
 *  - In the table it holds neither: each look finds the socket by its name.  A
 *    closed socket is not found any more; a namespace that goes takes its
 *    watches along.
 *  - Lookups in the table run under RCU, hence a watch is freed a grace period
 *    after it left.  Only its own timer takes it out (@dead).
 *  - @lock is held throughout a timer's look, and by a FIN that changes the
 *    watch.  It comes before the socket's spinlock, which is held as TCP holds
 *    it: whatever TCP may do with it may be done here.
 *  - The end of a namespace comes in two steps.  After @gone and a grace period
 *    no timer does anything; then the table is emptied.
 */
#include <linux/errno.h>
#include <linux/interrupt.h>
#include <linux/jhash.h>
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "halfrst_compat.h"
#include "halfrst_reset.h"
#include "halfrst_socket.h"
#include "halfrst_stats.h"
#include "halfrst_watch.h"
#include "xt_HALFRST.h"

#define CREATE_TRACE_POINTS
#include "halfrst_trace.h"

#define EXACT		64		/* jiffies that a timer keeps to */
#define FIRST_STEP	msecs_to_jiffies(10)
#define LONGEST_STEP	(60 * HZ)
#define FIN_TIMEOUT	(60 * HZ)	/* for a FIN to take effect */
#define HELD_TIMEOUT	HZ		/* for what cannot be seen from here */
#define LOOKS		64		/* in one run of a tasklet */

/**
 * struct halfrst_watch - a connection whose peer has sent a FIN
 * @node: in the table of the namespace
 * @net: the namespace
 * @name: finds the socket; the key
 * @soon: in the list of a CPU, until the first look
 * @sk: until then the socket, a full or a request one, with a reference
 * @timer: looks again
 * @info: options of the rule
 * @rcu: to free it when it is @dead
 * @since: when TCP had accepted the FIN and a process the connection, as a look
 *         saw it; until then when the last FIN came
 * @active: when there was the last activity; until then as @since
 * @due: when the next look is due
 * @progress: copied_seq + write_seq, which grows when the application reads or
 *            writes
 * @life: see halfrst_life()
 * @uid: the socket's owner
 * @lock: see above
 * @begun: the FIN was accepted, and the connection, too
 * @known: @life is set
 * @pending: the last look found something that postpones the reset
 * @dead: no longer in the table
 * @ipv6: an AF_INET6 socket
 *
 * Times are in jiffies, the lowest 32 bits.
 */
struct halfrst_watch {
	struct rhash_head	node;
	struct net		*net;
	struct halfrst_name	name;
	union {
		struct {
			struct list_head	soon;
			struct sock		*sk;
		};
		struct timer_list	timer;
	};
	union {
		struct xt_halfrst_info	info;
		struct rcu_head		rcu;
	};
	u32			since;
	u32			active;
	u32			due;
	u32			progress;
	u32			life;
	kuid_t			uid;
	spinlock_t		lock;	/* looks and FINs */
	u8			begun : 1,
				known : 1,
				pending : 1,
				dead : 1,
				ipv6 : 1;
};

struct halfrst_watch_net {
	struct rhashtable	watches;
	bool			gone;
};

/* The watches that this CPU is to look at for the first time */
struct halfrst_soon {
	spinlock_t		lock;	/* of the list */
	struct list_head	list;
	struct tasklet_struct	tasklet;
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
	.key_len		= sizeof_field(struct halfrst_watch, name),
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
	[HALFRST_BY_OWNER]	= HALFRST_OTHER_OWNER,
	[HALFRST_BY_FULL]	= HALFRST_FULL,
	[HALFRST_BY_NOMEM]	= HALFRST_NOMEM,
};

static struct kmem_cache *halfrst_watch_cache __read_mostly;
static unsigned int halfrst_watch_net_id __read_mostly;
static DEFINE_PER_CPU(struct halfrst_soon, halfrst_soon);

static struct halfrst_watch_net *halfrst_net(const struct net *net)
{
	return net_generic(net, halfrst_watch_net_id);
}

/* Has the time come?  Both in jiffies, less than 2^31 apart. */
static bool halfrst_reached(u32 now, u32 due)
{
	return (s32)(now - due) >= 0;
}

/* Look again at @due, or earlier.  With a grace the time from look to look
 * doubles, up to a quarter of the grace: so late are reads and writes seen.  What
 * takes much longer, because the peer does not acknowledge, is looked at the
 * more rarely the longer it takes; the time of its ACK is known then.  Without a
 * grace, a look is late by an eighth of the FIN's age.
 */
static enum halfrst_reason halfrst_again(struct halfrst_watch *w, u32 now,
					 u32 due)
{
	u32 grace = msecs_to_jiffies(w->info.grace);
	u32 age = now - (grace ? w->active : w->since);
	u32 step = grace ? max(min(age, grace / 4), age / 64) : age / 8;

	step = clamp_t(u32, step, w->begun ? FIRST_STEP : 1, LONGEST_STEP);
	w->due = now + clamp_t(s32, due - now, 1, step);
	return HALFRST_LOOK_AGAIN;
}

/* TCP has not taken the FIN, or not yet */
static enum halfrst_reason halfrst_not_yet(struct halfrst_watch *w, u32 now)
{
	u32 due = w->since + FIN_TIMEOUT;

	return halfrst_reached(now, due) ? HALFRST_BY_EXPIRED :
					   halfrst_again(w, now, due);
}

/* What is to be done about the socket, now?  Its spinlock is held, but a
 * process may own it.  Sets @due for HALFRST_LOOK_AGAIN.
 */
static enum halfrst_reason halfrst_judge(struct halfrst_watch *w,
					 struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	u32 now = tcp_jiffies32, never = now + LONGEST_STEP, due = never;
	u32 grace = msecs_to_jiffies(w->info.grace), progress;
	bool was_pending = w->pending;

	/* Not ours if a process is inside the socket, perhaps for long: it
	 * may be blocked in a page fault.  TCP's backlog waits for it, too.
	 */
	if (sock_owned_by_user(sk))
		return halfrst_again(w, now, never);

	if (!w->known) {
		w->known = true;
		w->life = halfrst_life(sk);
	}
	if (w->life != halfrst_life(sk) || sock_flag(sk, SOCK_DEAD) ||
	    sk->sk_shutdown & SEND_SHUTDOWN)
		return HALFRST_BY_CLOSED;
	if (halfrst_exempt(sk))
		return HALFRST_BY_EXEMPT;
	if ((1 << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_SYN_RECV))
		return halfrst_not_yet(w, now);
	if (sk->sk_state != TCP_CLOSE_WAIT)
		return HALFRST_BY_CLOSED;

	/* Waits in a listener's accept queue, which inet_csk_listen_stop()
	 * relies on.  Its time begins when a process has accepted it.
	 */
	if (!sk->sk_socket)
		return halfrst_again(w, now, never);
	w->uid = sk->sk_uid;
	if (!halfrst_owner(sk, w->net, &w->info))
		return HALFRST_BY_OWNER;

	progress = tp->copied_seq + tp->write_seq;
	if (!w->begun) {
		w->begun = true;
		w->since = now;
		w->active = now;
		w->progress = progress;
	}
	if (halfrst_layered(sk))
		grace = max_t(u32, grace, HELD_TIMEOUT);
	w->pending = halfrst_pending(sk, w->info.grace) ||
		     (now - tp->lsndtime < HELD_TIMEOUT &&
		      halfrst_unfinished(sk));
	if (w->progress != progress) {
		w->progress = progress;
		w->active = now;
	} else if (was_pending && !w->pending) {
		/* The last ACK has ended it.  Unless kTLS or sockmap has. */
		if (halfrst_layered(sk))
			w->active = now;
		else if (halfrst_reached(tp->rcv_tstamp, w->active))
			w->active = tp->rcv_tstamp;
	}

	if (!w->pending) {
		due = w->active + grace;
		if (halfrst_reached(now, due))
			return HALFRST_BY_QUIET;
	}
	if (w->info.flags & XT_HALFRST_DEADLINE) {
		u32 end = w->since + msecs_to_jiffies(w->info.deadline);

		if (halfrst_reached(now, end))
			return HALFRST_BY_DEADLINE;
		if (halfrst_reached(due, end))
			due = end;
	}
	return halfrst_again(w, now, due);
}

/* From here on it is about the watch, whose lock the caller holds. */

/* Sleep until the look that is due.  A timer is late by up to an eighth of its
 * time, and brings many together in one softirq that is long enough to hold up
 * the reception of packets.  So stop early and go on: looks are as far apart
 * as the FINs were.  Nothing is left if the CPU was taken away meanwhile.
 */
static void halfrst_sleep(struct halfrst_watch *w)
{
	s32 left = max_t(s32, w->due - tcp_jiffies32, 0);

	if (left > EXACT)
		left -= left / 8;
	mod_timer(&w->timer, jiffies + left);
}

static void halfrst_tell(const struct halfrst_watch *w,
			 enum halfrst_reason reason)
{
	u16 family = w->ipv6 ? AF_INET6 : AF_INET;
	u32 uid = __kuid_val(w->uid);

	switch (reason) {
	case HALFRST_BY_FIN:
		trace_halfrst_watch(w, &w->name, family, uid, reason, w->since);
		break;
	case HALFRST_BY_QUIET:
	case HALFRST_BY_DEADLINE:
		trace_halfrst_reset(w, &w->name, family, uid, reason, w->since);
		break;
	default:
		trace_halfrst_forget(w, &w->name, family, uid, reason, w->since);
	}
}

/* The watch begins, or begins anew with another life of its socket */
static void halfrst_begin(struct halfrst_watch *w, const struct sock *sk,
			  const struct xt_halfrst_info *info)
{
	w->info = *info;
	w->since = tcp_jiffies32;
	w->active = w->since;
	w->begun = false;
	w->known = false;
	w->pending = false;
	w->uid = sk_fullsock(sk) ? READ_ONCE(sk->sk_uid) : INVALID_UID;
}

/* Decided under the socket's spinlock, done under it */
static enum halfrst_reason halfrst_act(struct halfrst_watch *w,
				       struct sock *sk,
				       enum halfrst_reason reason)
{
	u32 now = tcp_jiffies32;

	if (w->info.flags & XT_HALFRST_DRY_RUN)
		return HALFRST_BY_DRY_RUN;
	if (halfrst_reset(sk, halfrst_errors[w->info.reset_with]))
		return reason;
	return halfrst_again(w, now, now + FIRST_STEP);
}

/* One look, under RCU, in softirq.  @sk may be NULL. */
static enum halfrst_reason halfrst_look(struct halfrst_watch *w,
					struct sock *sk)
{
	enum halfrst_reason reason = HALFRST_BY_CLOSED;

	if (sk && sk_fullsock(sk)) {
		bh_lock_sock(sk);
		reason = halfrst_judge(w, sk);
		if (reason == HALFRST_BY_QUIET ||
		    reason == HALFRST_BY_DEADLINE)
			reason = halfrst_act(w, sk, reason);
		bh_unlock_sock(sk);
	} else if (sk && sk->sk_state == TCP_NEW_SYN_RECV) {
		reason = halfrst_not_yet(w, tcp_jiffies32);
	}
	return reason;
}

/* That was the last look */
static void halfrst_over(const struct halfrst_watch *w,
			 enum halfrst_reason reason)
{
	halfrst_count(w->net, halfrst_outcome[reason]);
	if (reason == HALFRST_BY_DEADLINE && w->pending)
		halfrst_count(w->net, HALFRST_DEADLINE);
	halfrst_tell(w, reason);
}

static void halfrst_free_rcu(struct rcu_head *rcu)
{
	kmem_cache_free(halfrst_watch_cache,
			container_of(rcu, struct halfrst_watch, rcu));
}

/* Softirq.  The explicit RCU section is what pre_exit's grace period is for. */
static void halfrst_timer(struct timer_list *timer)
{
	struct halfrst_watch *w = container_of(timer, struct halfrst_watch,
					       timer);
	enum halfrst_reason reason = HALFRST_LOOK_AGAIN;
	struct sock *sk;

	rcu_read_lock();
	spin_lock(&w->lock);
	if (READ_ONCE(halfrst_net(w->net)->gone))
		goto unlock;	/* halfrst_watch_abandon() takes the watch */
	if (halfrst_reached(tcp_jiffies32, w->due)) {
		sk = halfrst_find(w->net, &w->name, 0);
		reason = halfrst_look(w, sk);
		if (sk)
			sock_gen_put(sk);
	}
	if (reason == HALFRST_LOOK_AGAIN) {
		halfrst_sleep(w);
		goto unlock;
	}
	halfrst_uncount(w->net, HALFRST_WATCHING);
	halfrst_over(w, reason);
	rhashtable_remove_fast(&halfrst_net(w->net)->watches, &w->node,
			       halfrst_watch_params);
	w->dead = true;
	call_rcu(&w->rcu, halfrst_free_rcu);
unlock:
	spin_unlock(&w->lock);
	rcu_read_unlock();
}

/* Of several rules that see a FIN the first one counts, unless that one is only
 * to try.
 */
static void halfrst_prefer(struct halfrst_watch *w,
			   const struct xt_halfrst_info *info)
{
	if (w->info.flags & ~info->flags & XT_HALFRST_DRY_RUN)
		w->info = *info;
}

/* A FIN for a connection that is being watched: it may be the real one, so look
 * now, that is at the next tick.  Or the first one of another life: the watch
 * begins anew, and the old one is over.  Returns false if the watch has just
 * ended.
 */
static bool halfrst_repeated(struct halfrst_watch *w, const struct sock *sk,
			     const struct xt_halfrst_info *info)
{
	bool alive;

	spin_lock_bh(&w->lock);
	alive = !w->dead;
	if (!alive)
		goto unlock;
	if (w->known && sk_fullsock(sk) && w->life != halfrst_life(sk)) {
		halfrst_over(w, HALFRST_BY_CLOSED);
		halfrst_begin(w, sk, info);
		halfrst_tell(w, HALFRST_BY_FIN);
	} else {
		halfrst_count(w->net, HALFRST_REPEATED);
	}
	halfrst_prefer(w, info);
	if (!w->begun) {
		w->since = tcp_jiffies32;
		w->active = w->since;
	}
	w->due = tcp_jiffies32;
	mod_timer(&w->timer, jiffies);
unlock:
	spin_unlock_bh(&w->lock);
	return alive;
}

/* Is there a watch of that name?  Then it has got one more FIN. */
static bool halfrst_watch_again(struct net *net,
				const struct halfrst_name *name,
				const struct sock *sk,
				const struct xt_halfrst_info *info)
{
	struct halfrst_watch *w;

	/* As a rule: the first look is mostly the last */
	if (!atomic_read(&halfrst_net(net)->watches.nelems))
		return false;
	do {
		w = rhashtable_lookup(&halfrst_net(net)->watches, name,
				      halfrst_watch_params);
	} while (w && !halfrst_repeated(w, sk, info));
	return w;
}

/* Asked before a watch is made, and again before it goes into the table: many
 * may be on their way to their first look.
 */
static bool halfrst_full(const struct net *net)
{
	return atomic_read(&halfrst_net(net)->watches.nelems) >=
	       READ_ONCE(max_watches);
}

/* The first look has not been the last: into the table, and sleep.  Returns
 * false if the watch cannot live on.
 */
static bool halfrst_watch_on(struct halfrst_watch *w, const struct sock *sk)
{
	struct net *net = w->net;
	int err;

	if (halfrst_full(net)) {
		halfrst_over(w, HALFRST_BY_FULL);
		return false;
	}
	timer_setup(&w->timer, halfrst_timer, 0);	/* was @soon and @sk */
	do {
		/* From the table on a FIN may come in between */
		spin_lock(&w->lock);
		err = rhashtable_lookup_insert_fast(&halfrst_net(net)->watches,
						    &w->node,
						    halfrst_watch_params);
		if (!err)
			halfrst_sleep(w);
		spin_unlock(&w->lock);
	} while (err == -EEXIST &&
		 !halfrst_watch_again(net, &w->name, sk, &w->info));
	if (!err)
		halfrst_count(net, HALFRST_WATCHING);
	else if (err == -EEXIST)	/* counted with the other watch */
		halfrst_tell(w, HALFRST_BY_REPEATED);
	else
		halfrst_over(w, HALFRST_BY_NOMEM);
	return !err;
}

/* The first look.  Under RCU, in softirq. */
static void halfrst_first(struct halfrst_watch *w)
{
	struct sock *sk = w->sk, *now = sk, *found = NULL;
	enum halfrst_reason reason;

	/* TCP has made a full one meanwhile.  If not, this is @sk again, with
	 * one more reference.
	 */
	if (!sk_fullsock(sk)) {
		found = halfrst_find(w->net, &w->name, 0);
		now = found;
	}
	reason = halfrst_look(w, now);
	if (reason != HALFRST_LOOK_AGAIN)
		halfrst_over(w, reason);
	if (reason != HALFRST_LOOK_AGAIN || !halfrst_watch_on(w, now))
		kmem_cache_free(halfrst_watch_cache, w);
	if (found)
		sock_gen_put(found);
	sock_gen_put(sk);	/* perhaps the last thing that holds the net */
}

/* Softirq, behind the one that brought the FINs to TCP.  A bounded number of
 * looks: whatever else waits for this softirq has its turn, too.
 */
static void halfrst_tasklet(struct tasklet_struct *tasklet)
{
	struct halfrst_soon *soon = container_of(tasklet, struct halfrst_soon,
						 tasklet);
	struct halfrst_watch *w;
	int n = 0;

	rcu_read_lock();
	spin_lock(&soon->lock);
	while (!list_empty(&soon->list)) {
		if (n++ == LOOKS) {
			tasklet_schedule(tasklet);
			break;
		}
		w = list_first_entry(&soon->list, struct halfrst_watch, soon);
		list_del(&w->soon);
		spin_unlock(&soon->lock);
		halfrst_first(w);
		spin_lock(&soon->lock);
	}
	spin_unlock(&soon->lock);
	rcu_read_unlock();
}

/* Look behind this softirq and thereby behind TCP; when bottom halves are on
 * again, if this is not softirq.  Returns false if the last watch in the list
 * is of the same socket: copies of a FIN and rules that see it come one after
 * the other.
 */
static bool halfrst_look_soon(struct halfrst_watch *w)
{
	struct halfrst_watch *last;
	struct halfrst_soon *soon;
	bool first = true;

	local_bh_disable();
	soon = this_cpu_ptr(&halfrst_soon);
	spin_lock(&soon->lock);
	if (!list_empty(&soon->list)) {
		last = list_last_entry(&soon->list, struct halfrst_watch, soon);
		first = last->sk != w->sk;
		if (!first)
			halfrst_prefer(last, &w->info);
	}
	if (first) {
		halfrst_tell(w, HALFRST_BY_FIN);
		list_add_tail(&w->soon, &soon->list);
		tasklet_schedule(&soon->tasklet);
	}
	spin_unlock(&soon->lock);
	local_bh_enable();
	return first;
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
static enum halfrst_stat halfrst_fit(const struct net *net, struct sock *sk,
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
	if (!halfrst_holds_net(sk))
		return HALFRST_EXEMPT;
	if (sk_fullsock(sk) && !halfrst_owner(sk, net, info))
		return HALFRST_OTHER_OWNER;
	return HALFRST_WATCHING;
}

/* Returns as halfrst_fit(); the first look is going to count */
static enum halfrst_stat halfrst_watch_new(struct net *net, struct sock *sk,
					   const struct halfrst_name *name,
					   const struct xt_halfrst_info *info)
{
	struct halfrst_watch *w;

	if (halfrst_full(net))
		return HALFRST_FULL;
	w = kmem_cache_alloc(halfrst_watch_cache, GFP_ATOMIC | __GFP_NOWARN);
	if (!w)
		return HALFRST_NOMEM;
	w->net = net;
	w->name = *name;
	w->sk = sk;
	w->ipv6 = sk->sk_family == AF_INET6;
	w->dead = false;
	spin_lock_init(&w->lock);
	halfrst_begin(w, sk, info);
	if (!halfrst_look_soon(w)) {
		kmem_cache_free(halfrst_watch_cache, w);
		return HALFRST_REPEATED;
	}
	return HALFRST_WATCHING;
}

/**
 * halfrst_watch - watch a connection that is getting a FIN
 * @net: its network namespace
 * @sk: its socket, full or request or time-wait, with a reference that is
 *      handed over
 * @info: options of the rule; copied, they do not change with the rule
 *
 * Resets the socket by halfrst_reset() once TCP has taken the FIN and the
 * socket is still.  Counts what happens.
 *
 * Context: softirq or process context, under rcu_read_lock(); does not sleep.
 */
void halfrst_watch(struct net *net, struct sock *sk,
		   const struct xt_halfrst_info *info)
{
	enum halfrst_stat stat = halfrst_fit(net, sk, info);
	struct halfrst_name name;

	if (stat == HALFRST_WATCHING) {
		halfrst_name(&name, sk);
		if (halfrst_watch_again(net, &name, sk, info))
			goto put;
		stat = halfrst_watch_new(net, sk, &name, info);
		if (stat == HALFRST_WATCHING)
			return;		/* @sk is the watch's, perhaps gone */
	}
	halfrst_count(net, stat);
put:
	sock_gen_put(sk);
}

static int __net_init halfrst_watch_net_init(struct net *net)
{
	return rhashtable_init(&halfrst_net(net)->watches,
			       &halfrst_watch_params);
}

/* A grace period lies between this and halfrst_watch_net_exit() */
static void __net_exit halfrst_watch_net_pre_exit(struct net *net)
{
	WRITE_ONCE(halfrst_net(net)->gone, true);
}

static void halfrst_watch_abandon(void *ptr, void *arg)
{
	struct halfrst_watch *w = ptr;

	halfrst_timer_stop(&w->timer);
	halfrst_tell(w, HALFRST_BY_UNLOAD);
	kmem_cache_free(halfrst_watch_cache, w);
}

/* No packet comes any more, and no look does anything */
static void __net_exit halfrst_watch_net_exit(struct net *net)
{
	rhashtable_free_and_destroy(&halfrst_net(net)->watches,
				    halfrst_watch_abandon, NULL);
}

static struct pernet_operations halfrst_watch_net_ops = {
	.init		= halfrst_watch_net_init,
	.pre_exit	= halfrst_watch_net_pre_exit,
	.exit		= halfrst_watch_net_exit,
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
		struct halfrst_soon *soon = per_cpu_ptr(&halfrst_soon, cpu);

		spin_lock_init(&soon->lock);
		INIT_LIST_HEAD(&soon->list);
		tasklet_setup(&soon->tasklet, halfrst_tasklet);
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
		struct halfrst_soon *soon = per_cpu_ptr(&halfrst_soon, cpu);

		/* May have come between a run and the next */
		while (tasklet_kill(&soon->tasklet), !list_empty(&soon->list))
			tasklet_schedule(&soon->tasklet);
	}
	unregister_pernet_subsys(&halfrst_watch_net_ops);
	rcu_barrier();		/* halfrst_free_rcu() */
	kmem_cache_destroy(halfrst_watch_cache);
}
