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
#endif

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

/* The socket that TCP will give the segment to, with a reference that
 * sock_gen_put() drops: a request or time-wait socket, too.  Or NULL.
 */
static struct sock *halfrst_get_socket(struct net *net, struct sk_buff *skb,
				       u8 family, const struct tcphdr *th)
{
	struct halfrst_name name = {
		.peer_port = th->source,
		.local_port = th->dest,
	};
	struct sock *sk = skb->sk;
	int sdif;

	if (family == NFPROTO_IPV4) {
		ipv6_addr_set_v4mapped(ip_hdr(skb)->saddr, &name.peer);
		ipv6_addr_set_v4mapped(ip_hdr(skb)->daddr, &name.local);
		name.dif = inet_iif(skb);
		sdif = inet_sdif(skb);
	} else {
		name.peer = ipv6_hdr(skb)->saddr;
		name.local = ipv6_hdr(skb)->daddr;
		name.dif = inet6_iif(skb);
		sdif = inet6_sdif(skb);
	}
	/* From early demux or a redirection, which do not know of NAT.  Not
	 * every such socket is counted for the segment: one that is being
	 * freed has no reference.
	 */
	if (!halfrst_is_translated(&name, skb, family) && sk)
		return refcount_inc_not_zero(&sk->sk_refcnt) ? sk : NULL;
	return halfrst_find_socket(net, &name, sdif);
}

/**
 * halfrst_receive_fin - a FIN for this host
 * @net: the network namespace that it has come to
 * @skb: the segment
 * @family: NFPROTO_IPV4 or NFPROTO_IPV6
 * @th: its TCP header, or a copy
 * @info: options
 *
 * Finds the socket and puts it under watch.  Counts what happens.
 *
 * Context: softirq, or process context behind NFQUEUE; under rcu_read_lock(),
 * in LOCAL_IN.
 */
void halfrst_receive_fin(struct net *net, struct sk_buff *skb, u8 family,
			 const struct tcphdr *th,
			 const struct xt_halfrst_info *info)
{
	struct sock *sk;

	halfrst_count(net, HALFRST_FINS);
	sk = halfrst_get_socket(net, skb, family, th);
	if (sk)
		halfrst_watch(net, sk, info);
	else
		halfrst_count(net, HALFRST_NO_SOCKET);
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
