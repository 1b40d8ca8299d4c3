// SPDX-License-Identifier: GPL-2.0-only
/* lab: --smp 2
 *
 * Copies of one FIN, each received by a CPU of its own: one connection has
 * ended, and once.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "cpu.h"
#include "dice.h"
#include "fin.h"
#include "rules.h"

#define AT_ONCE	200		/* connections, of which a host has 512 */

struct copier {
	pthread_t thread;
	const struct host *h;
	const struct conn *c;	/* AT_ONCE of them */
	int cpu;
	struct race *race;
};

struct race {
	atomic_int arrived;	/* 2 for each connection that has begun */
	struct copier copier[2];
};

static void *copy(void *arg)
{
	struct copier *me = arg;

	on_cpu(me->cpu);
	for (int i = 0; i < AT_ONCE; i++) {
		atomic_fetch_add(&me->race->arrived, 1);
		while (atomic_load(&me->race->arrived) < 2 * (i + 1))
			;
		fin_send(me->h, &me->c[i], &(struct fin){ .at = 1 });
	}
	return NULL;
}

static void one_round(struct host *h, unsigned long done)
{
	static struct conn c[AT_ONCE];
	struct race race = { 0 };

	for (int i = 0; i < AT_ONCE; i++)
		client(&c[i], h, 0);
	for (int i = 0; i < 2; i++) {
		race.copier[i] = (struct copier){
			.h = h, .c = c, .cpu = i, .race = &race,
		};
		assert_int_equal(pthread_create(&race.copier[i].thread, NULL,
						copy, &race.copier[i]), 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(race.copier[i].thread, NULL);
	done *= AT_ONCE;
	expect_counter("fins", 2 * (done + AT_ONCE));
	expect_counter("watching", AT_ONCE);
	expect_counter("repeated", done + AT_ONCE);
	expect_counter("closed", done);
	fuzz_drain(h);
	for (int i = 0; i < AT_ONCE; i++)
		host_abort(h, c[i].fd);
	fuzz_drain(h);
	wait_for(counter("watching") == 0, 60000);
}

static void copies(void **state)
{
	struct host *h = *state;
	int rounds = how_often(3, 100);

	needs_two_cpus();
	rule(h, ON_FIN "--grace 1m");
	for (int i = 0; i < rounds; i++)
		one_round(h, i);
}

struct flood {
	pthread_t thread;
	const struct host *h;
	const struct conn *c;
	int cpu;
	atomic_bool *over;
};

static void *flood(void *arg)
{
	const struct flood *me = arg;

	on_cpu(me->cpu);
	while (!atomic_load(me->over))
		fin_send(me->h, me->c, &(struct fin){ .at = 1 });
	return NULL;
}

/* Copies keep coming on both CPUs while a timer's look is the last one.  Each
 * of them has the timer come again, which a watch that has ended must not see.
 */
static void last_look(void **state)
{
	int rounds = how_often(100, 3000);
	struct host *h = *state;

	needs_two_cpus();
	rule(h, ON_FIN "--grace 12ms");
	for (int i = 0; i < rounds; i++) {
		atomic_bool over = false;
		struct flood floods[2];
		struct conn c;

		client(&c, h, 0);
		for (int cpu = 0; cpu < 2; cpu++) {
			floods[cpu] = (struct flood){
				.h = h, .c = &c, .cpu = cpu, .over = &over,
			};
			assert_int_equal(pthread_create(&floods[cpu].thread,
							NULL, flood,
							&floods[cpu]), 0);
		}
		wait_for(app_state(&c) == TCP_CLOSE, 60000);
		atomic_store(&over, true);
		for (int cpu = 0; cpu < 2; cpu++)
			pthread_join(floods[cpu].thread, NULL);
		host_close(h, c.fd);
		fuzz_drain(h);
		wait_for(counter("watching") == 0, 60000);
	}
	counters_add_up();
	expect_counter("resets", rounds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(copies),
		ON_ALL(last_look),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
