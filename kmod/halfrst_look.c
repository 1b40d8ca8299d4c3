// SPDX-License-Identifier: GPL-2.0-only
/*
 * One look at a socket: reset it now, look again later, or forget it.
 *
 * The only file that knows times.  A look decides under the socket's spinlock,
 * which is held as TCP holds it, and acts there: whatever TCP may do with it may
 * be done here.
 */
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "halfrst_compat.h"
#include "halfrst_look.h"
#include "halfrst_reset.h"
#include "halfrst_socket.h"
#include "xt_HALFRST.h"

#define EXACT		64		/* jiffies that a timer keeps to */
#define FIRST_STEP	msecs_to_jiffies(10)
#define LONGEST_STEP	(60 * HZ)
#define FIN_TIMEOUT	(60 * HZ)	/* for a FIN to take effect */
#define HELD_TIMEOUT	HZ		/* for what cannot be seen from here */
#define READ_TIMEOUT	HZ		/* for a reader of a few bytes */

static const u8 halfrst_errors[XT_HALFRST_ERRORS] = {
	[XT_HALFRST_EPIPE]		= EPIPE,
	[XT_HALFRST_ECONNRESET]		= ECONNRESET,
	[XT_HALFRST_ECONNABORTED]	= ECONNABORTED,
	[XT_HALFRST_ETIMEDOUT]		= ETIMEDOUT,
};

/* Has the time come?  Both in jiffies, less than 2^31 apart. */
static bool halfrst_is_due(u32 now, u32 due)
{
	return (s32)(now - due) >= 0;
}

/* Look again at @due, or earlier.  With a grace the time from look to look
 * doubles, up to a quarter of the grace: so late are reads and writes seen.  What
 * takes much longer, because the peer does not acknowledge, is looked at the
 * more rarely the longer it takes; the time of its ACK is known then.  Without a
 * grace, a look is late by an eighth of the FIN's age.
 */
static enum halfrst_reason halfrst_look_again(struct halfrst_state *s, u32 now,
					      u32 due)
{
	u32 grace = msecs_to_jiffies(s->first.info.grace);
	u32 age = now - (s->begun && !grace ? s->first.since : s->active);
	u32 step = grace ? max(min(age, grace / 4), age / 64) : age / 8;

	step = clamp_t(u32, step, s->begun ? FIRST_STEP : 1, LONGEST_STEP);
	s->due = now + clamp_t(s32, due - now, 1, step);
	return HALFRST_REASON_LOOK_AGAIN;
}

/* TCP has not taken the FIN, or not yet */
static enum halfrst_reason halfrst_await_fin(struct halfrst_state *s, u32 now,
					     u32 rcv_nxt)
{
	if (!halfrst_drop_old_claims(&s->first, rcv_nxt, now - FIN_TIMEOUT))
		return HALFRST_REASON_EXPIRED;
	return halfrst_look_again(s, now, s->first.seen + FIN_TIMEOUT);
}

/* TCP has taken a FIN.  Is it one that has met a rule, and whose?  Returns
 * HALFRST_REASON_FIN if the time begins to run.
 */
static enum halfrst_reason halfrst_settle(struct halfrst_state *s, u32 now,
					  struct sock *sk)
{
	/* Numbers are asked once: TCP's own moves by one more for some strays */
	if (!s->taken) {
		if (!halfrst_keep_claims_of(&s->first, tcp_sk(sk)->rcv_nxt))
			return HALFRST_REASON_EXPIRED;
		s->taken = true;
		s->life = halfrst_life(sk);
	}
	/* Waits in a listener's accept queue, which inet_csk_listen_stop()
	 * relies on.  Its time begins when a process has accepted it.
	 */
	if (!sk->sk_socket)
		return halfrst_look_again(s, now, now + LONGEST_STEP);
	s->uid = READ_ONCE(sk->sk_uid);
	if (!halfrst_choose_claim(&s->first, sk))
		return HALFRST_REASON_OWNER;
	s->begun = true;
	s->first.since = now;
	s->first.progress = halfrst_progress(sk);
	s->active = now;
	return HALFRST_REASON_FIN;
}

/* How long must this socket have been still?  Sets @pending. */
static u32 halfrst_get_grace(struct halfrst_state *s, u32 now, struct sock *sk,
			     bool layer)
{
	u32 grace = msecs_to_jiffies(s->first.info.grace);

	s->pending = halfrst_is_pending(sk, layer) ||
		     (now - tcp_sk(sk)->lsndtime < HELD_TIMEOUT &&
		      halfrst_expects_more(sk));
	if (!grace) {
		switch (halfrst_attention(sk, layer)) {
		case HALFRST_ATTENTION_NONE:
			break;
		case HALFRST_ATTENTION_BRIEF:
			grace = READ_TIMEOUT;
			break;
		case HALFRST_ATTENTION_LASTING:
			s->pending = true;
			break;
		}
	}
	return layer ? max_t(u32, grace, HELD_TIMEOUT) : grace;
}

/* What is to be done about the socket, now?  Its spinlock is held, but a
 * process may own it.  Sets @due for HALFRST_REASON_LOOK_AGAIN.
 */
static enum halfrst_reason halfrst_judge(struct halfrst_state *s,
					 struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	u32 now = tcp_jiffies32, due = now + LONGEST_STEP;
	bool was_pending = s->pending;
	enum halfrst_reason reason;
	u32 grace, progress;
	bool layer;

	/* Not ours if a process is inside the socket, perhaps for long: it
	 * may be blocked in a page fault.  TCP's backlog waits for it, too.
	 */
	if (sock_owned_by_user(sk))
		return halfrst_look_again(s, now, due);

	if (sock_flag(sk, SOCK_DEAD) || sk->sk_shutdown & SEND_SHUTDOWN)
		return HALFRST_REASON_CLOSED;
	if (halfrst_is_exempt(sk))
		return HALFRST_REASON_EXEMPT;
	if (!s->taken &&
	    (1 << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_SYN_RECV))
		return halfrst_await_fin(s, now, tp->rcv_nxt);
	if (sk->sk_state != TCP_CLOSE_WAIT)
		return HALFRST_REASON_CLOSED;
	if (s->taken && s->life != halfrst_life(sk))
		return HALFRST_REASON_CLOSED;
	if (!s->begun) {
		reason = halfrst_settle(s, now, sk);
		if (reason != HALFRST_REASON_FIN)
			return reason;
	}

	layer = halfrst_has_layer(sk);
	grace = halfrst_get_grace(s, now, sk, layer);
	progress = halfrst_progress(sk);
	if (s->first.progress != progress) {
		s->first.progress = progress;
		s->active = now;
	} else if (was_pending && !s->pending) {
		/* The last ACK has ended it.  Unless kTLS or sockmap has. */
		if (layer)
			s->active = now;
		else if (halfrst_is_due(tp->rcv_tstamp, s->active))
			s->active = tp->rcv_tstamp;
	}

	if (!s->pending) {
		due = s->active + grace;
		if (halfrst_is_due(now, due))
			return HALFRST_REASON_STILL;
		/* So late are reads and writes seen, whatever the FIN's age */
		if (halfrst_is_due(due, now + grace / 4))
			due = now + grace / 4;
	}
	if (s->first.info.flags & XT_HALFRST_DEADLINE) {
		u32 end = s->first.since +
			  msecs_to_jiffies(s->first.info.deadline);

		if (halfrst_is_due(now, end))
			return HALFRST_REASON_DEADLINE;
		if (halfrst_is_due(due, end))
			due = end;
	}
	return halfrst_look_again(s, now, due);
}

/* Decided under the socket's spinlock, done under it */
static enum halfrst_reason halfrst_act(struct halfrst_state *s,
				       struct sock *sk,
				       enum halfrst_reason reason)
{
	u32 now = tcp_jiffies32;

	if (s->first.info.flags & XT_HALFRST_DRY_RUN)
		return HALFRST_REASON_DRY_RUN;
	if (halfrst_reset(sk, halfrst_errors[s->first.info.reset_with]))
		return reason;
	return halfrst_look_again(s, now, now + FIRST_STEP);
}

/**
 * halfrst_begin - a FIN has come: a socket's state begins, or begins anew
 * @s: the state with its first claim; its lock is held, or nobody else knows it
 * @sk: the socket, a full or a request one
 *
 * Context: any.
 */
void halfrst_begin(struct halfrst_state *s, const struct sock *sk)
{
	s->first.next = NULL;
	s->active = s->first.seen;
	s->taken = false;
	s->begun = false;
	s->pending = false;
	s->uid = sk_fullsock(sk) ? READ_ONCE(sk->sk_uid) : INVALID_UID;
}

/**
 * halfrst_refresh - one more FIN has come
 * @s: the state; its lock is held
 * @claims: of that FIN; copied
 * @sk: the socket, a full or a request one
 *
 * It may be the real one, so the next look is due now, that is at the next tick.
 * Of a FIN that TCP has taken a rule that is no dry run still takes the place of
 * one that is.
 *
 * Context: bottom halves off; the socket's spinlock is not held.
 * Return: as halfrst_add_claim().
 */
int halfrst_refresh(struct halfrst_state *s, const struct halfrst_claim *claims,
		    struct sock *sk)
{
	int err = 0;

	s->due = tcp_jiffies32;
	if (s->begun) {
		/* A rule that was on trial, and is meant now */
		if (s->first.info.flags & ~claims->info.flags &
		    XT_HALFRST_DRY_RUN && halfrst_has_taken_fin(sk, claims->end))
			s->first.info = claims->info;
		return 0;
	}
	for (; claims && !err; claims = claims->next)
		if (!s->taken || claims->end == s->first.end)
			err = halfrst_add_claim(&s->first, claims, sk);
	s->active = s->due;
	return err;
}

/**
 * halfrst_is_another_life - is a FIN for a later life of the socket?
 * @s: the state; its lock is held
 * @sk: what is found now by the socket's name, a full or a request one
 *
 * connect() after AF_UNSPEC, from a bound port to the same address, has the same
 * name.  TCP had taken the FIN of the earlier life.  The socket's state is read
 * with the lock held: TCP may take the FIN just now, of which a copy has come by
 * another CPU.
 *
 * Context: any.
 * Return: true if it is.
 */
bool halfrst_is_another_life(const struct halfrst_state *s,
			     const struct sock *sk)
{
	return s->taken && (1 << inet_sk_state_load(sk)) &
			   (TCPF_ESTABLISHED | TCPF_SYN_RECV |
			    TCPF_NEW_SYN_RECV);
}

/**
 * halfrst_look - one look at a socket
 * @s: what earlier looks have left; its lock is held, or nobody else knows it
 * @sk: the socket, with a reference, or NULL: it is closed
 *
 * Resets the socket if it is half-closed and still, or its deadline is over.
 *
 * Context: softirq, under rcu_read_lock().
 * Return: why the socket was reset or is let go; or HALFRST_REASON_LOOK_AGAIN,
 * and halfrst_next_look() tells when.
 */
enum halfrst_reason halfrst_look(struct halfrst_state *s, struct sock *sk)
{
	enum halfrst_reason reason = HALFRST_REASON_CLOSED;

	if (sk && sk_fullsock(sk)) {
		bh_lock_sock(sk);
		reason = halfrst_judge(s, sk);
		if (reason == HALFRST_REASON_STILL ||
		    reason == HALFRST_REASON_DEADLINE)
			reason = halfrst_act(s, sk, reason);
		bh_unlock_sock(sk);
	} else if (sk && sk->sk_state == TCP_NEW_SYN_RECV) {
		reason = s->taken ? HALFRST_REASON_CLOSED :
			 halfrst_await_fin(s, tcp_jiffies32,
					   tcp_rsk(inet_reqsk(sk))->rcv_nxt);
	}
	return reason;
}

/**
 * halfrst_look_is_due - has the time of the next look come?
 * @s: the state that halfrst_look() has left
 *
 * Context: any, @s as for halfrst_look().
 * Return: true if it has.
 */
bool halfrst_look_is_due(const struct halfrst_state *s)
{
	return halfrst_is_due(tcp_jiffies32, s->due);
}

/**
 * halfrst_next_look - when to look again
 * @s: the state that halfrst_look() has left
 *
 * A timer is late by up to an eighth of its time, and brings many together in
 * one softirq that is long enough to hold up the reception of packets.  So it is
 * to stop early and go on: looks are as far apart as the FINs were.  Nothing is
 * left if the CPU was taken away meanwhile.
 *
 * Context: any, @s as for halfrst_look().
 * Return: when a timer is to come, in jiffies.
 */
unsigned long halfrst_next_look(const struct halfrst_state *s)
{
	s32 left = max_t(s32, s->due - tcp_jiffies32, 0);

	if (left > EXACT)
		left -= left / 8;
	return jiffies + left;
}
