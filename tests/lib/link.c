// SPDX-License-Identifier: GPL-2.0-only
/* Two hosts with real TCP at both ends; link.h has the drawing. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link.h"
#include "rules.h"

static int new_namespace(void)
{
	int fd;

	if (unshare(CLONE_NEWNET))
		peer_fail(NULL, "unshare: %s", strerror(errno));
	fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		peer_fail(NULL, "namespace: %s", strerror(errno));
	run("ip link set lo up");
	return fd;
}

static void enter(int fd)
{
	if (setns(fd, CLONE_NEWNET))
		peer_fail(NULL, "setns: %s", strerror(errno));
}

static void configure(const char *dev, const char *ipv4, const char *ipv6,
		      const char *netem)
{
	run("ip addr add %s/24 dev %s && ip -6 addr add %s/64 dev %s nodad && "
	    "ip link set %s up", ipv4, dev, ipv6, dev, dev);
	if (netem)
		run("tc qdisc add dev %s root netem limit 100000 %s", dev,
		    netem);
}

void link_open(struct link *l, enum kind kind, const char *netem)
{
	signal(SIGPIPE, SIG_IGN);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	l->kind = kind;
	l->far = new_namespace();
	l->near = new_namespace();
	run("ip link add near0 type veth peer name far0 netns /proc/%d/fd/%d",
	    getpid(), l->far);
	enter(l->far);
	configure("far0", PEER_IPV4, PEER_IPV6, netem);
	enter(l->near);
	configure("near0", APP_IPV4, APP_IPV6, netem);
}

void link_close(struct link *l)
{
	close(l->near);
	close(l->far);
}

void link_enter_near(const struct link *l)
{
	enter(l->near);
}

void link_enter_far(const struct link *l)
{
	enter(l->far);
}

static int stream(const struct link *l)
{
	int fd = socket(l->kind == IPV4 ? AF_INET : AF_INET6,
			SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		peer_fail(NULL, "socket: %s", strerror(errno));
	return fd;
}

static int listener(const struct link *l, const char *ipv4, const char *ipv6,
		    uint16_t port)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(l->kind, &a, ipv4, ipv6, port);
	int fd = stream(l);

	if (bind(fd, (struct sockaddr *)&a, len) || listen(fd, 4096))
		peer_fail(NULL, "port %u: %s", port, strerror(errno));
	return fd;
}

static int connection(const struct link *l, const char *ipv4,
		      const char *ipv6, uint16_t port)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(l->kind, &a, ipv4, ipv6, port);
	int fd = stream(l);

	if (connect(fd, (struct sockaddr *)&a, len)) {
		close(fd);
		return -1;
	}
	return fd;
}

int link_listen_near(const struct link *l, uint16_t port)
{
	return listener(l, APP_IPV4, APP_IPV6, port);
}

int link_listen_far(const struct link *l, uint16_t port)
{
	int fd;

	link_enter_far(l);
	fd = listener(l, PEER_IPV4, PEER_IPV6, port);
	link_enter_near(l);
	return fd;
}

int link_connect_near(const struct link *l, uint16_t port)
{
	return connection(l, PEER_IPV4, PEER_IPV6, port);
}

int link_connect_far(const struct link *l, uint16_t port)
{
	int fd;

	link_enter_far(l);
	fd = connection(l, APP_IPV4, APP_IPV6, port);
	link_enter_near(l);
	return fd;
}

void link_rule(const struct link *l, const char *text)
{
	const struct host h = { .kind = l->kind };

	rule(&h, "%s", text);
}

void served_open(struct served *s, enum kind kind, uint16_t port,
		 const char *options)
{
	char text[128];

	link_open(&s->l, kind, NULL);
	snprintf(text, sizeof(text), ON_FIN "%s", options);
	link_rule(&s->l, text);
	s->listener = link_listen_near(&s->l, port);
	s->peer = link_connect_far(&s->l, port);
	s->app = accept(s->listener, NULL, NULL);
	carry_byte(s->peer, s->app);
}

void served_close(struct served *s)
{
	close(s->app);
	close(s->peer);
	close(s->listener);
	wait_for(counter("watching") == 0, 130000);
	counters_add_up();
	link_close(&s->l);
}
