/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: who is watched, who was reset, who was let go, and why.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM halfrst

#if !defined(_HALFRST_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _HALFRST_TRACE_H

#include <linux/tracepoint.h>
#include <linux/ipv6.h>
#include <net/inet_sock.h>
#include <net/ipv6.h>

#ifndef _HALFRST_REASONS
#define _HALFRST_REASONS
/**
 * enum halfrst_reason - why a socket is watched, reset or let go
 * @HALFRST_BY_FIN: a FIN matched a rule (watch)
 * @HALFRST_BY_QUIET: half-closed and quiet (reset)
 * @HALFRST_BY_DEADLINE: the deadline is over (reset)
 * @HALFRST_BY_DRY_RUN: would have been reset (forget)
 * @HALFRST_BY_CLOSED: closed by the application or a RST (forget)
 * @HALFRST_BY_EXEMPT: has become a socket that is left alone (forget)
 * @HALFRST_BY_EXPIRED: the FIN never took effect (forget)
 * @HALFRST_BY_UNLOAD: the module goes away (forget)
 */
enum halfrst_reason {
	HALFRST_BY_FIN,
	HALFRST_BY_QUIET,
	HALFRST_BY_DEADLINE,
	HALFRST_BY_DRY_RUN,
	HALFRST_BY_CLOSED,
	HALFRST_BY_EXEMPT,
	HALFRST_BY_EXPIRED,
	HALFRST_BY_UNLOAD,
};

/* IPv4 addresses are recorded as IPv4-mapped IPv6 ones: one layout for both */
static inline void halfrst_trace_addresses(const struct sock *sk,
					   struct in6_addr *saddr,
					   struct in6_addr *daddr)
{
	ipv6_addr_set_v4mapped(sk->sk_rcv_saddr, saddr);
	ipv6_addr_set_v4mapped(sk->sk_daddr, daddr);
#if IS_ENABLED(CONFIG_IPV6)
	if (sk->sk_family == AF_INET6) {
		*saddr = sk->sk_v6_rcv_saddr;
		*daddr = sk->sk_v6_daddr;
	}
#endif
}
#endif

/* Lets user space (perf, trace-cmd) print the names as well */
TRACE_DEFINE_ENUM(HALFRST_BY_FIN);
TRACE_DEFINE_ENUM(HALFRST_BY_QUIET);
TRACE_DEFINE_ENUM(HALFRST_BY_DEADLINE);
TRACE_DEFINE_ENUM(HALFRST_BY_DRY_RUN);
TRACE_DEFINE_ENUM(HALFRST_BY_CLOSED);
TRACE_DEFINE_ENUM(HALFRST_BY_EXEMPT);
TRACE_DEFINE_ENUM(HALFRST_BY_EXPIRED);
TRACE_DEFINE_ENUM(HALFRST_BY_UNLOAD);

#define halfrst_show_reason(reason)				\
	__print_symbolic(reason,				\
			 { HALFRST_BY_FIN,	"fin" },	\
			 { HALFRST_BY_QUIET,	"quiet" },	\
			 { HALFRST_BY_DEADLINE,	"deadline" },	\
			 { HALFRST_BY_DRY_RUN,	"dry-run" },	\
			 { HALFRST_BY_CLOSED,	"closed" },	\
			 { HALFRST_BY_EXEMPT,	"exempt" },	\
			 { HALFRST_BY_EXPIRED,	"expired" },	\
			 { HALFRST_BY_UNLOAD,	"unload" })

DECLARE_EVENT_CLASS(halfrst_event,
	TP_PROTO(const struct sock *sk, int reason, unsigned int msecs),

	TP_ARGS(sk, reason, msecs),

	TP_STRUCT__entry(
		__field(const void *,	skaddr)
		__field(int,		reason)
		__field(__u32,		uid)
		__field(__u32,		msecs)
		__array(__u8,		saddr, 16)
		__array(__u8,		daddr, 16)
		__field(__u16,		family)
		__field(__u16,		sport)
		__field(__u16,		dport)
	),

	TP_fast_assign(
		__entry->skaddr = sk;
		__entry->reason = reason;
		__entry->uid = from_kuid_munged(&init_user_ns, sk->sk_uid);
		__entry->msecs = msecs;
		__entry->family = sk->sk_family;
		/* Not sk_num, which a reset socket has given back */
		__entry->sport = ntohs(inet_sk(sk)->inet_sport);
		__entry->dport = ntohs(sk->sk_dport);
		halfrst_trace_addresses(sk, (void *)__entry->saddr,
					(void *)__entry->daddr);
	),

	TP_printk("saddr=%pI6c sport=%hu daddr=%pI6c dport=%hu family=%hu uid=%u reason=%s msecs=%u sk=%p",
		  __entry->saddr, __entry->sport,
		  __entry->daddr, __entry->dport, __entry->family,
		  __entry->uid, halfrst_show_reason(__entry->reason),
		  __entry->msecs, __entry->skaddr)
);

/* A FIN matched a rule: its socket is watched from now on */
DEFINE_EVENT(halfrst_event, halfrst_watch,
	TP_PROTO(const struct sock *sk, int reason, unsigned int msecs),
	TP_ARGS(sk, reason, msecs)
);

/* The socket was reset, @msecs after the FIN */
DEFINE_EVENT(halfrst_event, halfrst_reset,
	TP_PROTO(const struct sock *sk, int reason, unsigned int msecs),
	TP_ARGS(sk, reason, msecs)
);

/* The socket is no longer watched and was not reset */
DEFINE_EVENT(halfrst_event, halfrst_forget,
	TP_PROTO(const struct sock *sk, int reason, unsigned int msecs),
	TP_ARGS(sk, reason, msecs)
);

#endif /* _HALFRST_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE halfrst_trace
#include <trace/define_trace.h>
