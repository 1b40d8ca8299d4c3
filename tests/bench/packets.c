// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a segment that is not a FIN costs: one connection over loopback, a
 * request of 100 bytes and a response of 100 bytes, again and again.
 *
 * packets [N]: prints "MEDIAN MIN MAX" of N times 100 rounds on several
 * connections, in nanoseconds a segment.
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
	int n = argc > 1 ? atoi(argv[1]) : 50;
	int64_t *each = calloc(n, sizeof(*each));
	int listener = pair_listener(INADDR_LOOPBACK, 80);
	struct pair p;

	if (!each || n < 1)
		return 2;
	for (int i = 0; i < n; i++) {
		int64_t segments, time;

		/* one connection in five or so costs 2 % more throughout */
		if (i % 4 == 0) {
			pair_open(&p, listener);
			rounds(&p, 100);	/* windows and caches grow */
		}
		segments = tcp_counter("InSegs");
		time = now();
		rounds(&p, 100);
		time = now() - time;
		each[i] = time * 10 / (tcp_counter("InSegs") - segments);
	}
	median(each, n);
	printf("%.1f %.1f %.1f\n", each[n / 2] / 10., each[0] / 10.,
	       each[n - 1] / 10.);
	return 0;
}
