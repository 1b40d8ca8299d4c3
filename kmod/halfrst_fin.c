// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a segment to its socket: the core's door for every front end.
 */
#include <linux/export.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/route.h>
#include <net/sock.h>
#include <net/tcp.h>
#if IS_ENABLED(CONFIG_NF_CONNTRACK)
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_extend.h>
#include <net/netfilter/nf_conntrack_seqadj.h>
#endif

#include "halfrst_compat.h"
#include "halfrst_fin.h"
#include "halfrst_socket.h"
#include "halfrst_stats.h"
#include "halfrst_watch.h"
#include "xt_HALFRST.h"

/* NAT and IPVS on this host undo their work for local sockets only behind
 * mangle's INPUT.  The segment's final addresses are those that an answer to
 * it starts with: conntrack has them as the tuple of the other direction.
 * Returns whether they are others than the segment's own.
 */
static bool halfrst_is_translated(struct halfrst_name *name,
				  const struct sk_buff *skb, u8 family)
{
#if IS_ENABLED(CONFIG_NF_CONNTRACK)
	enum ip_conntrack_info ctinfo;
	const struct nf_conn *ct = nf_ct_get(skb, &ctinfo);
	const struct nf_conntrack_tuple *answer;
	struct halfrst_name own = *name;

	if (!ct)
		return false;
	answer = &ct->tuplehash[!CTINFO2DIR(ctinfo)].tuple;
	if (family == NFPROTO_IPV4) {
		ipv6_addr_set_v4mapped(answer->dst.u3.ip, &name->peer);
		ipv6_addr_set_v4mapped(answer->src.u3.ip, &name->local);
	} else {
		name->peer = answer->dst.u3.in6;
		name->local = answer->src.u3.in6;
	}
	name->peer_port = answer->dst.u.tcp.port;
	name->local_port = answer->src.u.tcp.port;
	return memcmp(name, &own, sizeof(own));
#else
	return false;
#endif
}

/* Where its own numbers are not those that TCP will see: after a helper has made
 * a payload longer or shorter.  nf_conntrack_confirm() comes behind all rules.
 * Read as nf_ct_seq_adjust() reads it, but without the lock, and without a need
 * for nf_conntrack.ko.
 */
static void halfrst_adjust(struct halfrst_fin *fin, const struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_NF_CONNTRACK)
	enum ip_conntrack_info ctinfo;
	const struct nf_conn *ct = nf_ct_get(skb, &ctinfo);
	const struct nf_ct_seqadj *way;
	const struct nf_ct_ext *ext;
	s32 offset;

	if (likely(!ct || !test_bit(IPS_SEQ_ADJUST_BIT, &ct->status)) ||
	    nf_is_loopback_packet(skb))
		return;
	ext = READ_ONCE(ct->ext);
	if (!ext || !ext->offset[NF_CT_EXT_SEQADJ])
		return;
	way = &((const struct nf_conn_seqadj *)
		((const char *)ext + ext->offset[NF_CT_EXT_SEQADJ]))->
			seq[CTINFO2DIR(ctinfo)];
	offset = after(fin->seq, way->correction_pos) ? way->offset_after :
							way->offset_before;
	fin->seq += offset;
	fin->end += offset;
	fin->adjusted = true;
#endif
}

/* Do more fragments of this packet follow?  IPv6's come here one by one if
 * nobody has put them together; IPv4's do not.
 */
static bool halfrst_is_fragment(const struct sk_buff *skb, u8 family,
				unsigned int thoff)
{
#if IS_ENABLED(CONFIG_IPV6)
	const int extensions = sizeof(struct ipv6hdr);
	__be16 fragment = 0;
	u8 next;

	if (family == NFPROTO_IPV4 || thoff == extensions)
		return false;
	next = ipv6_hdr(skb)->nexthdr;
	ipv6_skip_exthdr(skb, extensions, &next, &fragment);
	return fragment & htons(IP6_MF);
#else
	return false;
#endif
}

/* What it says, and whether TCP would see a FIN in it at all */
static bool halfrst_parse_fin(struct halfrst_fin *fin,
			      struct sk_buff *skb, u8 family,
			      unsigned int thoff, const struct tcphdr *th)
{
	unsigned int payload = thoff + th->doff * 4;

	if (!th->fin || !th->ack || th->syn || th->rst || th->doff < sizeof(*th) / 4 ||
	    payload > skb->len)
		return false;
	fin->seq = ntohl(th->seq);
	fin->end = fin->seq + skb->len - payload + 1;
	fin->ack = ntohl(th->ack_seq);
	fin->open = halfrst_is_fragment(skb, family, thoff);
	fin->adjusted = false;
	fin->early = false;
	if (family == NFPROTO_IPV4) {
		fin->path.dif = inet_iif(skb);
		fin->path.sdif = inet_sdif(skb);
	} else {
		fin->path.dif = inet6_iif(skb);
		fin->path.sdif = inet6_sdif(skb);
	}
	halfrst_adjust(fin, skb);
	return true;
}

/* The socket that TCP will give the segment to, with a reference that
 * sock_gen_put() drops: a request or time-wait socket, too.  Or NULL.
 */
static struct sock *halfrst_get_socket(struct net *net, struct sk_buff *skb,
				       u8 family, const struct tcphdr *th,
				       const struct halfrst_fin *fin)
{
	struct halfrst_name name = {
		.peer_port = th->source,
		.local_port = th->dest,
	};
	struct sock *sk = skb->sk;

	if (family == NFPROTO_IPV4) {
		ipv6_addr_set_v4mapped(ip_hdr(skb)->saddr, &name.peer);
		ipv6_addr_set_v4mapped(ip_hdr(skb)->daddr, &name.local);
	} else {
		name.peer = ipv6_hdr(skb)->saddr;
		name.local = ipv6_hdr(skb)->daddr;
	}
	/* From early demux or a redirection, which do not know of NAT.  Not
	 * every such socket is counted for the segment: one that is being
	 * freed has no reference.
	 */
	if (!halfrst_is_translated(&name, skb, family) && sk)
		return refcount_inc_not_zero(&sk->sk_refcnt) ? sk : NULL;
	return halfrst_find_socket(net, &name, &fin->path);
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
					   struct halfrst_fin *fin,
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

/**
 * halfrst_receive_fin - a segment for this host that may be a FIN
 * @net: the network namespace that it has come to
 * @skb: the segment
 * @family: NFPROTO_IPV4 or NFPROTO_IPV6
 * @thoff: where its TCP header begins
 * @info: options
 *
 * Finds the socket and puts it under watch.  Counts what happens, unless TCP
 * sees no FIN in it: with SYN or RST, without ACK (RFC 9293, 3.10.7.4), or with a
 * header that is longer than itself.
 *
 * Context: softirq, or process context behind NFQUEUE; under rcu_read_lock(),
 * in LOCAL_IN.
 */
void halfrst_receive_fin(struct net *net, struct sk_buff *skb, u8 family,
			 unsigned int thoff,
			 const struct xt_halfrst_info *info)
{
	enum halfrst_stat stat = HALFRST_NO_SOCKET;
	const struct tcphdr *th;
	struct halfrst_fin fin;
	struct tcphdr buf;
	struct sock *sk;

	th = skb_header_pointer(skb, thoff, sizeof(buf), &buf);
	if (!th || !halfrst_parse_fin(&fin, skb, family, thoff, th))
		return;
	local_bh_disable();
	halfrst_count(net, HALFRST_FINS);
	sk = halfrst_get_socket(net, skb, family, th, &fin);
	if (sk)
		stat = halfrst_may_watch(net, sk, &fin, info);
	if (stat == HALFRST_WATCHING) {
		halfrst_watch(net, sk, &fin, info);
	} else {
		halfrst_count(net, stat);
		if (sk)
			sock_gen_put(sk);
	}
	local_bh_enable();
}
EXPORT_SYMBOL_GPL(halfrst_receive_fin);

/**
 * halfrst_core_init - make halfrst_receive_fin() usable
 *
 * Context: module init, before a front end is registered.
 * Return: 0, or a negative errno.
 */
int halfrst_core_init(void)
{
	int err = halfrst_stats_init();

	if (err)
		return err;
	err = halfrst_watch_init();
	if (err)
		halfrst_stats_exit();
	return err;
}

/**
 * halfrst_core_exit - end all watches, and the counters
 *
 * Context: module exit: nothing is on its way into halfrst_receive_fin().
 */
void halfrst_core_exit(void)
{
	halfrst_watch_exit();
	halfrst_stats_exit();
}
