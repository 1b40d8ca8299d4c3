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

#include "halfrst_socket.h"

#ifndef _HALFRST_REASONS
#define _HALFRST_REASONS
/**
 * enum halfrst_reason - why a socket is watched, reset or let go
 * @HALFRST_BY_FIN: a FIN matched a rule (watch)
 * @HALFRST_BY_QUIET: half-closed and still (reset)
 * @HALFRST_BY_DEADLINE: the deadline is over (reset)
 * @HALFRST_BY_DRY_RUN: would have been reset (forget)
 * @HALFRST_BY_CLOSED: closed by the application or a RST (forget)
 * @HALFRST_BY_EXEMPT: a socket that is left alone (forget)
 * @HALFRST_BY_EXPIRED: the FIN never took effect (forget)
 * @HALFRST_BY_UNLOAD: the module or the namespace goes away (forget)
 * @HALFRST_BY_OWNER: accepted by somebody else than the rule means (forget)
 * @HALFRST_BY_FULL: its first look was not the last, and too many are watched
 *                   (forget)
 * @HALFRST_BY_NOMEM: likewise, and out of memory (forget)
 * @HALFRST_BY_REPEATED: likewise, and the socket is watched already (forget)
 * @HALFRST_LOOK_AGAIN: nothing of all this yet; not traced
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
	HALFRST_BY_OWNER,
	HALFRST_BY_FULL,
	HALFRST_BY_NOMEM,
	HALFRST_BY_REPEATED,
	HALFRST_LOOK_AGAIN,
};
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
TRACE_DEFINE_ENUM(HALFRST_BY_OWNER);
TRACE_DEFINE_ENUM(HALFRST_BY_FULL);
TRACE_DEFINE_ENUM(HALFRST_BY_NOMEM);
TRACE_DEFINE_ENUM(HALFRST_BY_REPEATED);

#define halfrst_show_reason(reason)				\
	__print_symbolic(reason,				\
			 { HALFRST_BY_FIN,	"fin" },	\
			 { HALFRST_BY_QUIET,	"quiet" },	\
			 { HALFRST_BY_DEADLINE,	"deadline" },	\
			 { HALFRST_BY_DRY_RUN,	"dry-run" },	\
			 { HALFRST_BY_CLOSED,	"closed" },	\
			 { HALFRST_BY_EXEMPT,	"exempt" },	\
			 { HALFRST_BY_EXPIRED,	"expired" },	\
			 { HALFRST_BY_UNLOAD,	"unload" },	\
			 { HALFRST_BY_OWNER,	"owner" },	\
			 { HALFRST_BY_FULL,	"full" },	\
			 { HALFRST_BY_NOMEM,	"nomem" },	\
			 { HALFRST_BY_REPEATED,	"repeated" })

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
