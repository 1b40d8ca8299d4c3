// SPDX-License-Identifier: GPL-2.0-only
/* The host under test; host.h has the drawing. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "dice.h"
#include "host.h"
#include "kernel.h"
#include "rules.h"

void sleep_ms(int64_t ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

int64_t timer_slack(int64_t us)
{
	const int64_t longest = 60 * 1000000LL;

	return 30000 + (us < longest ? us : longest) / 8;
}

static int run_args(const char *format, va_list args)
{
	char *command;
	int status;

	if (vasprintf(&command, format, args) < 0)
		abort();
	status = system(command);
	if (status)
		fprintf(stderr, "# status %d: %s\n", WEXITSTATUS(status),
			command);
	free(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

int run_status(const char *format, ...)
{
	va_list args;
	int status;

	va_start(args, format);
	status = run_args(format, args);
	va_end(args);
	return status;
}

void run(const char *format, ...)
{
	va_list args;
	int status;

	va_start(args, format);
	status = run_args(format, args);
	va_end(args);
	if (status)
		peer_fail(NULL, "a command failed");
}

void set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) !=
		      (ssize_t)strlen(value))
		peer_fail(NULL, "%s: %s", path, strerror(errno));
	close(fd);
}

/* HALFRST_TESTS="idle *" runs these tests only: for whoever looks for a bug */
__attribute__((constructor)) static void choose_tests(void)
{
	const char *pattern = getenv("HALFRST_TESTS");

	if (pattern)
		cmocka_set_test_filter(pattern);
}

/* The kernel makes an address's own route a little later; until then what
 * comes for it is dropped.
 */
static bool reachable(void)
{
	FILE *f = open_net("ipv6_route");
	bool found = false;
	char line[256];

	while (f && !found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "20010db8000000000000000000000001 80 ",
				 36);
	if (f)
		fclose(f);
	return found;
}

int host_setup(void **state)
{
	struct host *h = calloc(1, sizeof(*h));
	const char *front_end = getenv("HALFRST_IPTABLES");

	h->kind = (enum kind)(uintptr_t)*state;
	h->nft = front_end && !strcmp(front_end, "nft");
	for (int i = 0; i < HOST_SOCKETS; i++)
		h->sockets[i] = -1;
	*state = h;

	/* SIGPIPE is a test's business, never this program's end */
	signal(SIGPIPE, SIG_IGN);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	if (unshare(CLONE_NEWNET))
		peer_fail(NULL, "unshare: %s", strerror(errno));
	h->netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	/* the first user of /dev/net/tun has to load its module */
	if (access("/dev/net/tun", F_OK))
		run("modprobe tun");
	peer_open(&h->peer, h->kind);
	/* one process: on a kernel that looks for mistakes each is dear */
	run("printf 'link set lo up\n"
	    "addr add " APP_IPV4 "/24 dev peer0\n"
	    "link set peer0 mtu %d up\n"
	    "addr add " APP_IPV6 "/64 dev peer0 nodad\n' | ip -batch -",
	    PEER_MTU);
	wait_for(reachable(), 10000);
	return 0;
}

int host_teardown(void **state)
{
	struct host *h = *state;
	bool left_behind;

	host_enter(h);
	counters_add_up();
	for (int i = 0; i < HOST_SOCKETS; i++)
		if (h->sockets[i] >= 0)
			close(h->sockets[i]);
	/* closed sockets are let go of; spoofed FINs expire after 60 s */
	left_behind = counters_present() &&
		      !wait_until(counter("watching") == 0, 400000);
	if (!left_behind)
		counters_add_up();
	peer_close(&h->peer);
	close(h->netns);
	free(h);
	if (left_behind)
		peer_fail(NULL, "sockets are still watched after their end");
	return 0;
}

void host_enter(const struct host *h)
{
	if (setns(h->netns, CLONE_NEWNET))
		peer_fail(NULL, "setns: %s", strerror(errno));
}

int host_keep(struct host *h, int fd)
{
	if (fd < 0)
		peer_fail(NULL, "no socket: %s", strerror(errno));
	for (int i = 0; i < HOST_SOCKETS; i++) {
		if (h->sockets[i] < 0) {
			h->sockets[i] = fd;
			return fd;
		}
	}
	peer_fail(NULL, "more than %d sockets", HOST_SOCKETS);
}

static void forget(struct host *h, int fd)
{
	for (int i = 0; i < HOST_SOCKETS; i++)
		if (h->sockets[i] == fd)
			h->sockets[i] = -1;
}

int host_socket(struct host *h)
{
	return host_keep(h, socket(h->kind == IPV4 ? AF_INET : AF_INET6,
				   SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
				   0));
}

socklen_t host_address(enum kind kind, struct sockaddr_storage *a,
		       const char *ipv4, const char *ipv6, uint16_t port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)a;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)a;

	memset(a, 0, sizeof(*a));
	if (kind == IPV4) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		inet_pton(AF_INET, ipv4, &in->sin_addr);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	if (kind == IPV6) {
		inet_pton(AF_INET6, ipv6, &in6->sin6_addr);
	} else {
		in6->sin6_addr.s6_addr[10] = 0xff;
		in6->sin6_addr.s6_addr[11] = 0xff;
		inet_pton(AF_INET, ipv4, in6->sin6_addr.s6_addr + 12);
	}
	return sizeof(*in6);
}

int host_listen(struct host *h, uint16_t port)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(h->kind, &a, APP_IPV4, APP_IPV6, port);
	int fd = host_socket(h);

	if (bind(fd, (struct sockaddr *)&a, len) || listen(fd, 128))
		peer_fail(NULL, "port %u: %s", port, strerror(errno));
	return fd;
}

/* The client's end may be established before the server's is */
int host_accept(struct host *h, int listener)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };

	poll(&p, 1, PEER_PATIENCE);
	return host_keep(h, accept4(listener, NULL, NULL,
				    SOCK_NONBLOCK | SOCK_CLOEXEC));
}

void host_close(struct host *h, int fd)
{
	forget(h, fd);
	close(fd);
}

void host_abort(struct host *h, int fd)
{
	struct linger l = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	host_close(h, fd);
}

void client(struct conn *c, struct host *h, int options)
{
	client_with(c, h, options, host_socket(h));
}

void client_silent(struct conn *c, struct host *h, int options, int fd)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(h->kind, &a, PEER_IPV4, PEER_IPV6, 80);

	if (!connect(fd, (struct sockaddr *)&a, len) || errno != EINPROGRESS)
		peer_fail(NULL, "connect: %s", strerror(errno));
	peer_accept(c, &h->peer, 80, options);
	c->fd = fd;
	app_wait_state(c, TCP_ESTABLISHED, PEER_PATIENCE);
}

void client_with(struct conn *c, struct host *h, int options, int fd)
{
	client_silent(c, h, options, fd);
	app_begins(c);
}

void server(struct conn *c, struct host *h, int options)
{
	int listener = host_listen(h, 8080);

	peer_connect(c, &h->peer, 8080, options);
	c->fd = host_accept(h, listener);
	host_close(h, listener);
	app_begins(c);
}

void app_begins(struct conn *c)
{
	uint8_t first = stream_byte(0);

	if (send(c->fd, &first, 1, MSG_NOSIGNAL) != 1)
		peer_fail(c, "the first byte: %s", strerror(errno));
	peer_expect(c, "P. 1:2(1) ack 1");
	peer_send(c, ". 1:1(0) ack 2");
	wait_for(!app_unacked(c), PEER_PATIENCE);
	c->irs++;
}

void carry_byte(int from, int to)
{
	char byte = 'b';

	if (send(from, &byte, 1, MSG_NOSIGNAL) != 1)
		peer_fail(NULL, "the first byte: %s", strerror(errno));
	wait_for(recv(to, &byte, 1, MSG_DONTWAIT) == 1, PEER_PATIENCE);
}
