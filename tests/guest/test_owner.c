// SPDX-License-Identifier: GPL-2.0-only
/*
 * --uid-owner and --gid-owner: whose sockets are reset, in the terms of the
 * user namespace that the network namespace belongs to.
 */

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "rules.h"

/* A socket that is opened with these ids, which is what it keeps */
static int socket_of(struct host *h, uid_t uid, gid_t gid)
{
	int fd;

	setfsgid(gid);
	setfsuid(uid);
	fd = host_socket(h);
	setfsuid(0);
	setfsgid(0);
	return fd;
}

static void close_by_peer(struct conn *c, struct host *h, int fd, bool reset)
{
	unsigned long other = counter("other_owner"), done = counter("resets");

	client_with(c, h, 0, fd);
	peer_send(c, "F. 1:1(0) ack 1");
	peer_expect(c, reset ? "R. 1:1(0) ack 2" : ". 1:1(0) ack 2");
	peer_expect_nothing(c, 5000);
	expect_counter("resets", done + reset);
	expect_counter("other_owner", other + !reset);
	host_close(h, fd);
}

struct owner {
	uid_t uid;
	gid_t gid;
	bool reset;
};

static void owners(struct host *h, const char *options,
		   const struct owner *o, size_t n)
{
	struct conn c;

	rule(h, ON_FIN "%s", options);
	while (n--) {
		print_message("# %s: %u:%u\n", options, o->uid, o->gid);
		close_by_peer(&c, h, socket_of(h, o->uid, o->gid), o->reset);
		o++;
	}
	rule(h, "-t mangle -F INPUT");
}

#define OWNERS(h, options, ...) do {					\
	static const struct owner o_[] = { __VA_ARGS__ };		\
	owners(h, options, o_, sizeof(o_) / sizeof(*o_));		\
} while (0)

static void one_uid(void **state)
{
	OWNERS(*state, "--uid-owner 10400", { 10400, 0, true },
	       { 10401, 0, false }, { 0, 0, false }, { 0, 10400, false });
	OWNERS(*state, "--uid-owner 0", { 0, 10400, true },
	       { 10400, 0, false });
	OWNERS(*state, "--uid-owner 4294967294", { 4294967294U, 0, true },
	       { 0, 0, false });
}

static void not_one_uid(void **state)
{
	OWNERS(*state, "! --uid-owner 10400", { 10400, 0, false },
	       { 10401, 0, true }, { 0, 0, true });
}

static void uid_range(void **state)
{
	OWNERS(*state, "--uid-owner 10400-10410", { 10399, 0, false },
	       { 10400, 0, true }, { 10405, 0, true }, { 10410, 0, true },
	       { 10411, 0, false });
	OWNERS(*state, "! --uid-owner 10400-10410", { 10399, 0, true },
	       { 10400, 0, false }, { 10410, 0, false }, { 10411, 0, true });
}

static void one_gid(void **state)
{
	OWNERS(*state, "--gid-owner 10400", { 0, 10400, true },
	       { 10400, 10401, false }, { 0, 0, false });
	OWNERS(*state, "! --gid-owner 10400", { 0, 10400, false },
	       { 10400, 10401, true }, { 0, 0, true });
}

static void gid_range(void **state)
{
	OWNERS(*state, "--gid-owner 100-200", { 0, 99, false },
	       { 0, 100, true }, { 0, 200, true }, { 0, 201, false });
	OWNERS(*state, "! --gid-owner 100-200", { 0, 99, true },
	       { 0, 100, false }, { 0, 200, false }, { 0, 201, true });
}

static void uid_and_gid(void **state)
{
	OWNERS(*state, "--uid-owner 10400 --gid-owner 10401",
	       { 10400, 10401, true }, { 10400, 10400, false },
	       { 10401, 10401, false });
	OWNERS(*state, "--uid-owner 10400 ! --gid-owner 10401",
	       { 10400, 10401, false }, { 10400, 10400, true },
	       { 10401, 10400, false });
}

static void names(void **state)
{
	OWNERS(*state, "--uid-owner alice", { 10400, 0, true },
	       { 10401, 0, false });
	OWNERS(*state, "--uid-owner www-data --gid-owner bob",
	       { 33, 10401, true }, { 33, 33, false });
}

/* The owner of a socket that is accepted is who accepts it */
static void accepted(void **state)
{
	struct host *h = *state;
	int listener = host_listen(h, 8080);
	struct conn c;

	rule(h, ON_FIN "--uid-owner 10400 --gid-owner 10401");
	for (int i = 0; i < 2; i++) {
		peer_connect(&c, &h->peer, 8080, 0);
		if (i == 0) {
			setfsgid(10401);
			setfsuid(10400);
		}
		c.fd = host_keep(h, accept(listener, NULL, NULL));
		setfsuid(0);
		setfsgid(0);
		app_begins(&c);
		peer_send(&c, "F. 1:1(0) ack 1");
		peer_expect(&c, i == 0 ? "R. 1:1(0) ack 2" :
					 ". 1:1(0) ack 2");
	}
	expect_counter("other_owner", 1);
	peer_expect_nothing(&c, 1000);
}

/* Before it is accepted it has no file, and thereby no group: the FIN that
 * comes then says nothing about whose it will be.
 */
static void fin_before_accept(void **state)
{
	static const struct {
		const char *options;
		gid_t gid;
		bool reset;
	} tries[] = {
		{ "--gid-owner 10401", 10401, true },
		{ "--gid-owner 10401", 0, false },
		{ "! --gid-owner 10401", 10401, false },
		{ "! --gid-owner 10401", 0, true },
		{ "--uid-owner 0 --gid-owner 10401", 10401, true },
	};
	struct host *h = *state;
	int listener = host_listen(h, 8080);
	unsigned long resets = 0, other = 0;
	struct conn c;

	for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++) {
		rule(h, ON_FIN "%s", tries[i].options);
		peer_connect(&c, &h->peer, 8080, 0);
		peer_send(&c, "FP. 1:2(1) ack 1");
		peer_take_acks(&c, 50);
		expect_counter("watching", 1);
		setfsgid(tries[i].gid);
		c.fd = host_accept(h, listener);
		setfsgid(0);
		app_read(&c, 1);
		peer_take_acks(&c, 0);
		if (tries[i].reset)
			peer_expect(&c, "R. 1:1(0) ack 3");
		else
			peer_expect_nothing(&c, 5000);
		resets += tries[i].reset;
		other += !tries[i].reset;
		expect_counter("resets", resets);
		expect_counter("other_owner", other);
		expect_counter("watching", 0);
		rule(h, "-t mangle -F INPUT");
	}
}

static void changed_owner(void **state)
{
	struct host *h = *state;
	struct conn c;
	int fd;

	rule(h, ON_FIN "--uid-owner 10400");
	fd = socket_of(h, 10400, 0);
	assert_int_equal(fchown(fd, 10401, -1), 0);
	close_by_peer(&c, h, fd, false);
	fd = socket_of(h, 10401, 0);
	assert_int_equal(fchown(fd, 10400, -1), 0);
	close_by_peer(&c, h, fd, true);
}

static void send_fd(int channel, int fd)
{
	char control[CMSG_SPACE(sizeof(fd))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&m);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cm), &fd, sizeof(fd));
	if (sendmsg(channel, &m, 0) != 1)
		abort();
}

static int receive_fd(int channel)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cm;
	int fd;

	assert_int_equal(recvmsg(channel, &m, 0), 1);
	cm = CMSG_FIRSTHDR(&m);
	assert_non_null(cm);
	memcpy(&fd, CMSG_DATA(cm), sizeof(fd));
	return fd;
}

/* Opened by a process of another user, and used by this one */
static void another_process(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--uid-owner 10400 --gid-owner 10401");
	for (int i = 0; i < 2; i++) {
		int channel[2], fd;

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, channel),
				 0);
		if (!fork()) {
			if (setresgid(10401, 10401, 10401) ||
			    setresuid(10400 + i, 10400 + i, 10400 + i))
				_exit(1);
			send_fd(channel[1], host_socket(h));
			_exit(0);
		}
		fd = host_keep(h, receive_fd(channel[0]));
		wait(NULL);
		close(channel[0]);
		close(channel[1]);
		close_by_peer(&c, h, fd, i == 0);
	}
}

/* ---- inside a user namespace: ids 0.. are 100000.. outside ---- */

static int to_parent = -1;

static void mapped_ids(void **state)
{
	struct host *h = *state;

	h->nft = true;		/* legacy's lock file is root's */
	OWNERS(h, "--uid-owner 5", { 5, 0, true }, { 6, 0, false });
	OWNERS(h, "--uid-owner 60000-65535", { 65000, 0, true },
	       { 5, 0, false });
	OWNERS(h, "--gid-owner 5", { 0, 5, true }, { 0, 6, false });
	OWNERS(h, "--uid-owner 100005", { 5, 0, false });
	OWNERS(h, "! --uid-owner 100005", { 5, 0, true });
}

/* Root outside has no number here: it is nobody that could be named */
static void unmapped_id(void **state)
{
	struct host *h = *state;
	struct conn c;
	int fd;

	h->nft = true;
	for (int i = 0; i < 2; i++) {
		rule(h, ON_FIN "%s --uid-owner 0-4294967294", i ? "!" : "");
		assert_int_equal(write(to_parent, "?", 1), 1);
		fd = host_keep(h, receive_fd(to_parent));
		close_by_peer(&c, h, fd, i);
		rule(h, "-t mangle -F INPUT");
	}
}

static int run_inside(enum kind kind, int channel)
{
	struct CMUnitTest tests[] = {
		ON_IPV4(mapped_ids),
		ON_IPV4(unmapped_id),
	};
	char go;

	to_parent = channel;
	if (unshare(CLONE_NEWUSER) || write(channel, "u", 1) != 1 ||
	    read(channel, &go, 1) != 1 || setresgid(0, 0, 0) ||
	    setresuid(0, 0, 0))
		return 1;
	/* the result is this process's exit status, not a second plan */
	setenv("CMOCKA_MESSAGE_OUTPUT", "STDOUT", 1);
	dup2(2, 1);
	cmocka_set_test_filter(NULL);
	for (int i = 0; i < 2; i++)
		tests[i].initial_state = (void *)(uintptr_t)kind;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

static void map(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	set(path, "0 100000 65536");
}

static void inside_user_namespace(void **state)
{
	struct host *h = *state;
	int channel[2], status;
	pid_t child;
	char request;

	rule(h, ON_FIN);	/* loads all modules */
	h->nft = true;
	rule(h, ON_FIN);
	run("chmod 666 /dev/net/tun");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, channel), 0);
	child = fork();
	if (!child) {
		close(channel[0]);
		_exit(run_inside(h->kind, channel[1]));
	}
	close(channel[1]);
	while (read(channel[0], &request, 1) == 1) {
		if (request == 'u') {
			map(child, "uid_map");
			map(child, "gid_map");
			assert_int_equal(write(channel[0], "m", 1), 1);
		} else {
			char path[64];
			int netns, fd;

			snprintf(path, sizeof(path), "/proc/%d/ns/net", child);
			netns = open(path, O_RDONLY | O_CLOEXEC);
			assert_int_equal(setns(netns, CLONE_NEWNET), 0);
			fd = host_socket(h);
			host_enter(h);
			send_fd(channel[0], fd);
			host_close(h, fd);
			close(netns);
		}
	}
	close(channel[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(one_uid),
		ON_ALL(not_one_uid),
		ON_ALL(uid_range),
		ON_ALL(one_gid),
		ON_ALL(gid_range),
		ON_ALL(uid_and_gid),
		ON_ALL(names),
		ON_ALL(accepted),
		ON_IPV4(fin_before_accept), ON_IPV6(fin_before_accept),
		ON_ALL(changed_owner),
		ON_ALL(another_process),
		ON_ALL(inside_user_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
