/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: who is watched, who was reset, who was let go, and why.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM halfrst

#if !defined(_HALFRST_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _HALFRST_TRACE_H

#include <linux/jiffies.h>
#include <linux/tracepoint.h>
#include <net/tcp.h>

#include "halfrst_look.h"
#include "halfrst_socket.h"

/* Lets user space (perf, trace-cmd) print the names as well */
TRACE_DEFINE_ENUM(HALFRST_REASON_FIN);
TRACE_DEFINE_ENUM(HALFRST_REASON_STILL);
TRACE_DEFINE_ENUM(HALFRST_REASON_DEADLINE);
TRACE_DEFINE_ENUM(HALFRST_REASON_DRY_RUN);
TRACE_DEFINE_ENUM(HALFRST_REASON_CLOSED);
TRACE_DEFINE_ENUM(HALFRST_REASON_EXEMPT);
TRACE_DEFINE_ENUM(HALFRST_REASON_EXPIRED);
TRACE_DEFINE_ENUM(HALFRST_REASON_UNLOAD);
TRACE_DEFINE_ENUM(HALFRST_REASON_OWNER);
TRACE_DEFINE_ENUM(HALFRST_REASON_FULL);
TRACE_DEFINE_ENUM(HALFRST_REASON_NOMEM);
TRACE_DEFINE_ENUM(HALFRST_REASON_REPEATED);

#define halfrst_show_reason(reason)				\
	__print_symbolic(reason,				\
			 { HALFRST_REASON_FIN,	"fin" },	\
			 { HALFRST_REASON_STILL,	"still" },	\
			 { HALFRST_REASON_DEADLINE,	"deadline" },	\
			 { HALFRST_REASON_DRY_RUN,	"dry-run" },	\
			 { HALFRST_REASON_CLOSED,	"closed" },	\
			 { HALFRST_REASON_EXEMPT,	"exempt" },	\
			 { HALFRST_REASON_EXPIRED,	"expired" },	\
			 { HALFRST_REASON_UNLOAD,	"unload" },	\
			 { HALFRST_REASON_OWNER,	"owner" },	\
			 { HALFRST_REASON_FULL,	"full" },	\
			 { HALFRST_REASON_NOMEM,	"nomem" },	\
			 { HALFRST_REASON_REPEATED,	"repeated" })

#ifndef _HALFRST_TRACE_EVENT
#define _HALFRST_TRACE_EVENT
void halfrst_trace_event(const void *watch, const struct halfrst_name *name,
			 const struct halfrst_state *s,
			 enum halfrst_reason reason);
#endif

DECLARE_EVENT_CLASS(halfrst_event,
	TP_PROTO(const void *watch, const struct halfrst_name *name,
		 u16 family, u32 uid, int reason, u32 since),

	TP_ARGS(watch, name, family, uid, reason, since),

	TP_STRUCT__entry(
		__field(const void *,	watch)
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
		__entry->watch = watch;
		__entry->reason = reason;
		__entry->uid = uid;
		__entry->msecs = jiffies_to_msecs(tcp_jiffies32 - since);
		__entry->family = family;
		__entry->sport = ntohs(name->local_port);
		__entry->dport = ntohs(name->peer_port);
		memcpy(__entry->saddr, &name->local, 16);
		memcpy(__entry->daddr, &name->peer, 16);
	),

	TP_printk("saddr=%pI6c sport=%hu daddr=%pI6c dport=%hu family=%hu uid=%u reason=%s msecs=%u watch=%p",
		  __entry->saddr, __entry->sport,
		  __entry->daddr, __entry->dport, __entry->family,
		  __entry->uid, halfrst_show_reason(__entry->reason),
		  __entry->msecs, __entry->watch)
);

#define HALFRST_EVENT(name_)						\
DEFINE_EVENT(halfrst_event, name_,					\
	TP_PROTO(const void *watch, const struct halfrst_name *name,	\
		 u16 family, u32 uid, int reason, u32 since),		\
	TP_ARGS(watch, name, family, uid, reason, since)		\
)

/* A FIN matched a rule: its socket is watched from now on */
HALFRST_EVENT(halfrst_watch);

/* The socket was reset, @msecs after the FIN (@since, in jiffies) */
HALFRST_EVENT(halfrst_reset);

/* The socket is no longer watched and was not reset */
HALFRST_EVENT(halfrst_forget);

#endif /* _HALFRST_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE halfrst_trace
#include <trace/define_trace.h>
