// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount --mem 6144
 *
 * A server with many idle connections dies: every client is reset, none is
 * reset twice, none is forgotten; what the watches cost is bounded, in memory
 * and in how long they keep others from the CPU.
 */

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crowd.h"
#include "dice.h"
#include "kernel.h"
#include "rules.h"

#define BYTES_A_WATCH	208	/* with its share of the table */
#define BYTES_OF_ONE	176
#define UNREAD		5000	/* more than go after a second */

static bool kmemleak(void)
{
	return !access("/sys/kernel/debug/kmemleak", F_OK);
}

/* With KASAN, lockdep and kmemleak, a server that has many connections cannot
 * die: its repeated FINs alone last longer than the timers that repeat them,
 * without HALFRST, too, and keep the CPU for more than 20 s: 30,000 on the kernel
 * kasan.  With KCSAN 100,000 take hours.
 */
static int many(void)
{
	if (kmemleak())
		return 10000;
	return checks_locks() || checks_races() ? 30000 : 100000;
}

/* Of the first storm, and of the others */
static int large(void)
{
	return how_often(10000, many());
}

static int usual(void)
{
	return how_often(3000, many());
}

/* The table of watches: the smallest power of two of which they fill at most
 * three quarters, and its half while it grows, a pointer an entry.
 */
static long table_bytes(long n)
{
	long entries = 4;

	while (n > entries / 4 * 3)
		entries *= 2;
	return (entries + entries / 2) * 8;
}

/* The longest that somebody who wants the CPU every millisecond waits */
struct waiter {
	pthread_t thread;
	atomic_bool stop;
	int64_t longest;
};

static void *wait_for_cpu(void *arg)
{
	struct waiter *w = arg;
	int64_t last = now_us(), t;

	while (!w->stop) {
		sleep_ms(1);
		t = now_us();
		if (t - last > w->longest)
			w->longest = t - last;
		last = t;
	}
	return NULL;
}

static void waiter_start(struct waiter *w)
{
	struct sched_param fifo = { .sched_priority = 50 };

	w->stop = false;
	w->longest = 0;
	assert_int_equal(pthread_create(&w->thread, NULL, wait_for_cpu, w), 0);
	assert_int_equal(pthread_setschedparam(w->thread, SCHED_FIFO, &fifo),
			 0);
	sleep_ms(10);
}

static int64_t waiter_stop(struct waiter *w)
{
	w->stop = true;
	pthread_join(w->thread, NULL);
	return w->longest;
}

struct storm {
	struct crowd crowd;
	struct host host;
	long resets_sent;
};

static void storm_open(struct storm *s, enum kind kind, int n, int unread)
{
	s->host = (struct host){ .kind = kind };
	crowd_namespace();
	crowd_open(&s->crowd, kind, n, unread);
	s->resets_sent = tcp_counter("OutRsts");
}

static void storm_close(struct storm *s)
{
	crowd_close(&s->crowd);
	wait_for(counter("watching") == 0, 400000);
	counters_add_up();
}

static void all_reset_once(struct storm *s)
{
	int n = s->crowd.n;
	char byte;

	wait_for(counter("resets") >= (unsigned long)n, 300000);
	sleep_ms(100);
	expect_counter("resets", n);
	expect_counter("watching", 0);
	assert_int_equal(crowd_in_state(&s->crowd, TCP_CLOSE), n);
	assert_int_equal(tcp_counter("OutRsts") - s->resets_sent, n);
	for (int i = 0; i < n; i++) {
		assert_int_equal(recv(s->crowd.client[i], &byte, 1,
				      MSG_DONTWAIT), 0);
		assert_int_equal(send(s->crowd.client[i], &byte, 1,
				      MSG_DONTWAIT | MSG_NOSIGNAL), -1);
	}
}

/* A kernel that checks locks keeps a name and a class in each timer and work
 * item, and KASAN room around each watch: no size of HALFRST's.  Nor is the lock
 * of PREEMPT_RT, 32 bytes with those who wait for it.
 */
static void watches_are_small(int n)
{
	long lock = preempt_rt() ? 32 : 0;
	long watches = slab_bytes("halfrst_watch"), table = table_bytes(n);
	long one = number_in("/sys/kernel/slab/halfrst_watch/object_size");

	printf("# %d watches: %ld bytes each, %ld in all, %ld one of them\n",
	       n, (watches + table) / n, watches + table, one);
	assert_true(watches > 0);
	if (!checks_locks()) {
		assert_true((watches + table) / n <= BYTES_A_WATCH + lock);
		assert_in_range(one, 1, BYTES_OF_ONE + lock);
	}
}

/* The same storm with and without the rule */
static void idle(void **state)
{
	struct storm s;
	struct waiter w;
	int64_t start, without, with;

	(void)state;
	storm_open(&s, IPV4, large(), 0);
	waiter_start(&w);
	crowd_server_dies(&s.crowd);
	sleep_ms(200);
	without = waiter_stop(&w);
	wait_for(crowd_in_state(&s.crowd, TCP_CLOSE_WAIT) == s.crowd.n, 300000);
	crowd_close(&s.crowd);

	storm_open(&s, IPV4, large(), 0);
	rule(&s.host, ON_FIN);
	waiter_start(&w);
	start = now_us();
	crowd_server_dies(&s.crowd);
	wait_for(counter("resets") >= (unsigned long)s.crowd.n, 300000);
	printf("# %d connections reset within %lld ms\n", s.crowd.n,
	       (long long)(now_us() - start) / 1000);
	with = waiter_stop(&w);
	printf("# longest wait for the CPU: %lld us, without a rule %lld us\n",
	       (long long)with, (long long)without);
	all_reset_once(&s);
	storm_close(&s);
	/* a scheduler's slice, not a storm's length */
	assert_true(with < without + 10000);
}

static void idle_mapped(void **state)
{
	struct storm s;

	(void)state;
	storm_open(&s, MAPPED, usual(), 0);
	rule(&s.host, ON_FIN);
	crowd_server_dies(&s.crowd);
	all_reset_once(&s);
	storm_close(&s);
}

static void unread(void **state)
{
	char buffer[UNREAD];
	struct storm s;

	(void)state;
	storm_open(&s, IPV4, usual(), UNREAD);
	/* On that kernel this takes longer than the 60 s that TCP waits for the
	 * other FIN.  A server whose ACK came while it was in close() then sends
	 * a RST: tcp_keepalive_timer().
	 */
	if (kmemleak())
		set("/proc/sys/net/ipv4/tcp_fin_timeout", "600");
	rule(&s.host, ON_FIN);
	crowd_server_dies(&s.crowd);
	wait_for(counter("watching") == (unsigned long)s.crowd.n, 300000);
	/* one whose ACK was lost could come, and be answered, after the reset */
	wait_for(!crowd_repeats_fin(), 300000);
	sleep_ms(5000);
	expect_counter("resets", 0);
	expect_counter("watching", s.crowd.n);
	watches_are_small(s.crowd.n);
	for (int i = 0; i < s.crowd.n; i++)
		assert_int_equal(recv(s.crowd.client[i], buffer, UNREAD,
				      MSG_DONTWAIT), UNREAD);
	all_reset_once(&s);
	storm_close(&s);
}

static void grace(void **state)
{
	int64_t start;
	struct storm s;

	(void)state;
	storm_open(&s, IPV4, usual(), 0);
	rule(&s.host, ON_FIN "--grace 30s");
	start = now_us();
	crowd_server_dies(&s.crowd);
	wait_for(counter("watching") == (unsigned long)s.crowd.n, 20000);
	expect_counter("resets", 0);
	watches_are_small(s.crowd.n);
	all_reset_once(&s);
	assert_true(now_us() - start > 30000000);
	storm_close(&s);
}

/* The limit holds, and whom it leaves out is as without the module */
static void max_watches(void **state)
{
	struct storm s;

	(void)state;
	storm_open(&s, IPV4, 1000, 0);
	rule(&s.host, ON_FIN "--grace 30s");
	set(MAX_WATCHES, "600");
	crowd_server_dies(&s.crowd);
	wait_for(crowd_in_state(&s.crowd, TCP_CLOSE_WAIT) == 1000, 20000);
	/* one that is said again would be let in later */
	wait_for(!crowd_repeats_fin(), 20000);
	set(MAX_WATCHES, MAX_WATCHES_DEFAULT);
	expect_counter("watching", 600);
	assert_in_range(counter("full"), 400, counter("fins") - 600);
	wait_for(counter("resets") == 600, 60000);
	assert_int_equal(crowd_in_state(&s.crowd, TCP_CLOSE), 600);
	assert_int_equal(crowd_in_state(&s.crowd, TCP_CLOSE_WAIT), 400);
	storm_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle),
		cmocka_unit_test(idle_mapped),
		cmocka_unit_test(unread),
		cmocka_unit_test(grace),
		cmocka_unit_test(max_watches),
	};

	set("/proc/sys/fs/file-max", "1000000");
	/* The crowd's two ends share a machine: what a server in its own place
	 * would not notice must not turn FINs into RSTs, or drop them.
	 */
	set("/proc/sys/net/ipv4/tcp_max_orphans", "1000000");
	set("/proc/sys/net/core/netdev_max_backlog", "100000");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
