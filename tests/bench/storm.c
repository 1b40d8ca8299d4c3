// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many idle connections, all of whose server ends close at once: how long the
 * client ends live on, and what happens to the rest of the machine meanwhile.
 *
 * storm [-q] [-x COMMAND] [-w S] N: prints lines "NAME VALUE":
 *	open	ns for opening the N connections
 *	close	ns for closing the N server ends
 *	drain	ns from then until the last client end is dead, or until the
 *		wait is over
 *	busy	ns of all CPUs' time from the first close to the last death
 *	late	longest ns that a thread of highest priority, which wants to
 *		run each millisecond, was kept waiting in that time
 *	memory	most bytes that were missing in MemAvailable in that time
 *	left	client ends that are not dead
 * -x	run a shell command after the last close; its time counts
 * -w	wait that long (100 s)
 * -q	disturb little: no such thread, and the dead are counted each second
 */

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "pair.h"

#define MS 1000000

static atomic_llong late, least;
static atomic_int stop;

/* Under SCHED_FIFO nothing delays it but the kernel itself */
static void *every_ms(void *unused)
{
	struct sched_param p = { .sched_priority = 50 };
	int64_t next = now() + MS;

	(void)unused;
	if (sched_setscheduler(0, SCHED_FIFO, &p))
		die("SCHED_FIFO");
	for (int i = 0; !stop; i++) {
		struct timespec t = { next / 1000000000, next % 1000000000 };
		int64_t behind;

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		behind = now() - next;
		if (behind > late)
			late = behind;
		if (i % 20 == 0) {
			int64_t free = memory("MemAvailable");

			if (free < least)
				least = free;
		}
		next = now() / MS * MS + MS;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const char *command = NULL;
	int64_t t0, opened, closed, done, busy, before, left, limit = 100;
	struct pair *pairs;
	pthread_t thread;
	bool quiet = false;
	int opt, n;

	while ((opt = getopt(argc, argv, "qx:w:")) != -1) {
		if (opt == 'q')
			quiet = true;
		else if (opt == 'x')
			command = optarg;
		else if (opt == 'w')
			limit = atoi(optarg);
		else
			return 2;
	}
	if (optind + 1 != argc)
		return 2;
	n = atoi(argv[optind]);

	t0 = now();
	pairs = pairs_open(n);
	opened = now() - t0;
	sleep(1);			/* delayed work of the opening */

	before = memory("MemAvailable");
	least = before;
	if (!quiet && pthread_create(&thread, NULL, every_ms, NULL))
		die("thread");
	busy = idle();
	t0 = now();
	for (int i = 0; i < n; i++)
		close(pairs[i].server);
	closed = now();
	if (command && system(command))
		die("%s", command);
	limit = closed + limit * 1000 * MS;
	while ((left = tcp_counter("CurrEstab")) && now() < limit)
		usleep(quiet ? 1000000 : 1000);
	done = now();
	busy = (done - t0) * sysconf(_SC_NPROCESSORS_ONLN) - (idle() - busy);
	stop = 1;
	if (!quiet)
		pthread_join(thread, NULL);

	printf("open %" PRId64 "\nclose %" PRId64 "\ndrain %" PRId64
	       "\nbusy %" PRId64 "\nlate %lld\nmemory %lld\nleft %" PRId64 "\n",
	       opened, closed - t0, done - closed, busy, late,
	       before - least, left);
	return 0;
}
