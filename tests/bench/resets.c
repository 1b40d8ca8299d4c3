// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long the client's socket outlives its peer's close(): connections over
 * loopback, one after the other; a request and a response, the server end
 * closes, and the client end is waited for until it is dead.
 *
 * resets [-amr] [-w MS] [N]: prints "MEDIAN MIN MAX DEAD N" in nanoseconds.
 *	-a	TLS's last word, an alert, is unread
 *	-r	the server sends RST itself: what a reset costs at least
 *	-m	mark the last one by a rare system call at its begin and end
 *	-w MS	wait that long for each (10000)
 */

#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pair.h"

static int wait_ms = 10000;

static void exchange(int from, int to)
{
	char bytes[100] = "";

	if (write(from, bytes, sizeof(bytes)) != sizeof(bytes) ||
	    read(to, bytes, sizeof(bytes)) != sizeof(bytes))
		die("request and response");
}

/* Until the socket is dead; -1 if it does not die in time */
static int64_t outlive(int listener, bool rst, bool alert, bool mark)
{
	/* close_notify as TLS 1.3 says it */
	static const uint8_t last_word[24] = { 23, 3, 3, 0, 19 };
	struct pollfd p = { .events = 0 };	/* POLLERR and POLLHUP only */
	struct pair pair;
	int64_t t0, t1;
	int dead;

	pair_open(&pair, listener);
	if (rst)
		abortive(pair.server);
	p.fd = pair.client;
	exchange(pair.client, pair.server);
	exchange(pair.server, pair.client);
	if (alert && write(pair.server, last_word, sizeof(last_word)) !=
		     sizeof(last_word))
		die("alert");
	poll(&p, 1, 100);		/* until the last ACK is sent */
	if (mark)
		sched_get_priority_max(SCHED_FIFO);
	t0 = now();
	close(pair.server);
	dead = poll(&p, 1, wait_ms);
	t1 = now();
	if (mark)
		sched_get_priority_max(SCHED_FIFO);
	if (dead && tcp_state(pair.client) != TCP_CLOSE)
		die("woken too early, state %d", tcp_state(pair.client));
	close(pair.client);
	return dead ? t1 - t0 : -1;
}

int main(int argc, char **argv)
{
	int opt, n = 101, dead = 0, listener;
	int64_t *t;
	bool rst = false, alert = false, mark = false;

	while ((opt = getopt(argc, argv, "amrw:")) != -1) {
		if (opt == 'a')
			alert = true;
		else if (opt == 'm')
			mark = true;
		else if (opt == 'r')
			rst = true;
		else if (opt == 'w')
			wait_ms = atoi(optarg);
		else
			return 2;
	}
	if (optind < argc)
		n = atoi(argv[optind]);
	t = calloc(n, sizeof(*t));
	if (!t || n < 1)
		return 2;
	listener = pair_listener(INADDR_LOOPBACK, 80);
	for (int i = 0; i < 10; i++)
		outlive(listener, rst, alert, false);	/* caches grow */
	for (int i = 0; i < n; i++) {
		int64_t life = outlive(listener, rst, alert,
				       mark && i == n - 1);

		if (life >= 0)
			t[dead++] = life;
	}
	if (dead)
		median(t, dead);
	printf("%" PRId64 " %" PRId64 " %" PRId64 " %d %d\n",
	       dead ? t[dead / 2] : -1, dead ? t[0] : -1,
	       dead ? t[dead - 1] : -1, dead, n);
	return 0;
}
