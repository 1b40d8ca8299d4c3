// SPDX-License-Identifier: GPL-2.0-only
/* lab: --smp 2 --append kcsan.skip_watch=500
 *
 * Go at any time: the rule, the namespace, the process or the module goes at
 * a random moment under traffic, and nothing is left behind: no socket, no
 * watch, no namespace, no reference on the module.
 *
 * The traffic is a process with both ends of up to SLOTS connections over
 * loopback that does random things to them until it is killed.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crowd.h"
#include "dice.h"
#include "kernel.h"
#include "rules.h"

#define SLOTS		48
#define PORT		8080
#define MODULE		"/sys/module/xt_HALFRST"

static uint32_t seed;

static const char *const options[] = {
	"", "--grace 1h", "--grace 20ms", "--deadline 30ms",
	"--grace 1s --deadline 2s", "--uid-owner 0", "--dry-run",
};

struct slot {
	int client, server;
};

static void discard(int fd)
{
	char buffer[4096];

	while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
		;
}

static void hang_up(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void act(struct slot *s, int lfd, const struct sockaddr_storage *a,
		socklen_t len, uint32_t dice)
{
	static const char data[3000];

	if (s->client < 0 && s->server < 0) {
		s->client = socket(a->ss_family, SOCK_STREAM, 0);
		if (s->client < 0 ||
		    connect(s->client, (struct sockaddr *)a, len))
			_exit(1);
		s->server = accept(lfd, NULL, NULL);
		return;
	}
	switch (dice % 8) {
	case 0:
	case 1:
		hang_up(&s->server);
		break;
	case 2:
		hang_up(&s->client);
		break;
	case 3:
		shutdown(s->server, SHUT_WR);
		break;
	case 4:
		shutdown(s->client, SHUT_WR);
		break;
	case 5:
		send(s->server, data, dice % sizeof(data),
		     MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 6:
		send(s->client, data, dice % sizeof(data),
		     MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 7:
		discard(s->client);
		discard(s->server);
		break;
	}
}

static void __attribute__((noreturn)) traffic(enum kind kind, uint32_t dice)
{
	struct slot slot[SLOTS];
	struct sockaddr_storage a;
	socklen_t len = host_address(kind, &a, "127.0.0.1", "::1", PORT);
	int one = 1, lfd = socket(a.ss_family, SOCK_STREAM, 0);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setsockopt(lfd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(lfd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(lfd, (struct sockaddr *)&a, len) || listen(lfd, SLOTS))
		_exit(1);
	for (int i = 0; i < SLOTS; i++)
		slot[i] = (struct slot){ .client = -1, .server = -1 };
	for (;;) {
		chance(&dice);
		act(&slot[dice % SLOTS], lfd, &a, len, dice / SLOTS);
	}
}

static pid_t start(enum kind kind)
{
	uint32_t dice = chance(&seed);
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		peer_fail(NULL, "fork: %s", strerror(errno));
	if (!pid)
		traffic(kind, dice);
	return pid;
}

/* It must have been at work until now */
static void stop(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		peer_fail(NULL, "the traffic had ended by itself");
}

/* What must be as before in the end */
struct held {
	long tcp, tcp6, namespaces;
};

static struct held held(void)
{
	return (struct held){ slab_objects("TCP"), slab_objects("TCPv6"),
			      slab_objects("net_namespace") };
}

static bool same(struct held a, struct held b)
{
	return a.tcp <= b.tcp && a.tcp6 <= b.tcp6 &&
	       a.namespaces <= b.namespaces;
}

static void nothing_left(struct held before)
{
	struct held now;

	if (wait_until(same(held(), before), 20000))
		return;
	now = held();
	peer_fail(NULL, "left behind: %ld TCP, %ld TCPv6, %ld namespaces",
		  now.tcp - before.tcp, now.tcp6 - before.tcp6,
		  now.namespaces - before.namespaces);
}

static bool unloaded(void)
{
	return access(MODULE, F_OK) != 0;
}

/* nft's rules are freed, and let go of the module, a little later */
static void unload(void)
{
	wait_for(referred_to(0), 60000);
	if (syscall(SYS_delete_module, "xt_HALFRST", O_NONBLOCK))
		peer_fail(NULL, "rmmod: %s", strerror(errno));
	assert_true(unloaded());
	assert_int_equal(slab_objects("halfrst_watch"), 0);
}

/* A namespace, what changes its rules, and what is on its way there */
struct place {
	struct host host;
	int home;			/* the namespace to come back to */
	FILE *rules;			/* to a process that changes them */
	pid_t restore;
	pid_t traffic;
};

static void enter_new(struct place *p)
{
	uint32_t dice = chance(&seed);

	*p = (struct place){ .host = { .kind = dice % 3,
				       .nft = dice >> 4 & 1 } };
	p->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	crowd_namespace();
}

static void go_home(struct place *p)
{
	setns(p->home, CLONE_NEWNET);
	close(p->home);
}

/* One iptables-restore for all changes: to start a program takes a second on a
 * kernel that looks for mistakes.
 */
static void rules_open(struct place *p, const char *option)
{
	char command[64];
	int end[2];

	snprintf(command, sizeof(command), "%s-restore", front_end(&p->host));
	if (pipe2(end, O_CLOEXEC))
		peer_fail(NULL, "pipe: %s", strerror(errno));
	fflush(NULL);
	p->restore = fork();
	if (!p->restore) {
		dup2(end[0], 0);
		execlp(command, command, option, NULL);
		_exit(127);
	}
	close(end[0]);
	p->rules = fdopen(end[1], "w");
}

/* It has read everything, and waits for more */
static bool has_changed(const struct place *p)
{
	char path[64];
	int left, n = 0;
	long nr, fd;
	FILE *f;

	if (ioctl(fileno(p->rules), FIONREAD, &left) || left)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/syscall", p->restore);
	f = fopen(path, "re");
	if (f) {
		n = fscanf(f, "%ld %lx", &nr, &fd);
		fclose(f);
	}
	return n == 2 && nr == SYS_read && fd == 0;
}

static void change(struct place *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void change(struct place *p, const char *format, ...)
{
	va_list args;

	fputs("*mangle\n", p->rules);
	va_start(args, format);
	vfprintf(p->rules, format, args);
	va_end(args);
	fputs("\nCOMMIT\n", p->rules);
	if (fflush(p->rules))
		peer_fail(NULL, "iptables-restore has ended");
	wait_for(has_changed(p), 30000);
}

static void rules_close(struct place *p)
{
	int status;

	fclose(p->rules);
	if (waitpid(p->restore, &status, 0) != p->restore || status)
		peer_fail(NULL, "iptables-restore failed");
}

#define APPEND	"-A INPUT -p tcp --tcp-flags FIN FIN -j HALFRST "

static const char *any_options(void)
{
	return options[chance(&seed) % (sizeof(options) / sizeof(*options))];
}

static void traffic_starts(struct place *p)
{
	p->traffic = start(p->host.kind);
	sleep_ms(1 + chance(&seed) % 60);
}

static void traffic_stops(struct place *p)
{
	stop(p->traffic);
	p->traffic = 0;
}

/* After the traffic's death no socket is left to be watched */
static void watches_end(void)
{
	wait_for(counter("watching") == 0, 20000);
	counters_add_up();
}

/* Again and again a rule, traffic on it and, after a random while, @leave */
static void rounds(void (*leave)(struct place *p), const char *restore)
{
	for (int i = how_often(4, 20); i > 0; i--) {
		struct place p;
		struct held before = held();

		enter_new(&p);
		rules_open(&p, restore);
		for (int j = how_often(5, 25); j > 0; j--) {
			struct held inside = held();

			change(&p, APPEND "%s", any_options());
			assert_true(referred_to(1));
			traffic_starts(&p);
			leave(&p);
			if (p.traffic)
				traffic_stops(&p);
			if (!unloaded()) {
				watches_end();
				change(&p, "-F INPUT");
				wait_for(referred_to(0), 60000);
			}
			nothing_left(inside);
		}
		rules_close(&p);
		go_home(&p);
		nothing_left(before);
	}
}

static void stays(void)
{
	if (!built_in())
		return;
	print_message("# HALFRST is built in and cannot be unloaded\n");
	skip();
}

static void unload_under_traffic(struct place *p)
{
	change(p, "-F INPUT");
	unload();
	sleep_ms(5);
}

static void module_goes(void **state)
{
	(void)state;
	stays();
	rounds(unload_under_traffic, "--noflush");
}

/* The sockets outlive the module, and work on */
static void unload_under_sockets(struct place *p)
{
	struct crowd c;

	traffic_stops(p);
	change(p, "-F INPUT");
	wait_for(referred_to(0), 60000);
	change(p, APPEND "--grace 1h");
	assert_true(referred_to(1));
	crowd_open(&c, p->host.kind, 20, 0);
	crowd_server_dies(&c);
	wait_for(crowd_in_state(&c, TCP_CLOSE_WAIT) == 20, 60000);
	/* the look comes behind TCP, on another CPU */
	wait_for(counter("watching") >= 20, 60000);
	change(p, "-F INPUT");
	unload();
	assert_int_equal(crowd_in_state(&c, TCP_CLOSE_WAIT), 20);
	crowd_close(&c);
}

static void module_goes_sockets_stay(void **state)
{
	(void)state;
	stays();
	rounds(unload_under_sockets, "--noflush");
}

static void delete_rule(struct place *p)
{
	change(p, "-D INPUT 1");
	wait_for(referred_to(0), 60000);
}

static void rule_is_deleted(void **state)
{
	(void)state;
	rounds(delete_rule, "--noflush");
}

static void flush_table(struct place *p)
{
	change(p, "-F");
	sleep_ms(chance(&seed) % 10);
	change(p, APPEND "--grace 50ms");
}

static void table_is_flushed(void **state)
{
	(void)state;
	rounds(flush_table, "--noflush");
}

/* Each change is a new table, of other rules */
static void replace_table(struct place *p)
{
	for (int i = 0; i < 3; i++) {
		change(p, APPEND "--grace %ums\n" APPEND,
		       1 + chance(&seed) % 1000);
		wait_for(referred_to(2), 60000);
	}
}

static void table_is_replaced(void **state)
{
	(void)state;
	rounds(replace_table, "--counters");
}

static void kill_process(struct place *p)
{
	traffic_stops(p);
	watches_end();
	assert_true(referred_to(1));
}

static void process_is_killed(void **state)
{
	(void)state;
	rounds(kill_process, "--noflush");
}

/* The namespace goes with its last process and its last socket: with traffic,
 * or with sockets that are still open when nobody is in there any more.
 */
static void namespaces(bool sockets_stay)
{
	for (int i = how_often(20, 500); i > 0; i--) {
		struct held before = held();
		struct crowd c;
		struct place p;

		enter_new(&p);
		rule(&p.host, ON_FIN "%s", any_options());
		assert_true(referred_to(1));
		traffic_starts(&p);
		if (sockets_stay) {
			traffic_stops(&p);
			crowd_open(&c, p.host.kind, 20, chance(&seed) % 2);
			go_home(&p);
			crowd_server_dies(&c);
			sleep_ms(chance(&seed) % 30);
			assert_true(slab_objects("net_namespace") >
				    before.namespaces);
			crowd_close(&c);
		} else {
			go_home(&p);
			traffic_stops(&p);
		}
		nothing_left(before);
		wait_for(referred_to(0), 60000);
	}
}

static void namespace_goes(void **state)
{
	(void)state;
	namespaces(false);
}

static void namespace_goes_sockets_stay(void **state)
{
	(void)state;
	namespaces(true);
}

/* No namespace is on its way out.  How many there are then is nowhere to be
 * read: KASAN's kernel keeps one of those that are gone.
 */
static void settle(void)
{
	long n;

	do {
		n = slab_objects("net_namespace");
		sleep_ms(1000);
	} while (slab_objects("net_namespace") != n);
}

static int load(void **state)
{
	const char *s = getenv("HALFRST_SEED");

	(void)state;
	seed = s ? strtoul(s, NULL, 0) : 20240;
	printf("# seed %u\n", seed);
	/* Whatever is made once and kept is made before the first count */
	run("modprobe -a xt_HALFRST %s",
	    legacy_present() ? "iptable_mangle ip6table_mangle" : "nft_compat");
	run("unshare -n true");
	settle();
	if (access("/sys/kernel/slab/TCP/objects", R_OK))
		peer_fail(NULL, "this kernel does not count slab objects");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(process_is_killed),
		cmocka_unit_test(rule_is_deleted),
		cmocka_unit_test(table_is_flushed),
		cmocka_unit_test(table_is_replaced),
		cmocka_unit_test(namespace_goes),
		cmocka_unit_test(namespace_goes_sockets_stay),
		cmocka_unit_test(module_goes_sockets_stay),
		cmocka_unit_test(module_goes),
	};

	return cmocka_run_group_tests(tests, load, NULL);
}
