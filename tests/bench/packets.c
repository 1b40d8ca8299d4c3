// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a segment that is not a FIN costs: one connection over loopback, a
 * request of 100 bytes and a response of 100 bytes, again and again.
 *
 * packets [ROUNDS]: prints "NANOSECONDS SEGMENTS NANOSECONDS/SEGMENT".
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pair.h"

static void pass(int from, int to)
{
	char bytes[100] = "";

	if (write(from, bytes, sizeof(bytes)) != sizeof(bytes) ||
	    read(to, bytes, sizeof(bytes)) != sizeof(bytes))
		die("ping-pong");
}

static void rounds(const struct pair *p, int n)
{
	for (int i = 0; i < n; i++) {
		pass(p->client, p->server);
		pass(p->server, p->client);
	}
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 5000;
	int64_t segments;
	struct pair p;
	int64_t time;

	pair_open(&p, pair_listener(INADDR_LOOPBACK, 80));
	rounds(&p, 200);	/* windows and caches grow */
	segments = tcp_counter("InSegs");
	time = now();
	rounds(&p, n);
	time = now() - time;
	segments = tcp_counter("InSegs") - segments;
	printf("%" PRId64 " %" PRId64 " %.1f\n", time, segments,
	       (double)time / segments);
	return 0;
}
