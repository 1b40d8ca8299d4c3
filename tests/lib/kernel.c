// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel tells of itself; kernel.h has the list. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "kernel.h"
#include "snmp.h"

long number_in(const char *path)
{
	FILE *f = fopen(path, "re");
	long value = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%ld", &value) != 1)
		value = -1;
	fclose(f);
	return value;
}

bool preempt_rt(void)
{
	struct utsname u;

	return !uname(&u) && strstr(u.version, "PREEMPT_RT");
}

bool checks_locks(void)
{
	return !access("/proc/lockdep_stats", F_OK);
}

bool checks_races(void)
{
	return !access("/sys/kernel/debug/kcsan", F_OK);
}

bool kernel_before(unsigned int major, unsigned int minor)
{
	unsigned int is_major, is_minor;
	struct utsname u;

	return !uname(&u) &&
	       sscanf(u.release, "%u.%u", &is_major, &is_minor) == 2 &&
	       (is_major < major || (is_major == major && is_minor < minor));
}

/* A kernel without xtables has the core in the helpers' module */
const char *core_file(const char *name)
{
	static char path[64];
	const char *module = "xt_HALFRST";

	if (access("/sys/module/xt_HALFRST", F_OK))
		module = "nf_conntrack_halfrst";
	snprintf(path, sizeof(path), "/sys/module/%s/%s", module, name);
	return path;
}

bool built_in(void)
{
	return !access(core_file(""), F_OK) &&
	       access(core_file("refcnt"), F_OK);
}

bool referred_to(long n)
{
	return built_in() || number_in(core_file("refcnt")) == n;
}

static long slab_number(const char *cache, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/%s", cache, name);
	return number_in(path);
}

static bool slab_flush(const char *cache)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", cache);
	if (access(path, W_OK))
		return false;
	set(path, "1");
	return true;
}

long slab_objects(const char *cache)
{
	return slab_flush(cache) ? slab_number(cache, "objects") : 0;
}

long slab_bytes(const char *cache)
{
	if (!slab_flush(cache))
		return 0;
	return slab_number(cache, "slabs") *
	       (sysconf(_SC_PAGESIZE) << slab_number(cache, "order"));
}

struct opening {
	char path[64];
	int fd;
};

static int open_by_child(void *arg)
{
	struct opening *opening = arg;

	opening->fd = open(opening->path, O_RDONLY | O_CLOEXEC);
	return 0;
}

/* What a process has seen below /proc/self/net, kernels before 5.10 show it after
 * setns(), too.  A child has a folder of its own: it opens the file for us.
 */
FILE *open_net(const char *name)
{
	struct opening opening = { .fd = -1 };
	char stack[16384] __attribute__((aligned(16)));
	pid_t child;

	snprintf(opening.path, sizeof(opening.path), "/proc/self/net/%s", name);
	child = clone(open_by_child, stack + sizeof(stack),
		      CLONE_VM | CLONE_FILES | CLONE_VFORK | SIGCHLD, &opening);
	if (child < 0)
		peer_fail(NULL, "clone: %s", strerror(errno));
	waitpid(child, NULL, 0);
	return opening.fd < 0 ? NULL : fdopen(opening.fd, "r");
}

long tcp_counter(const char *name)
{
	FILE *f = open_net("snmp");
	long value;

	if (!f)
		peer_fail(NULL, "/proc/net/snmp: %s", strerror(errno));
	value = snmp_tcp(f, name);
	if (value < 0)
		peer_fail(NULL, "/proc/net/snmp has no Tcp %s", name);
	return value;
}

struct tcp_info socket_info(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		peer_fail(NULL, "TCP_INFO: %s", strerror(errno));
	return info;
}

int socket_state(int fd)
{
	return socket_info(fd).tcpi_state;
}
