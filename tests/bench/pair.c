// SPDX-License-Identifier: GPL-2.0-only
/* Connections whose two ends are both in this process. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "pair.h"
#include "snmp.h"

#define FAR_SERVERS	0xc6120001	/* 198.18.0.1 */

int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int64_t idle(void)
{
	FILE *f = fopen("/proc/timer_list", "re");
	long long part, sum = 0;
	char line[256];

	if (!f)
		die("/proc/timer_list");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " .idle_sleeptime : %lld", &part) == 1)
			sum += part;
	fclose(f);
	return sum;
}

void die(const char *format, ...)
{
	int error = errno;
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(error));
	exit(1);
}

int pair_listener(uint32_t address, uint16_t port)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(address),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	/* No delayed packets: each write is a segment at once */
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 4096))
		die("listener");
	return fd;
}

void pair_open(struct pair *p, int listener)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	char byte = 'b';
	int one = 1;

	if (getsockname(listener, (struct sockaddr *)&a, &len))
		die("getsockname");
	p->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->client < 0 ||
	    setsockopt(p->client, IPPROTO_TCP, TCP_NODELAY, &one,
		       sizeof(one)) ||
	    connect(p->client, (struct sockaddr *)&a, len))
		die("connect");
	p->server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (p->server < 0)
		die("accept");
	/* one that has carried nothing is no idle connection */
	if (send(p->client, &byte, 1, 0) != 1 ||
	    recv(p->server, &byte, 1, 0) != 1)
		die("the first byte");
}

void netns_enter(const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die("%s", path);
	close(fd);
}

struct pair *pairs_open(int n)
{
	const char *far = getenv("SERVER_NETNS");
	uint32_t address = far ? FAR_SERVERS : INADDR_LOOPBACK + 256;
	struct rlimit files = { 2 * n + 1000, 2 * n + 1000 };
	struct pair *pairs = calloc(n, sizeof(*pairs));
	int listener = -1;

	if (!pairs || setrlimit(RLIMIT_NOFILE, &files))
		die("%d files", 2 * n);
	for (int i = 0; i < n; i++) {
		/* few enough that a free port is soon found */
		if (i % 15000 == 0) {
			close(listener);
			if (far)
				netns_enter(far);
			listener = pair_listener(address + i / 15000, 80);
			if (far)
				netns_enter("alone");
		}
		pair_open(&pairs[i], listener);
	}
	close(listener);
	return pairs;
}

void abortive(int fd)
{
	struct linger l = { .l_onoff = 1 };

	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)))
		die("SO_LINGER");
}

int tcp_state(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		die("TCP_INFO");
	return info.tcpi_state;
}

int64_t tcp_counter(const char *name)
{
	FILE *f = fopen("/proc/net/snmp", "re");
	int64_t value;

	if (!f)
		die("/proc/net/snmp");
	value = snmp_tcp(f, name);
	errno = ENOENT;
	if (value < 0)
		die("Tcp counter %s", name);
	return value;
}

int64_t memory(const char *name)
{
	FILE *f = fopen("/proc/meminfo", "re");
	size_t len = strlen(name);
	char line[256];

	if (!f)
		die("/proc/meminfo");
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, len) || line[len] != ':')
			continue;
		fclose(f);
		return strtoll(line + len + 1, NULL, 10) * 1024;
	}
	errno = ENOENT;
	die("%s", name);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int64_t median(int64_t *values, int n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}
