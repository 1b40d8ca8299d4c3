// SPDX-License-Identifier: GPL-2.0-only
/*
 * What becomes of a watch, for perf, trace-cmd and BPF.
 */
#include "halfrst_look.h"
#include "halfrst_socket.h"

#define CREATE_TRACE_POINTS
#include "halfrst_trace.h"

/**
 * halfrst_trace_event - tell what becomes of a watch
 * @watch: tells one from the next
 * @name: of its connection
 * @s: its state
 * @reason: why
 *
 * Context: any.
 */
void halfrst_trace_event(const void *watch, const struct halfrst_name *name,
			 const struct halfrst_state *s,
			 enum halfrst_reason reason)
{
	u16 family = s->ipv6 ? AF_INET6 : AF_INET;
	u32 uid = __kuid_val(s->uid), since = s->first.since;

	switch (reason) {
	case HALFRST_REASON_FIN:
		trace_halfrst_watch(watch, name, family, uid, reason, since);
		break;
	case HALFRST_REASON_STILL:
	case HALFRST_REASON_DEADLINE:
		trace_halfrst_reset(watch, name, family, uid, reason, since);
		break;
	default:
		trace_halfrst_forget(watch, name, family, uid, reason, since);
	}
}
