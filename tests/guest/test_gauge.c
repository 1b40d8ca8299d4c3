// SPDX-License-Identifier: GPL-2.0-only
/* lab: --smp 2 --append preempt=full
 * slow: two CPUs in the host's time, which anything else disturbs
 *
 * "watching" is the sum of what each CPU has counted, one read after the other.
 * A watch may begin on a CPU that was read already and end on one that was not:
 * no reader is told of fewer than none, which would be a very large number.
 *
 * The reader has CPU 1.  Somebody more important takes that from it at any
 * moment, and has a watch begin on CPU 0 and end on CPU 1 meanwhile.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu.h"
#include "dice.h"
#include "rules.h"

#define PROC	"/proc/thread-self/net/xt_halfrst"
#define MOST	2			/* watches at a time */

struct reader {
	atomic_bool stop;
	unsigned long reads, largest;
	char worst[32];
};

static void *reads(void *arg)
{
	struct reader *r = arg;
	char lines[1024], *line;
	int fd = open(PROC, O_RDONLY | O_CLOEXEC);

	on_cpu(1);
	while (!r->stop) {
		unsigned long n;
		ssize_t len = pread(fd, lines, sizeof(lines) - 1, 0);

		if (len <= 0)
			continue;
		lines[len] = '\0';
		line = strstr(lines, "\nwatching ");
		n = strtoul(line + 10, NULL, 10);
		if (n > r->largest) {
			r->largest = n;
			snprintf(r->worst, sizeof(r->worst), "%.*s",
				 (int)strcspn(line + 10, "\n"), line + 10);
		}
		r->reads++;
	}
	close(fd);
	return NULL;
}

/* Sends the first FIN of each connection, on CPU 0 */
struct beginner {
	struct conn *_Atomic c;
	atomic_bool stop;
};

static void *begins(void *arg)
{
	struct beginner *b = arg;

	on_cpu(0);
	while (!b->stop) {
		if (b->c) {
			peer_send(b->c, "F. 1:1(0) ack 1");
			b->c = NULL;
		}
	}
	return NULL;
}

/* A watch: begun there, ended here, while this thread keeps its CPU.  Nothing
 * in here sleeps.
 */
static void a_watch(struct beginner *b, struct conn *c)
{
	int64_t end = now_us() + 10000000;

	b->c = c;
	while (b->c)
		;
	/* says FIN again, which brings the timer to this CPU */
	peer_send(c, "F. 1:1(0) ack 1");
	while (app_state(c) != TCP_CLOSE)
		if (now_us() > end)
			peer_fail(c, "no reset");
}

static void never_below_zero(void **state)
{
	struct sched_param fifo = { .sched_priority = 50 }, normal = { 0 };
	int rounds = how_often(300, 3000);
	struct host *h = *state;
	struct reader r = { 0 };
	struct beginner b = { 0 };
	pthread_t reader, beginner;
	uint32_t seed = 17;
	struct conn c;

	needs_two_cpus();
	rule(h, ON_FIN "--grace 12ms");
	assert_int_equal(pthread_create(&reader, NULL, reads, &r), 0);
	assert_int_equal(pthread_create(&beginner, NULL, begins, &b), 0);
	on_cpu(1);
	for (int i = 0; i < rounds; i++) {
		client(&c, h, 0);
		sched_setscheduler(0, SCHED_FIFO, &fifo);
		usleep(200 + chance(&seed) % 1000);
		a_watch(&b, &c);
		sched_setscheduler(0, SCHED_OTHER, &normal);
		host_close(h, c.fd);
	}
	r.stop = true;
	b.stop = true;
	pthread_join(reader, NULL);
	pthread_join(beginner, NULL);
	print_message("# %lu reads of %lu watches, %lu at most\n", r.reads,
		      counter("resets"), r.largest);
	assert_true(r.reads > (unsigned long)rounds);
	if (r.largest > MOST)
		peer_fail(NULL, "watching %s", r.worst);
	assert_true(counter("resets") > (unsigned long)rounds / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_IPV4(never_below_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
