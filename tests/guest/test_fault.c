// SPDX-License-Identifier: GPL-2.0-only
/* lab: --smp 2 --mem 2048
 *
 * Out of memory. Each of the allocations that loading the module needs fails
 * once; loading ends with an error and leaves nothing. While connections are
 * half-closed, some of the allocations that cannot wait fail: every connection
 * ends properly reset or as it would without the module, and nothing leaks.
 * Needs a kernel with fault injection.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crowd.h"
#include "dice.h"
#include "kernel.h"
#include "rules.h"

#define SLAB	"/sys/kernel/debug/failslab"
#define PAGE	"/sys/kernel/debug/fail_page_alloc"
#define CACHE	"/sys/kernel/slab/halfrst_watch"
#define WATCHES	CACHE "/failslab"
#define MODULE	"/sys/module/xt_HALFRST"
#define TRACING	"/sys/kernel/tracing"
#define LEAKS	"/sys/kernel/debug/kmemleak"
#define NTH	"/proc/thread-self/fail-nth"
#define MANY	1000000

/* Only what cannot wait (GFP_ATOMIC) fails: all of the packet path */
static void faults(const char *which, int percent)
{
	char path[128], value[16];

	if (!strcmp(which, PAGE))
		set(PAGE "/min-order", "0");	/* 1 would spare nearly all */
	snprintf(path, sizeof(path), "%s/verbose", which);
	set(path, "0");
	snprintf(path, sizeof(path), "%s/times", which);
	set(path, "-1");
	snprintf(path, sizeof(path), "%s/probability", which);
	snprintf(value, sizeof(value), "%d", percent);
	set(path, value);
}

static void no_faults(void)
{
	faults(SLAB, 0);
	faults(PAGE, 0);
	set(SLAB "/cache-filter", "N");
}

/* From idle connections to their end, with faults in between.  A FIN for which
 * TCP has no memory is never sent, whether there is a rule or not: such
 * clients stay as they are.
 */
static void die_with(enum kind kind, const char *which, int percent, int n)
{
	struct host host = { .kind = kind };
	unsigned long resets, nomem;
	int unsent, waiting, dead;
	long tcp, tcp6;
	struct crowd c;

	no_faults();
	crowd_namespace();
	tcp = slab_objects("TCP");
	tcp6 = slab_objects("TCPv6");
	rule(&host, ON_FIN);
	crowd_open(&c, kind, n, 0);
	faults(which, percent);
	crowd_server_dies(&c);
	/* A FIN or its ACK that was lost is repeated; at 50 % more than once */
	wait_until(!crowd_repeats_fin(), 60000);
	no_faults();
	wait_for(!crowd_repeats_fin(), 200000);
	wait_for(counter("watching") == 0, 130000);
	counters_add_up();
	resets = counter("resets");
	nomem = counter("nomem");
	unsent = crowd_in_state(&c, TCP_ESTABLISHED);
	waiting = crowd_in_state(&c, TCP_CLOSE_WAIT);
	dead = crowd_in_state(&c, TCP_CLOSE);
	printf("# %s %d %%: %d connections, %lu reset, %lu nomem, %d FINs never sent\n",
	       strrchr(which, '/') + 1, percent, n, resets, nomem, unsent);
	/* Whoever is not reset is as without the module: half-closed, or dead
	 * by a RST from where there is no socket any more, because there was
	 * no memory for its TIME_WAIT.
	 */
	assert_int_equal(dead + waiting + unsent, n);
	assert_in_range(dead, resets, resets + nomem + counter("closed"));
	assert_in_range(waiting, 0, nomem);
	for (int i = 0; i < n; i++) {
		ssize_t got;
		char byte;

		got = recv(c.client[i], &byte, 1, MSG_DONTWAIT);
		if (got)
			unsent--;	/* EAGAIN */
	}
	assert_int_equal(unsent, 0);
	/* such servers' ends have no timer and would stay for ever */
	run("ss -HK >/dev/null");
	crowd_close(&c);
	wait_for(slab_objects("TCP") <= tcp, 400000);
	wait_for(slab_objects("TCPv6") <= tcp6, 400000);
	if (percent >= 50 && which[strlen(which) - 1] == 'b')
		assert_true(nomem > 0);
}

/* The calling thread's @nth allocation from now on fails; 0: none.  @fd is its
 * own NTH, open before: to open a file takes allocations as well.
 */
static void fail_nth(int fd, long nth)
{
	char value[16];
	int n = snprintf(value, sizeof(value), "%ld", nth);

	if (pwrite(fd, value, n, 0) != n)
		peer_fail(NULL, NTH ": %s", strerror(errno));
}

/* How many more it would have been; none fails any more */
static long not_failed(int fd)
{
	char value[16] = "";

	if (pread(fd, value, sizeof(value) - 1, 0) <= 0)
		peer_fail(NULL, NTH ": %s", strerror(errno));
	fail_nth(fd, 0);
	return atol(value);
}

/* Allocations that may wait, as well */
static void all_may_fail(bool on)
{
	set(SLAB "/ignore-gfp-wait", on ? "N" : "Y");
	set(PAGE "/ignore-gfp-wait", on ? "N" : "Y");
	set(PAGE "/min-order", on ? "0" : "1");
}

/* Load the module while the @nth allocation fails; returns errno */
static int load(int file, long nth, long *left)
{
	int error, faults = open(NTH, O_RDWR | O_CLOEXEC);

	fail_nth(faults, nth);
	error = syscall(SYS_finit_module, file, "", 0) ? errno : 0;
	*left = not_failed(faults);
	close(faults);
	return error;
}

static void unload(void)
{
	if (syscall(SYS_delete_module, "xt_HALFRST", O_NONBLOCK))
		peer_fail(NULL, "rmmod: %s", strerror(errno));
}

static int module_file(void)
{
	char path[256] = "";
	FILE *f = popen("modinfo -n xt_HALFRST", "r");
	int fd;

	if (!f || !fgets(path, sizeof(path), f) || pclose(f))
		peer_fail(NULL, "modinfo knows no xt_HALFRST");
	path[strcspn(path, "\n")] = '\0';
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		peer_fail(NULL, "%s: %s", path, strerror(errno));
	return fd;
}

/* Has the module's own init function begun, in the last attempt? */
static bool begun(void)
{
	char line[512];
	FILE *f = fopen(TRACING "/trace", "re");
	bool found = false;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		found = found || strstr(line, "module_load: xt_HALFRST");
	fclose(f);
	close(open(TRACING "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC));
	return found;
}

/* What sysfs_slab_add() loses by itself, when it has no memory, is the name of
 * the cache; objects of less than five seconds are not looked at.
 */
static void no_leaks(void)
{
	char line[256], object[256] = "";
	bool known = true;
	FILE *f;

	if (access(LEAKS, F_OK))
		return;
	for (int i = 0; i < 2; i++) {
		sleep_ms(6000);
		set(LEAKS, "scan");
	}
	f = fopen(LEAKS, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "unreferenced", 12)) {
			if (!known)
				break;
			known = false;
			strcpy(object, line);
		}
		known = known || strstr(line, "sysfs_slab_add+");
	}
	fclose(f);
	if (!known)
		peer_fail(NULL, "%s", object);
	set(LEAKS, "clear");
}

/* From the last allocation back to the module's first: before that, the kernel
 * complains of what it cannot have.  There is a second namespace, which is to
 * be rid of the module, too.
 */
static void loading(void **state)
{
	struct host host = { .kind = IPV4 };
	int file, home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int other, error, failed = 0, spared = 0;
	long nth, left;

	(void)state;
	if (!getenv("HALFRST_LONG")) {
		print_message("# takes minutes; --long does it\n");
		skip();
	}
	if (built_in()) {
		print_message("# HALFRST is part of this kernel\n");
		skip();
	}
	no_faults();
	crowd_namespace();
	other = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	setns(home, CLONE_NEWNET);
	file = module_file();
	set(TRACING "/events/module/module_load/enable", "1");
	all_may_fail(true);
	error = load(file, MANY, &left);
	if (error)
		peer_fail(NULL, "loading: %s", strerror(error));
	unload();
	for (nth = MANY - left + 10; nth > 0; nth--) {
		begun();
		error = load(file, nth, &left);
		if (!left && !begun())
			break;
		if (!error) {
			spared++;	/* sysfs and tracefs do without it */
			unload();
			continue;
		}
		failed++;
		assert_int_equal(left, 0);
		assert_int_equal(error, ENOMEM);
		assert_int_not_equal(access(MODULE, F_OK), 0);
		assert_int_not_equal(access(CACHE, F_OK), 0);
		assert_int_not_equal(access("/proc/self/net/xt_halfrst", F_OK),
				     0);
	}
	all_may_fail(false);
	set(TRACING "/events/module/module_load/enable", "0");
	printf("# %d times not loaded, %d times all the same\n", failed,
	       spared);
	assert_in_range(failed, 20, 500);
	no_leaks();
	error = load(file, 0, &left);
	if (error)
		peer_fail(NULL, "loading after all: %s", strerror(error));
	close(file);
	setns(other, CLONE_NEWNET);
	rule(&host, ON_FIN);
	counters_add_up();
	setns(home, CLONE_NEWNET);
	close(other);
	close(home);
}

static int size(void)
{
	return how_often(1000, 10000);
}

#define FAULTS(name, kind, which, percent)		\
static void name(void **state)				\
{							\
	(void)state;					\
	die_with(kind, which, percent, size());		\
}

FAULTS(slab_1, IPV4, SLAB, 1)
FAULTS(slab_10, MAPPED, SLAB, 10)
FAULTS(slab_50, IPV4, SLAB, 50)
FAULTS(slab_50_ipv6, IPV6, SLAB, 50)
FAULTS(page_1, IPV6, PAGE, 1)
FAULTS(page_10, MAPPED, PAGE, 10)
FAULTS(page_50, IPV4, PAGE, 50)

/* From 5.9 to 6.3 only "slub_debug=A,halfrst_watch" sets it */
static bool watches_can_fail(void)
{
	int fd;

	if (number_in(WATCHES) == 1)
		return true;
	fd = open(WATCHES, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (write(fd, "1", 1) != 1)
		peer_fail(NULL, "%s: %s", WATCHES, strerror(errno));
	close(fd);
	return true;
}

/* Only the watches' own memory fails: half of the connections go on.  With a grace,
 * since without one a CPU needs a single watch for all of them.  Where that takes so
 * long that servers say FIN again, a second one has its chance.
 */
static void watches_only(void **state)
{
	struct host host = { .kind = IPV4 };
	unsigned long fins, resets, nomem;
	int n = size(), waiting;
	struct crowd c;

	(void)state;
	no_faults();
	crowd_namespace();
	rule(&host, ON_FIN "--grace 100ms");
	crowd_open(&c, IPV4, n, 0);
	if (!watches_can_fail()) {
		print_message("# %s is 0 and cannot be set\n", WATCHES);
		skip();
	}
	set(SLAB "/cache-filter", "Y");
	faults(SLAB, 50);
	crowd_server_dies(&c);
	wait_for(!crowd_repeats_fin(), 200000);
	no_faults();
	wait_for(counter("watching") == 0, 60000);
	counters_add_up();
	fins = counter("fins");
	resets = counter("resets");
	nomem = counter("nomem");
	waiting = crowd_in_state(&c, TCP_CLOSE_WAIT);
	printf("# watches 50 %%: %d connections, %lu reset, %lu nomem, %lu FINs\n",
	       n, resets, nomem, fins);
	assert_int_equal(crowd_in_state(&c, TCP_CLOSE), resets);
	assert_int_equal(resets + waiting, n);
	assert_in_range(nomem, n / 3, fins * 2 / 3);
	assert_in_range(waiting, fins == (unsigned long)n ? nomem : 0, nomem);
	crowd_close(&c);
	counters_add_up();
}

/* The times that something has failed, of those that were asked for */
static int struck(int asked)
{
	return asked - number_in(SLAB "/times");
}

/* Nothing but what is unread speaks against a reset; once that has been read,
 * there is no memory for one.  Nothing is half done, and with memory all of it.
 */
static void resets_only(void **state)
{
	enum { N = 20, TIMES = 1000000 };
	struct host host = { .kind = IPV6 };
	int64_t start = now_us();
	char bytes[4097];	/* which wait to be read, for ever */
	struct crowd c;
	long sent;

	(void)state;
	no_faults();
	crowd_namespace();
	rule(&host, ON_FIN "--reset-with etimedout");
	crowd_open(&c, IPV6, N, sizeof(bytes));
	crowd_server_dies(&c);
	wait_for(counter("watching") == N, 60000);
	/* A server without memory for its TIME_WAIT would answer with RST */
	wait_for(!crowd_repeats_fin(), 60000);
	sent = tcp_counter("OutRsts");
	faults(SLAB, 100);
	set(SLAB "/times", "1000000");
	for (int i = 0; i < N; i++)
		assert_int_equal(recv(c.client[i], bytes, sizeof(bytes),
				      MSG_DONTWAIT), sizeof(bytes));
	/* the next look comes after an eighth of the FIN's age */
	sleep_ms((now_us() - start) / 1000 / 4 + 200);
	wait_for(struck(TIMES) >= 5 * N, 60000);
	expect_counter("watching", N);
	expect_counter("resets", 0);
	assert_int_equal(crowd_in_state(&c, TCP_CLOSE_WAIT), N);
	assert_int_equal(tcp_counter("OutRsts"), sent);
	no_faults();
	wait_for(counter("resets") == N, 60000);
	assert_int_equal(crowd_in_state(&c, TCP_CLOSE), N);
	assert_int_equal(tcp_counter("OutRsts"), sent + N);
	for (int i = 0; i < N; i++) {
		assert_int_equal(recv(c.client[i], bytes, 1, MSG_DONTWAIT), 0);
		assert_int_equal(send(c.client[i], "x", 1, MSG_NOSIGNAL), -1);
		assert_int_equal(errno, ETIMEDOUT);
	}
	expect_counter("nomem", 0);
	counters_add_up();
	crowd_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loading),
		cmocka_unit_test(slab_1),
		cmocka_unit_test(slab_10),
		cmocka_unit_test(slab_50),
		cmocka_unit_test(slab_50_ipv6),
		cmocka_unit_test(page_1),
		cmocka_unit_test(page_10),
		cmocka_unit_test(page_50),
		cmocka_unit_test(watches_only),
		cmocka_unit_test(resets_only),
	};

	if (access(SLAB, F_OK)) {
		puts("1..0 # SKIP this kernel injects no faults");
		return 0;
	}
	/* TCP would send RST instead of the last of so many unanswered FINs */
	set("/proc/sys/net/ipv4/tcp_max_orphans", "100000");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
