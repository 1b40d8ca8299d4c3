// SPDX-License-Identifier: GPL-2.0-only
/*
 * TLS: a connection's last word, and what kTLS holds.
 *
 * A peer that closes says close_notify, an alert, right before its FIN (RFC 8446,
 * 6.1), and a client that keeps the connection for later reads it no sooner than
 * the FIN: when it is too late.
 */
#include <linux/skbuff.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "halfrst_compat.h"
#include "halfrst_tls.h"

#define HEADER		5	/* of a record: type, version, length */
#define ALERT		21	/* to TLS 1.2, encrypted or not */
#define DATA		23	/* TLS 1.3 calls each encrypted record this */
#define ALERT_IN_DATA	19	/* level, description, true type, tag of 16 */
#define LONGEST		80

/* Copy bytes out of the receive queue, from any number of its segments */
static bool halfrst_tls_peek(const struct sock *sk, u32 seq, u8 *to, u32 n)
{
	const struct sk_buff *skb;

	skb_queue_walk(&sk->sk_receive_queue, skb) {
		u32 offset = seq - TCP_SKB_CB(skb)->seq, here;

		if (offset >= skb->len)
			continue;
		here = min(skb->len - offset, n);
		if (skb_copy_bits(skb, offset, to, here))
			return false;
		seq += here;
		to += here;
		n -= here;
		if (!n)
			return true;
	}
	return false;
}

/**
 * halfrst_is_tls_alert - is one TLS alert all that is unread?
 * @sk: a TCP socket, its spinlock held, owned by no process
 * @from: sequence number of the first unread byte
 * @unread: how many bytes can be read, without FIN
 *
 * Looks at the header of a record that must be all of the unread bytes, whole.
 * It is an alert by its type; or, as TLS 1.3 hides the type, by a length that
 * no longer record with a tag of 16 bytes can have.
 *
 * Context: any.
 * Return: true if it is.
 */
bool halfrst_is_tls_alert(const struct sock *sk, u32 from, u32 unread)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	u8 head[HEADER];
	u32 length;

	if (unread <= HEADER || unread > HEADER + LONGEST)
		return false;
	/* An urgent byte is not in its place for the reader */
	if (tp->urg_data && !before(tp->urg_seq, from))
		return false;
	if (!halfrst_tls_peek(sk, from, head, sizeof(head)))
		return false;

	length = head[3] << 8 | head[4];
	return head[1] == 3 && unread == HEADER + length &&
	       (head[0] == ALERT || (head[0] == DATA && length == ALERT_IN_DATA));
}

/**
 * halfrst_has_tls - does kTLS sit above TCP?
 * @sk: a TCP socket
 *
 * Others use the same pointer: SMC, MPTCP, espintcp.
 *
 * Context: its spinlock held, owned by no process.
 * Return: true if it does.
 */
bool halfrst_has_tls(const struct sock *sk)
{
	const struct tcp_ulp_ops *ulp = inet_csk(sk)->icsk_ulp_ops;

	return ulp && !strcmp(ulp->name, "tls");
}

/**
 * halfrst_tls_holds - has kTLS bytes that send() took and TCP does not have?
 * @sk: a TCP socket, its spinlock held, owned by no process
 *
 * Those of a record that MSG_MORE keeps open, of one that TCP took a part of, and
 * of one that is being encrypted: from before it is, until TCP has it, a record
 * is in tx_list.
 *
 * Context: any.
 * Return: true if it has.
 */
bool halfrst_tls_holds(const struct sock *sk)
{
#if IS_ENABLED(CONFIG_TLS)
	const struct tls_context *ctx;

	if (!halfrst_has_tls(sk))
		return false;
	ctx = tls_get_ctx(sk);
	if (ctx->pending_open_record_frags || ctx->partially_sent_record)
		return true;
	return halfrst_is_encrypting(ctx);
#else
	return false;
#endif
}
