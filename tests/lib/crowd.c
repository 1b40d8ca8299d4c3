// SPDX-License-Identifier: GPL-2.0-only
/* Many connections over loopback; crowd.h has the drawing. */

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu.h"
#include "crowd.h"
#include "kernel.h"

#define PORT		8080
#define EACH_ADDRESS	10000	/* connections, of 28232 ephemeral ports */

static void loopback_up(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo))
		peer_fail(NULL, "lo: %s", strerror(errno));
	close(fd);
}

/* Where there are two CPUs, either receives segments (RPS), not only the one
 * that sends them: else nothing would ever happen to a socket at once.  The
 * sysfs that everybody sees has another namespace's lo.  Until 6.10 RPS raises
 * NET_RX on the other CPU by a function call, which a kernel with PREEMPT_RT finds
 * worth a warning.
 */
static void received_anywhere(void)
{
	static const char sys[] = "/run/sys-of-namespace";
	static const char path[] =
		"/run/sys-of-namespace/class/net/lo/queues/rx-0/rps_cpus";

	if (!two_cpus() || (preempt_rt() && kernel_before(6, 10)))
		return;
	mkdir(sys, 0700);
	if (mount("halfrst", sys, "sysfs", 0, NULL))
		peer_fail(NULL, "sysfs: %s", strerror(errno));
	if (!access(path, F_OK))
		set(path, "3");
	if (umount(sys))
		peer_fail(NULL, "sysfs: %s", strerror(errno));
}

void crowd_namespace(void)
{
	signal(SIGPIPE, SIG_IGN);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	if (unshare(CLONE_NEWNET))
		peer_fail(NULL, "unshare: %s", strerror(errno));
	loopback_up();
	received_anywhere();
	set("/proc/sys/net/core/somaxconn", "65535");
	set("/proc/sys/net/ipv4/tcp_max_syn_backlog", "65535");
	/* a server that has forgotten its sockets answers with RSTs */
	set("/proc/sys/net/ipv4/tcp_max_tw_buckets", "1000000");
}

static void many_files(void)
{
	struct rlimit r = { 1 << 20, 1 << 20 };

	if (setrlimit(RLIMIT_NOFILE, &r))
		peer_fail(NULL, "RLIMIT_NOFILE: %s", strerror(errno));
}

static int stream_socket(enum kind kind)
{
	int fd = socket(kind == IPV4 ? AF_INET : AF_INET6,
			SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		peer_fail(NULL, "socket: %s", strerror(errno));
	return fd;
}

static int listener(enum kind kind)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(kind, &a, "0.0.0.0", "::", PORT);
	int fd = stream_socket(kind), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, len) || listen(fd, 65535))
		peer_fail(NULL, "port %u: %s", PORT, strerror(errno));
	return fd;
}

/* The server process: says 'r' when all are accepted, then waits to die.  Each
 * client has sent a byte: one that has not is no idle connection.
 */
static void serve(int lfd, int n, int unread, int ready)
{
	char *data = calloc(1, unread + 1), byte;

	for (int i = 0; i < n; i++) {
		int fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0 || recv(fd, &byte, 1, 0) != 1 ||
		    (unread && send(fd, data, unread, 0) != unread)) {
			perror("# server");
			_exit(1);
		}
	}
	if (write(ready, "r", 1) == 1)
		for (;;)
			pause();
	_exit(1);
}

/* Enough addresses that the ephemeral ports suffice */
static int dial(enum kind kind, int number)
{
	struct sockaddr_storage a;
	char ipv4[32];
	socklen_t len;
	int fd = stream_socket(kind);

	snprintf(ipv4, sizeof(ipv4), "127.0.0.%d", 1 + number / EACH_ADDRESS);
	len = host_address(kind, &a, ipv4, "::1",
			   PORT);
	if (connect(fd, (struct sockaddr *)&a, len) ||
	    send(fd, "b", 1, MSG_NOSIGNAL) != 1)
		peer_fail(NULL, "connect %d: %s", number, strerror(errno));
	return fd;
}

void crowd_open(struct crowd *c, enum kind kind, int n, int unread)
{
	int ready[2], lfd;
	char r;

	many_files();
	c->kind = kind;
	c->n = n;
	c->client = calloc(n, sizeof(*c->client));
	if (!c->client || pipe2(ready, O_CLOEXEC))
		peer_fail(NULL, "crowd: %s", strerror(errno));
	lfd = listener(kind);
	fflush(NULL);
	c->server = fork();
	if (c->server < 0)
		peer_fail(NULL, "fork: %s", strerror(errno));
	if (!c->server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		serve(lfd, n, unread, ready[1]);
	}
	close(lfd);
	close(ready[1]);
	for (int i = 0; i < n; i++)
		c->client[i] = dial(kind, i);
	if (read(ready[0], &r, 1) != 1)
		peer_fail(NULL, "the server did not accept all connections");
	close(ready[0]);
}

void crowd_server_dies(struct crowd *c)
{
	kill(c->server, SIGKILL);
	if (waitpid(c->server, NULL, 0) != c->server)
		peer_fail(NULL, "waitpid: %s", strerror(errno));
	c->server = 0;
}

void crowd_close(struct crowd *c)
{
	if (c->server)
		crowd_server_dies(c);
	for (int i = 0; i < c->n; i++)
		if (c->client[i] >= 0)
			close(c->client[i]);
	free(c->client);
	c->client = NULL;
	c->n = 0;
}

bool crowd_repeats_fin(void)
{
	return !run_status("ss -Htno state fin-wait-1 | grep -Eq 'timer:.(on|persist)'");
}

int crowd_in_state(const struct crowd *c, int state)
{
	int n = 0;

	for (int i = 0; i < c->n; i++)
		n += socket_state(c->client[i]) == state;
	return n;
}
