// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reset itself: a RST for TCP to take in, and a RST for the peer.
 */
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <net/ip6_checksum.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "halfrst_reset.h"

/* A RST without options.  Softirq; NULL if there is no memory. */
static struct sk_buff *halfrst_rst(unsigned int room, __be16 source,
				   __be16 dest, u32 seq)
{
	struct sk_buff *skb = alloc_skb(room + sizeof(struct tcphdr),
					GFP_ATOMIC | __GFP_NOWARN);
	struct tcphdr *th;

	if (!skb)
		return NULL;
	skb_reserve(skb, room);
	skb_reset_transport_header(skb);
	th = skb_put_zero(skb, sizeof(*th));
	th->source = source;
	th->dest = dest;
	th->seq = htonl(seq);
	th->doff = sizeof(*th) / 4;
	th->rst = 1;
	return skb;
}

/* Like what the peer would send if it answered a segment of ours.  Its number
 * is the one that tcp_validate_incoming() takes without further questions.
 */
static struct sk_buff *halfrst_rst_in(const struct sock *sk)
{
	u32 seq = tcp_sk(sk)->rcv_nxt;
	struct sk_buff *skb = halfrst_rst(0, inet_sk(sk)->inet_dport,
					  inet_sk(sk)->inet_sport, seq);

	if (!skb)
		return NULL;
	/* IPv6's function for incoming segments hands it on to IPv4's, which
	 * does not look for an IP header.
	 */
	skb->protocol = htons(ETH_P_IP);
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	TCP_SKB_CB(skb)->seq = seq;
	TCP_SKB_CB(skb)->end_seq = seq;
	TCP_SKB_CB(skb)->tcp_flags = TCPHDR_RST;
	return skb;
}

/* As tcp_send_active_reset() makes it */
static struct sk_buff *halfrst_rst_out(struct sock *sk)
{
	const struct inet_sock *inet = inet_sk(sk);
	const struct tcp_sock *tp = tcp_sk(sk);
	u32 seq = tp->snd_nxt;
	struct sk_buff *skb;
	struct tcphdr *th;

	/* The peer takes nothing that is outside its window */
	if (after(seq, tcp_wnd_end(tp)))
		seq = tcp_wnd_end(tp);
	skb = halfrst_rst(MAX_TCP_HEADER, inet->inet_sport, inet->inet_dport,
			  seq);
	if (!skb)
		return NULL;
	th = tcp_hdr(skb);
	th->ack = 1;
	th->ack_seq = htonl(tp->rcv_nxt);
	th->window = htons(min(tp->rcv_wnd >> tp->rx_opt.rcv_wscale, 65535U));
	skb->ip_summed = CHECKSUM_PARTIAL;
	skb->csum_start = skb_transport_header(skb) - skb->head;
	skb->csum_offset = offsetof(struct tcphdr, check);
#if IS_ENABLED(CONFIG_IPV6)
	if (sk->sk_family == AF_INET6 &&
	    !ipv6_addr_v4mapped(&sk->sk_v6_daddr)) {
		th->check = ~tcp_v6_check(skb->len, &inet6_sk(sk)->saddr,
					  &sk->sk_v6_daddr, 0);
		return skb;
	}
#endif
	th->check = ~tcp_v4_check(skb->len, inet->inet_saddr,
				  inet->inet_daddr, 0);
	return skb;
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
	struct sk_buff *out = halfrst_rst_out(sk);
	struct sk_buff *in = halfrst_rst_in(sk);

	if (!in || !out) {
		kfree_skb(in);
		kfree_skb(out);
		return false;
	}
	sk->sk_backlog_rcv(sk, in);
	if (sk->sk_state != TCP_CLOSE) {
		kfree_skb(out);
		return false;
	}
	if (error != EPIPE)
		WRITE_ONCE(sk->sk_err, error);

	TCP_INC_STATS(sock_net(sk), TCP_MIB_OUTSEGS);
	TCP_INC_STATS(sock_net(sk), TCP_MIB_OUTRSTS);
	/* TCP_SKB_CB lies where IP keeps its own */
	memset(out->cb, 0, sizeof(out->cb));
	skb_set_owner_w(out, sk);
	inet_csk(sk)->icsk_af_ops->queue_xmit(sk, out, &inet_sk(sk)->cork.fl);
	return true;
}
