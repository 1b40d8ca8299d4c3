// SPDX-License-Identifier: GPL-2.0-only
/* FINs and what comes of them; fin.h has an example. */

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "dice.h"
#include "fin.h"
#include "kernel.h"
#include "rules.h"
#include "segment.h"

void fin_send(const struct host *h, const struct conn *c, const struct fin *f)
{
	forge(h, &(struct forged){
		.sport = c->peer_port, .dport = c->app_port,
		.seq = c->iss + f->at,
		.ack = c->irs + (f->ack ? f->ack : 1),
		.window = 65535, .flags = FIN | ACK, .len = f->len,
		.dscp = f->mark, .bad_checksum = f->bad_checksum,
		.fragment = -1,
	});
}

/* By u32, which small kernels have, too */
void fin_rule(const struct host *h, int mark, const char *options)
{
	rule(h, "-t mangle -A INPUT -p tcp --tcp-flags FIN FIN "
	     "-m u32 --u32 '0>>%d&0x3F=%d' -j HALFRST %s",
	     h->kind == IPV6 ? 22 : 18, mark, options);
}

const struct segment *fin_answer(struct conn *c, int ms)
{
	int64_t end = now_us() + ms * 1000LL, left;
	const struct segment *g;

	do {
		left = end - now_us();
		g = peer_next(c, left > 0 ? (left + 999) / 1000 : 0);
	} while (g && !(g->flags & RST));
	return g;
}

void fin_reset_at(struct conn *c, const char *file, int line, int64_t start,
		  int least, int most, int error)
{
	const struct segment *g = fin_answer(c, most + PEER_PATIENCE);
	int64_t took;

	if (!g) {
		run("sed 's/^/# /' /proc/net/xt_halfrst");
		peer_fail_at(c, file, line, "no reset");
	}
	if (g->flags != (RST | ACK))
		peer_fail_at(c, file, line, "another RST");
	took = g->when - start;
	if (took < least * 1000LL ||
	    took > most * 1000LL + timer_slack(most * 1000LL))
		peer_fail_at(c, file, line, "reset after %lld us, not %d to %d ms",
			     (long long)took, least, most);
	app_wait_state(c, TCP_CLOSE, 0);
	app_write_fails(c, error);
}

void fin_no_reset_at(struct conn *c, const char *file, int line, int ms)
{
	app_wait_state(c, TCP_CLOSE_WAIT, 0);
	if (fin_answer(c, ms))
		peer_fail_at(c, file, line, "a reset");
	if (app_state(c) != TCP_CLOSE_WAIT)
		peer_fail_at(c, file, line, "in state %d", app_state(c));
}

long fin_objects(const char *caches)
{
	char pattern[64];
	long sum = 0;
	glob_t found;

	snprintf(pattern, sizeof(pattern), "/sys/kernel/slab/%s", caches);
	if (glob(pattern, 0, NULL, &found))
		return 0;
	for (size_t i = 0; i < found.gl_pathc; i++)
		sum += slab_objects(strrchr(found.gl_pathv[i], '/') + 1);
	globfree(&found);
	return sum;
}
