// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reset itself: a RST for TCP to take in, and a RST for the peer.
 */
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <net/inet_ecn.h>
#include <net/ip6_checksum.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "halfrst_reset.h"

/* A RST without options */
static void halfrst_rst(struct sk_buff *skb, __be16 source, __be16 dest,
			u32 seq)
{
	struct tcphdr *th = skb_put_zero(skb, sizeof(*th));

	th->source = source;
	th->dest = dest;
	th->seq = htonl(seq);
	th->doff = sizeof(*th) / 4;
	th->rst = 1;
}

/* What the peer would send if it answered a segment of ours.  Its number is the
 * one that tcp_validate_incoming() takes without further questions.
 */
static void halfrst_rst_in(struct sk_buff *skb, const struct sock *sk)
{
	u32 seq = tcp_sk(sk)->rcv_nxt;

	halfrst_rst(skb, inet_sk(sk)->inet_dport, inet_sk(sk)->inet_sport, seq);
	/* IPv6's function for incoming segments hands it on to IPv4's, which
	 * does not look for an IP header.
	 */
	skb->protocol = htons(ETH_P_IP);
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	TCP_SKB_CB(skb)->seq = seq;
	TCP_SKB_CB(skb)->end_seq = seq;
	TCP_SKB_CB(skb)->tcp_flags = TCPHDR_RST;
}

/* As tcp_send_active_reset() makes it */
static void halfrst_rst_out(struct sk_buff *skb, const struct sock *sk)
{
	const struct inet_sock *inet = inet_sk(sk);
	const struct tcp_sock *tp = tcp_sk(sk);
	u32 seq = tp->snd_nxt;
	struct tcphdr *th;

	/* The peer takes nothing that is outside its window, of which it may
	 * have rounded off the end: tcp_acceptable_seq().
	 */
	if (after(seq, tcp_wnd_end(tp)) &&
	    !(tp->rx_opt.wscale_ok &&
	      seq - tcp_wnd_end(tp) < 1U << tp->rx_opt.rcv_wscale))
		seq = tcp_wnd_end(tp);
	skb_reset_transport_header(skb);
	halfrst_rst(skb, inet->inet_sport, inet->inet_dport, seq);
	th = tcp_hdr(skb);
	th->ack = 1;
	th->ack_seq = htonl(tp->rcv_nxt);
	th->window = htons(min(tp->rcv_wnd >> tp->rx_opt.rcv_wscale, 65535U));
	skb->ip_summed = CHECKSUM_PARTIAL;
	skb->csum_start = skb_transport_header(skb) - skb->head;
	skb->csum_offset = offsetof(struct tcphdr, check);
	th->check = ~tcp_v4_check(sizeof(*th), inet->inet_saddr,
				  inet->inet_daddr, 0);
#if IS_ENABLED(CONFIG_IPV6)
	if (sk->sk_family == AF_INET6 && !ipv6_addr_v4mapped(&sk->sk_v6_daddr))
		th->check = ~tcp_v6_check(sizeof(*th), &inet6_sk(sk)->saddr,
					  &sk->sk_v6_daddr, 0);
#endif
}

/**
 * halfrst_reset - reset a half-closed connection by TCP's own hand
 * @sk: in CLOSE_WAIT, its spinlock held, owned by no process
 * @error: positive errno value that the next write is to fail with
 *
 * Hands a RST to the socket's sk_backlog_rcv(), where tcp_reset() sets EPIPE,
 * drops what was not sent, stops the timers and wakes whoever waits.  What has
 * arrived stays and can be read.  Then sends RST|ACK to the peer.  With the
 * spinlock held no reader and no writer sees EPIPE in place of @error; only
 * getsockopt(SO_ERROR), which takes no lock, might.
 *
 * Context: softirq, or bottom halves off; does not sleep.
 * Return: true if the socket is in CLOSE now; false if nothing was done, for
 * want of memory.
 */
bool halfrst_reset(struct sock *sk, int error)
{
	struct sk_buff *in, *out;

	/* One allocation for both: the second header lies behind the first */
	out = alloc_skb_fclone(MAX_TCP_HEADER + 2 * sizeof(struct tcphdr),
			       GFP_ATOMIC | __GFP_NOWARN);
	if (!out)
		return false;
	skb_reserve(out, MAX_TCP_HEADER);
	halfrst_rst_out(out, sk);
	in = skb_clone(out, GFP_ATOMIC | __GFP_NOWARN);
	if (!in) {
		kfree_skb(out);
		return false;
	}
	__skb_pull(in, in->len);
	skb_reset_transport_header(in);
	halfrst_rst_in(in, sk);

	sk->sk_backlog_rcv(sk, in);
	if (sk->sk_state != TCP_CLOSE) {
		kfree_skb(out);
		return false;
	}
	if (error != EPIPE)
		WRITE_ONCE(sk->sk_err, error);

	TCP_INC_STATS(sock_net(sk), TCP_MIB_OUTSEGS);
	TCP_INC_STATS(sock_net(sk), TCP_MIB_OUTRSTS);
	/* As tcp_ecn_send(): what carries no data may not be marked (RFC 3168,
	 * 6.1.4), but for congestion controls that want it (RFC 8257)
	 */
	if (!tcp_ca_needs_ecn(sk))
		INET_ECN_dontxmit(sk);
	skb_set_owner_w(out, sk);
	inet_csk(sk)->icsk_af_ops->queue_xmit(sk, out, &inet_sk(sk)->cork.fl);
	return true;
}
