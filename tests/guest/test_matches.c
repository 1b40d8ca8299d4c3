// SPDX-License-Identifier: GPL-2.0-only
/*
 * The matches that the README recommends before -j HALFRST: each hands over
 * the FINs of the connections that it selects, and no other.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "host.h"
#include "rules.h"

#define INPUT	"-t mangle -A INPUT "
#define HALFRST	"-p tcp --tcp-flags FIN FIN -j HALFRST"

/* The peer closes a connection of the application's @fd */
static void closed_by_peer(struct host *h, int fd, bool selected)
{
	unsigned long fins = counter("fins"), resets = counter("resets");
	struct conn c;

	client_with(&c, h, 0, fd);
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, selected ? "R. 1:1(0) ack 2" : ". 1:1(0) ack 2");
	if (!selected)
		peer_expect_nothing(&c, 1000);
	expect_counter("fins", fins + selected);
	expect_counter("resets", resets + selected);
	host_close(h, fd);
}

static void move_to_cgroup(const char *path)
{
	char file[64], pid[16];

	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	snprintf(pid, sizeof(pid), "%d", getpid());
	set(file, pid);
}

/* A socket is of the cgroup in which it was opened */
static void cgroup(void **state)
{
	struct host *h = *state;
	int of_app;

	skip_without("xt_cgroup");
	run("mkdir -p /tmp/cgroup && mount -t cgroup2 none /tmp/cgroup && "
	    "mkdir -p /tmp/cgroup/app");
	rule(h, INPUT "-m cgroup --path app " HALFRST);
	move_to_cgroup("/tmp/cgroup/app");
	of_app = host_socket(h);
	move_to_cgroup("/tmp/cgroup");
	closed_by_peer(h, of_app, true);
	closed_by_peer(h, host_socket(h), false);
	run("umount /tmp/cgroup");
}

static void mark(void **state)
{
	struct host *h = *state;

	rule(h, INPUT "-i peer0 -j MARK --set-mark 7");
	rule(h, INPUT "-m mark --mark 7 " HALFRST);
	closed_by_peer(h, host_socket(h), true);
	rule(h, "-t mangle -R INPUT 1 -i other0 -j MARK --set-mark 7");
	closed_by_peer(h, host_socket(h), false);
}

static void connmark(void **state)
{
	struct host *h = *state;
	int of_alice;

	rule(h, "-t mangle -A OUTPUT -m owner --uid-owner 10400 "
	     "-j CONNMARK --set-mark 7");
	rule(h, INPUT "-m connmark --mark 7 " HALFRST);
	setfsuid(10400);
	of_alice = host_socket(h);
	setfsuid(0);
	closed_by_peer(h, of_alice, true);
	closed_by_peer(h, host_socket(h), false);
}

static void ipset(void **state)
{
	struct host *h = *state;
	const char *peer = h->kind == IPV6 ? PEER_IPV6 : PEER_IPV4;

	skip_without("ip_set_hash_ip");
	run("ipset create cdn hash:ip%s", h->kind == IPV6 ? " family inet6" : "");
	run("ipset add cdn %s", peer);
	rule(h, INPUT "-m set --match-set cdn src " HALFRST);
	closed_by_peer(h, host_socket(h), true);
	run("ipset del cdn %s", peer);
	closed_by_peer(h, host_socket(h), false);
}

/* A FIN that no socket is waiting for is not handed over */
static void socket_at_all(void **state)
{
	struct host *h = *state;
	struct conn c;
	int fd = host_socket(h);

	rule(h, INPUT "-m socket --nowildcard " HALFRST);
	closed_by_peer(h, host_socket(h), true);
	client_with(&c, h, 0, fd);
	host_abort(h, fd);
	peer_expect(&c, "R. 1:1(0) ack 1");
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, "R 1:1(0)");
	expect_counter("fins", 1);
}

static void socket_mark(void **state)
{
	struct host *h = *state;
	int fd = host_socket(h), seven = 7;

	rule(h, INPUT "-p tcp -m socket --restore-skmark");
	rule(h, INPUT "-m mark --mark 7 " HALFRST);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_MARK, &seven,
				    sizeof(seven)), 0);
	closed_by_peer(h, fd, true);
	closed_by_peer(h, host_socket(h), false);
}

/* What makes --uid-owner necessary */
static void owner_is_refused(void **state)
{
	const struct host *h = *state;

	assert_int_not_equal(run_status("%s " INPUT "-p tcp -m owner "
					"--uid-owner 10400 -j HALFRST",
					front_end(h)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(cgroup), ON_ALL(mark), ON_ALL(connmark), ON_ALL(ipset),
		ON_ALL(socket_at_all), ON_ALL(socket_mark),
		ON_ALL(owner_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
