// SPDX-License-Identifier: GPL-2.0-only
/* lab: --smp 2 --limit 3600
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
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crowd.h"
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
		slot[i].client = slot[i].server = -1;
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

	if (wait_until(same(now = held(), before), 20000))
		return;
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
	wait_for(referred_to(0), 5000);
	run("rmmod xt_HALFRST");
	assert_true(unloaded());
	assert_int_equal(slab_objects("halfrst_watch"), 0);
}

struct cycle {
	struct host host;
	struct held before;
	int home;			/* the namespace to come back to */
	pid_t traffic;
};

/* A rule and traffic on it, for a random while */
static void begin(struct cycle *y)
{
	uint32_t dice = chance(&seed);
	enum kind kind = dice % 3;

	*y = (struct cycle){ .host = { .kind = kind, .nft = dice >> 4 & 1 } };
	y->before = held();
	y->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	crowd_namespace();
	rule(&y->host, ON_FIN "%s", options[(dice >> 8) %
					    (sizeof(options) / sizeof(*options))]);
	assert_true(referred_to(1));
	y->traffic = start(kind);
	sleep_ms(1 + (dice >> 16) % 60);
}

static void end(struct cycle *y)
{
	setns(y->home, CLONE_NEWNET);
	close(y->home);
	nothing_left(y->before);
	if (!unloaded())
		wait_for(referred_to(0), 5000);
}

/* After the traffic's death no socket is left to be watched */
static void watches_end(void)
{
	wait_for(counter("watching") == 0, 20000);
	counters_add_up();
}

#define CYCLES(y)							\
	for (int i_ = how_often(20, 500); i_ > 0 && (begin(&(y)), 1);	\
	     end(&(y)), i_--)

static void stays(void)
{
	if (!built_in())
		return;
	print_message("# HALFRST is built in and cannot be unloaded\n");
	skip();
}

static void module_goes(void **state)
{
	struct cycle y;

	(void)state;
	stays();
	CYCLES(y) {
		rule(&y.host, "-t mangle -F");
		unload();
		sleep_ms(5);
		stop(y.traffic);
	}
}

/* The sockets outlive the module, and work on */
static void module_goes_sockets_stay(void **state)
{
	struct cycle y;
	struct crowd c;

	(void)state;
	stays();
	CYCLES(y) {
		stop(y.traffic);
		rule(&y.host, "-t mangle -F");
		rule(&y.host, ON_FIN "--grace 1h");
		crowd_open(&c, y.host.kind, 20, 0);
		crowd_server_dies(&c);
		wait_for(crowd_in_state(&c, TCP_CLOSE_WAIT) == 20, 5000);
		assert_true(counter("watching") >= 20);
		rule(&y.host, "-t mangle -F");
		unload();
		assert_int_equal(crowd_in_state(&c, TCP_CLOSE_WAIT), 20);
		crowd_close(&c);
	}
}

static void rule_is_deleted(void **state)
{
	struct cycle y;

	(void)state;
	CYCLES(y) {
		rule(&y.host, "-t mangle -D INPUT 1");
		wait_for(referred_to(0), 5000);
		stop(y.traffic);
		watches_end();
	}
}

static void table_is_flushed(void **state)
{
	struct cycle y;

	(void)state;
	CYCLES(y) {
		rule(&y.host, "-t mangle -F");
		sleep_ms(chance(&seed) % 10);
		rule(&y.host, ON_FIN "--grace 50ms");
		stop(y.traffic);
		watches_end();
		rule(&y.host, "-t mangle -F");
	}
}

static void table_is_replaced(void **state)
{
	struct cycle y;

	(void)state;
	CYCLES(y) {
		for (int i = 0; i < 3; i++) {
			run("printf '*mangle\\n"
			    "-A INPUT -p tcp -j HALFRST --grace %ums\\n"
			    "-A INPUT -p tcp -j HALFRST\\nCOMMIT\\n' | %s-restore",
			    1 + chance(&seed) % 1000, front_end(&y.host));
			wait_for(referred_to(2), 5000);
		}
		stop(y.traffic);
		watches_end();
		rule(&y.host, "-t mangle -F");
	}
}

/* The namespace goes with its last process and its last socket */
static void namespace_goes(void **state)
{
	struct cycle y;

	(void)state;
	CYCLES(y) {
		setns(y.home, CLONE_NEWNET);
		stop(y.traffic);
	}
}

/* Nobody is in the namespace any more, but its sockets are still open */
static void namespace_goes_sockets_stay(void **state)
{
	struct cycle y;
	struct crowd c;

	(void)state;
	CYCLES(y) {
		stop(y.traffic);
		crowd_open(&c, y.host.kind, 20, chance(&seed) % 2);
		setns(y.home, CLONE_NEWNET);
		crowd_server_dies(&c);
		sleep_ms(chance(&seed) % 30);
		assert_true(slab_objects("net_namespace") >
			    y.before.namespaces);
		crowd_close(&c);
	}
}

static void process_is_killed(void **state)
{
	struct cycle y;

	(void)state;
	CYCLES(y) {
		stop(y.traffic);
		watches_end();
		assert_true(referred_to(1));
	}
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
