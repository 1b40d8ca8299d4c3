// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a socket to its reset: the only file that knows time.
 *
 * A watch is one connection whose peer has sent a FIN.  From time to time it
 * is looked at: a look finds the socket by the connection's name, decides
 * under the socket's spinlock what to do, and does it there.  The first look
 * is a tasklet's, behind the softirq that brings the FIN to TCP; normally it
 * is the last.  All others are a timer's.  Nothing in here sleeps but the
 * module's beginning and end.
 *
 * Who holds what:
 *  - A watch holds neither socket nor namespace.  A closed socket is not found
 *    any more; a namespace that goes takes its watches along.
 *  - The namespace's table holds the watch.  Lookups run under RCU, hence a
 *    watch is freed a grace period after it left the table.
 *  - @lock is held throughout a look, and by a FIN that changes the watch.  It
 *    comes before the socket's spinlock, which in turn is held as TCP holds
 *    it: whatever TCP may do with it may be done here.
 *  - Until its first look a watch is in the list of a CPU (@queued), afterwards
 *    it has its timer pending or running: only one of them looks, and nobody
 *    but a look ends a watch.
 *  - The end of a namespace, or of the module, comes in two steps.  After
 *    @gone and a grace period no look does anything; then every watch is
 *    taken out of the table, and one that is @queued is left to its tasklet.
 */
#include <linux/cred.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/rhashtable.h>
#include <linux/skmsg.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/user_namespace.h>
#include <net/mptcp.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "halfrst_compat.h"
#include "halfrst_reset.h"
#include "halfrst_stats.h"
#include "halfrst_tls.h"
#include "halfrst_watch.h"
#include "xt_HALFRST.h"

#define CREATE_TRACE_POINTS
#include "halfrst_trace.h"

#define EXACT		64		/* jiffies that a timer keeps to */
#define FIRST_STEP	msecs_to_jiffies(10)
#define LONGEST_STEP	(60 * HZ)
#define FIN_TIMEOUT	(60 * HZ)	/* for a FIN to take effect */
#define HELD_TIMEOUT	HZ		/* see halfrst_grace() */
#define LOOKS		64		/* in one run of a tasklet */

/**
 * struct halfrst_watch - a connection whose peer has sent a FIN
 * @node: in the table of the namespace
 * @net: the namespace; valid until the watch is @dead
 * @name: finds the socket; the key
 * @soon: in the list of a CPU, until the first look
 * @timer: looks again
 * @rcu: to free it
 * @info: options of the rule
 * @since: when TCP had accepted the FIN and a process the connection, as a look
 *         saw it; until then when the last FIN came
 * @active: when there was the last activity; until then as @since
 * @due: when the next look is due
 * @progress: copied_seq + write_seq, which grows when the application reads or
 *            writes
 * @life: the peer's first sequence number, which tells one life of a socket
 *        from the next (connect() after AF_UNSPEC)
 * @uid: the socket's owner
 * @lock: see above
 * @begun: the FIN was accepted, and the connection, too
 * @known: @life is set
 * @pending: the last look found something that postpones the reset
 * @queued: for the first look
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
		struct list_head	soon;
		struct timer_list	timer;
		struct rcu_head		rcu;
	};
	struct xt_halfrst_info	info;
	u32			since;
	u32			active;
	u32			due;
	u32			progress;
	u32			life;
	kuid_t			uid;
	spinlock_t		lock;
	u8			begun : 1,
				known : 1,
				pending : 1,
				queued : 1,
				dead : 1,
				ipv6 : 1;
};

struct halfrst_watch_net {
	struct rhashtable	watches;
	bool			gone;
};

/* The watches that this CPU is to look at for the first time */
struct halfrst_soon {
	spinlock_t		lock;
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

static const struct rhashtable_params halfrst_watch_params = {
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

/*
 * The socket.  Functions from here to halfrst_judge() run with its spinlock
 * held and nobody owning it, if not said otherwise: then it keeps its state,
 * its queues and its struct socket.
 */

/* The addresses as TCP has them, for full and for request sockets alike */
static void halfrst_name(struct halfrst_name *name, const struct sock *sk)
{
	ipv6_addr_set_v4mapped(sk->sk_daddr, &name->peer);
	ipv6_addr_set_v4mapped(sk->sk_rcv_saddr, &name->local);
#if IS_ENABLED(CONFIG_IPV6)
	if (sk->sk_family == AF_INET6) {
		name->peer = sk->sk_v6_daddr;
		name->local = sk->sk_v6_rcv_saddr;
	}
#endif
	name->peer_port = sk->sk_dport;
	name->local_port = htons(sk->sk_num);
	name->dif = sk->sk_bound_dev_if;
}

/* The socket of that name, with a reference that sock_gen_put() drops, or
 * NULL.  Perhaps another life of it, a request or time-wait socket.
 */
static struct sock *halfrst_find(struct net *net, const struct halfrst_name *n)
{
#if IS_ENABLED(CONFIG_IPV6)
	if (!ipv6_addr_v4mapped(&n->peer))
		return halfrst_lookup6(net, &n->peer, n->peer_port, &n->local,
				       n->local_port, n->dif, 0);
#endif
	return halfrst_lookup4(net, n->peer.s6_addr32[3], n->peer_port,
			       n->local.s6_addr32[3], n->local_port,
			       n->dif, 0);
}

/* The peer's first sequence number.  Without the spinlock it is wrong if TCP
 * takes data at this very moment.
 */
static u32 halfrst_life(const struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	return READ_ONCE(tp->rcv_nxt) - (u32)READ_ONCE(tp->bytes_received);
}

/* Has a part of the kernel taken the socket for itself?  Sockmap's mark does
 * not count.
 */
static bool halfrst_kernel_owned(struct sock *sk)
{
	return sk->sk_kern_sock || (sk->sk_socket && !sk->sk_socket->file) ||
	       (rcu_dereference_sk_user_data(sk) && !sk_psock(sk));
}

/* Sockets that are always left alone.  The kernel's own and MPTCP's have an
 * owner that does not expect a reset from inside, one in repair mode belongs
 * to a checkpoint, and a RST that must be signed cannot be made here.
 */
static bool halfrst_exempt(struct sock *sk)
{
	return sk_is_mptcp(sk) || tcp_sk(sk)->repair || halfrst_signed(sk) ||
	       halfrst_kernel_owned(sk);
}

static bool halfrst_in_range(u32 id, u32 min, u32 max)
{
	/* An id without a name in the namespace is (u32)-1, above any max */
	return id >= min && id <= max;
}

/* Is this the owner that the rule means?  uid and gid are those of the process
 * that opened or accepted the socket; before, nobody can tell: -1.
 * Any context, with or without the spinlock.
 */
static int halfrst_owner(struct sock *sk, const struct net *net,
			 const struct xt_halfrst_info *info)
{
	u32 flags = info->flags;
	int match = -1;

	if (!(flags & (XT_HALFRST_UID | XT_HALFRST_GID)))
		return true;
	/* Against sock_orphan(): with the lock, socket and file stay */
	read_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_socket) {
		const struct file *file = sk->sk_socket->file;
		uid_t uid = from_kuid(net->user_ns, READ_ONCE(sk->sk_uid));
		gid_t gid = file ? from_kgid(net->user_ns,
					     file->f_cred->fsgid) : -1;

		match = true;
		if (flags & XT_HALFRST_UID)
			match &= halfrst_in_range(uid, info->uid_min,
						  info->uid_max) !=
				 !!(flags & XT_HALFRST_UID_INV);
		if (flags & XT_HALFRST_GID)
			match &= halfrst_in_range(gid, info->gid_min,
						  info->gid_max) !=
				 !!(flags & XT_HALFRST_GID_INV);
	}
	read_unlock_bh(&sk->sk_callback_lock);
	return match;
}

/* Did not even one byte pass, and has connect() not returned yet?  Then it
 * shall return what it would have returned.  A program that does not wait in
 * connect() and never asks it again looks the same for ever.
 */
static bool halfrst_connecting(const struct sock *sk)
{
	return sk->sk_socket->state == SS_CONNECTING &&
	       !tcp_sk(sk)->data_segs_in && !tcp_sk(sk)->data_segs_out;
}

/* How many bytes does read() still return?  The FIN takes a sequence number
 * until the end of file was read, an urgent byte even if it was read.
 */
static u32 halfrst_unread(const struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	u32 unread = tp->rcv_nxt - tp->copied_seq;

	if (unread)
		unread--;
	if (unread && tp->urg_data == TCP_URG_READ &&
	    !sock_flag(sk, SOCK_URGINLINE) &&
	    !before(tp->urg_seq, tp->copied_seq))
		unread--;
	return unread;
}

/* Is something on its way that a reset would destroy, or, with a grace of 0,
 * may the application be about to do something?
 */
static bool halfrst_pending(struct sock *sk, u32 grace)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	u32 unread = halfrst_unread(sk);

	if (tp->snd_una != tp->write_seq || sk->sk_write_pending ||
	    halfrst_ulp_readable(sk))
		return true;
	return !grace && (halfrst_connecting(sk) ||
			  (unread && !halfrst_tls_alert(sk, unread)));
}

/* How long the socket has to be still.  Layers above TCP (kTLS, sockmap) may
 * hold bytes that were written, which cannot be seen from here: assume them
 * until nothing has been written for a second.
 */
static u32 halfrst_grace(struct sock *sk, const struct xt_halfrst_info *info)
{
	u32 grace = msecs_to_jiffies(info->grace);

	if (inet_csk(sk)->icsk_ulp_ops || sk_psock(sk))
		grace = max_t(u32, grace, HELD_TIMEOUT);
	return grace;
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
	u32 step = grace ? max(min(age, grace / 4), age / 32) : age / 8;

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
	u32 progress = tp->copied_seq + tp->write_seq, grace;
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
	if (halfrst_owner(sk, w->net, &w->info) != true)
		return HALFRST_BY_OWNER;

	if (!w->begun) {
		w->begun = true;
		w->since = now;
		w->active = now;
		w->progress = progress;
	}
	grace = halfrst_grace(sk, &w->info);
	w->pending = halfrst_pending(sk, grace);
	if (w->progress != progress) {
		w->progress = progress;
		w->active = now;
	} else if (was_pending && !w->pending &&
		   halfrst_reached(tp->rcv_tstamp, w->active)) {
		w->active = tp->rcv_tstamp;	/* of the last ACK */
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

/*
 * The watch.  Its lock is held by the caller.
 */

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
	unsigned int age = jiffies_to_msecs(tcp_jiffies32 - w->since);

	switch (reason) {
	case HALFRST_BY_FIN:
		trace_halfrst_watch(w, &w->name, family, uid, reason, 0);
		break;
	case HALFRST_BY_QUIET:
	case HALFRST_BY_DEADLINE:
		trace_halfrst_reset(w, &w->name, family, uid, reason, age);
		break;
	default:
		trace_halfrst_forget(w, &w->name, family, uid, reason, age);
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

/* One look, under RCU, in softirq.  Returns true if it was the last. */
static bool halfrst_look(struct halfrst_watch *w)
{
	enum halfrst_reason reason = HALFRST_BY_CLOSED;
	struct net *net = w->net;
	struct sock *sk = halfrst_find(net, &w->name);

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
	if (sk)
		sock_gen_put(sk);

	if (reason == HALFRST_LOOK_AGAIN) {
		halfrst_sleep(w);
		return false;
	}
	halfrst_count(net, halfrst_outcome[reason]);
	if (reason == HALFRST_BY_DEADLINE && w->pending)
		halfrst_count(net, HALFRST_DEADLINE);
	halfrst_uncount(net, HALFRST_WATCHING);
	halfrst_tell(w, reason);
	rhashtable_remove_fast(&halfrst_net(net)->watches, &w->node,
			       halfrst_watch_params);
	w->dead = true;
	return true;
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
	bool over = false;

	rcu_read_lock();
	spin_lock(&w->lock);
	if (READ_ONCE(halfrst_net(w->net)->gone))
		;		/* halfrst_watch_abandon() takes the watch */
	else if (halfrst_reached(tcp_jiffies32, w->due))
		over = halfrst_look(w);
	else
		halfrst_sleep(w);
	spin_unlock(&w->lock);
	if (over)
		call_rcu(&w->rcu, halfrst_free_rcu);
	rcu_read_unlock();
}

/* The first look */
static void halfrst_first(struct halfrst_watch *w)
{
	bool over;

	spin_lock(&w->lock);
	w->queued = false;
	timer_setup(&w->timer, halfrst_timer, 0);	/* was @soon */
	over = w->dead;
	if (!over && !READ_ONCE(halfrst_net(w->net)->gone))
		over = halfrst_look(w);
	spin_unlock(&w->lock);
	if (over)
		call_rcu(&w->rcu, halfrst_free_rcu);
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

/* A FIN for a connection that is being watched: it may be the real one, or the
 * first one of another life, so look now, that is at the next tick.  Of several
 * rules that see a FIN the first one counts, but not if it is only to try.
 * Returns false if the watch has just ended.
 */
static bool halfrst_repeated(struct halfrst_watch *w, const struct sock *sk,
			     const struct xt_halfrst_info *info)
{
	bool alive;

	spin_lock_bh(&w->lock);
	alive = !w->dead;
	if (alive) {
		if (w->known && sk_fullsock(sk) &&
		    w->life != halfrst_life(sk)) {
			halfrst_count(w->net, HALFRST_CLOSED);
			halfrst_tell(w, HALFRST_BY_CLOSED);
			halfrst_begin(w, sk, info);
			halfrst_tell(w, HALFRST_BY_FIN);
		} else if (w->info.flags & ~info->flags &
			   XT_HALFRST_DRY_RUN) {
			w->info = *info;
		}
		if (!w->begun)
			w->since = tcp_jiffies32;
		w->due = tcp_jiffies32;
		if (!w->queued)
			mod_timer(&w->timer, jiffies);
	}
	spin_unlock_bh(&w->lock);
	return alive;
}

/* Behind this softirq and thereby behind TCP.  Not at once, but when bottom
 * halves are on again, if this is not softirq.
 */
static void halfrst_look_soon(struct halfrst_watch *w)
{
	struct halfrst_soon *soon;

	local_bh_disable();
	soon = this_cpu_ptr(&halfrst_soon);
	spin_lock(&soon->lock);
	list_add_tail(&w->soon, &soon->list);
	spin_unlock(&soon->lock);
	tasklet_schedule(&soon->tasklet);
	local_bh_enable();
}

/* Returns what to count: HALFRST_WATCHING for a new watch. */
static enum halfrst_stat halfrst_watch_fin(struct net *net, struct sock *sk,
					   const struct xt_halfrst_info *info)
{
	struct rhashtable *watches = &halfrst_net(net)->watches;
	struct halfrst_name name;
	struct halfrst_watch *w;
	int err;

	/* TCP has not seen the FIN yet, unless it is a repeated one */
	if (!((1 << inet_sk_state_load(sk)) &
	      (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT | TCPF_SYN_RECV |
	       TCPF_NEW_SYN_RECV)))
		return HALFRST_WRONG_STATE;
	if (sk_fullsock(sk) && !halfrst_owner(sk, net, info))
		return HALFRST_OTHER_OWNER;

	halfrst_name(&name, sk);
	do {
		w = rhashtable_lookup(watches, &name, halfrst_watch_params);
		if (w && halfrst_repeated(w, sk, info))
			return HALFRST_REPEATED;
	} while (w);

	if (atomic_read(&watches->nelems) >= READ_ONCE(max_watches))
		return HALFRST_FULL;
	w = kmem_cache_alloc(halfrst_watch_cache, GFP_ATOMIC | __GFP_NOWARN);
	if (!w)
		return HALFRST_NOMEM;
	w->net = net;
	w->name = name;
	w->ipv6 = sk->sk_family == AF_INET6;
	w->queued = true;
	w->dead = false;
	spin_lock_init(&w->lock);
	halfrst_begin(w, sk, info);
	err = rhashtable_lookup_insert_fast(watches, &w->node,
					    halfrst_watch_params);
	if (err) {
		/* -EEXIST: another CPU has got a copy of the same FIN */
		kmem_cache_free(halfrst_watch_cache, w);
		return err == -EEXIST ? HALFRST_REPEATED : HALFRST_NOMEM;
	}
	halfrst_tell(w, HALFRST_BY_FIN);
	halfrst_look_soon(w);
	return HALFRST_WATCHING;
}

/**
 * halfrst_watch - watch a connection that is getting a FIN
 * @net: its network namespace
 * @sk: its TCP socket, full or request or time-wait, that the caller holds a
 *      reference on
 * @info: options of the rule; copied, they do not change with the rule
 *
 * Resets the socket by halfrst_reset() once TCP has taken the FIN and the
 * socket is still.  Counts what happens.  Takes no reference.
 *
 * Context: softirq or process context, under rcu_read_lock(); does not sleep.
 */
void halfrst_watch(struct net *net, struct sock *sk,
		   const struct xt_halfrst_info *info)
{
	halfrst_count(net, halfrst_watch_fin(net, sk, info));
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
	bool queued;

	spin_lock_bh(&w->lock);
	halfrst_tell(w, HALFRST_BY_UNLOAD);
	w->dead = true;
	queued = w->queued;
	spin_unlock_bh(&w->lock);
	if (queued)
		return;		/* halfrst_first() frees it */
	halfrst_timer_stop(&w->timer);
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
	struct halfrst_watch *w, *next;
	int cpu;

	unregister_pernet_subsys(&halfrst_watch_net_ops);
	for_each_possible_cpu(cpu) {
		struct halfrst_soon *soon = per_cpu_ptr(&halfrst_soon, cpu);

		/* May come between a run and the next */
		tasklet_kill(&soon->tasklet);
		list_for_each_entry_safe(w, next, &soon->list, soon)
			kmem_cache_free(halfrst_watch_cache, w);
	}
	rcu_barrier();		/* halfrst_free_rcu() */
	kmem_cache_destroy(halfrst_watch_cache);
}
