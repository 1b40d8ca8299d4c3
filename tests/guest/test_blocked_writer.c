// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount --mem 2048
 *
 * No byte is cut off: a process that is blocked in the middle of an answer,
 * and is kept from the CPU by a limit or by others, has bytes waiting that TCP
 * does not count.  Its peer has closed its side long ago.
 *
 *	near: the writer, rule ── near0 (veth) far0 ── far: reads slowly
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel.h"
#include "layer.h"
#include "link.h"
#include "rules.h"

#define PORT	8080
#define CGROUP	"/tmp/cgroup"

enum way { SEND, SENDFILE, SPLICE, PIECES, ZEROCOPY };

/* What keeps the writer from running */
enum brake { LIMITED, NICE, IDLE };

static uint8_t byte_at(size_t n)
{
	return n * 2654435761u >> 24;
}

static int answer_file(size_t size)
{
	int fd = memfd_create("answer", MFD_CLOEXEC);
	uint8_t *bytes;

	if (fd < 0 || ftruncate(fd, size))
		peer_fail(NULL, "memfd: %s", strerror(errno));
	bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		peer_fail(NULL, "mmap: %s", strerror(errno));
	for (size_t i = 0; i < size; i++)
		bytes[i] = byte_at(i);
	munmap(bytes, size);
	return fd;
}

static void cgroup_up(void)
{
	static bool mounted;

	/* Before 6.18 a process that has used up its time stops where it is.
	 * With PREEMPT_RT that may be in a softirq, which keeps out all others:
	 * also the one that would give it time again.  It needs no HALFRST.
	 */
	if (preempt_rt() && kernel_before(6, 18)) {
		print_message("# before 6.18 a CPU limit may hang PREEMPT_RT\n");
		skip();
	}
	if (!mounted)
		run("mkdir -p " CGROUP " && mount -t cgroup2 none " CGROUP);
	mounted = true;
	if (run_status("grep -qw cpu " CGROUP "/cgroup.controllers")) {
		print_message("# this kernel limits no CPU (CGROUP_SCHED)\n");
		skip();
	}
	run("echo +cpu >" CGROUP "/cgroup.subtree_control && "
	    "mkdir -p " CGROUP "/slow && "
	    "echo '2000 100000' >" CGROUP "/slow/cpu.max");
}

static void brake_on(enum brake brake)
{
	struct sched_param p = { 0 };
	char pid[16];

	switch (brake) {
	case LIMITED:
		snprintf(pid, sizeof(pid), "%d", getpid());
		set(CGROUP "/slow/cgroup.procs", pid);
		break;
	case NICE:
		setpriority(PRIO_PROCESS, 0, 19);
		break;
	case IDLE:
		sched_setscheduler(0, SCHED_IDLE, &p);
		break;
	}
}

/* Through a pipe that holds @most bytes */
static bool write_by_splice(int fd, int file, size_t size, size_t most)
{
	off_t at = 0;
	int pipes[2];

	if (pipe(pipes) || fcntl(pipes[1], F_SETPIPE_SZ, most) < (int)most)
		return false;
	while ((size_t)at < size) {
		ssize_t n = splice(file, &at, pipes[1], NULL, most, 0);

		if (n <= 0)
			return false;
		while (n) {
			ssize_t done = splice(pipes[0], NULL, fd, NULL, n,
					      (size_t)at < size ?
					      SPLICE_F_MORE : 0);

			if (done <= 0)
				return false;
			n -= done;
		}
	}
	return true;
}

/* In one call where there is one */
static bool write_answer(int fd, enum way way, int file, size_t size)
{
	void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
	off_t at = 0;
	int on = 1;

	switch (way) {
	case SEND:
		return send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
	case SENDFILE:
		while ((size_t)at < size)
			if (sendfile(fd, file, &at, size - at) <= 0)
				return false;
		return true;
	case SPLICE:
		return write_by_splice(fd, file, size, size);
	case PIECES:
		return write_by_splice(fd, file, size, 65536);
	case ZEROCOPY:
		return !setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on,
				   sizeof(on)) &&
		       send(fd, bytes, size, MSG_NOSIGNAL | MSG_ZEROCOPY) ==
		       (ssize_t)size;
	}
	return false;
}

/* Somebody whom the CPU belongs to */
static pid_t hog(void)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			;
	}
	return pid;
}

static void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Reads all there is, not as fast as it comes; returns how much was right */
static size_t read_answer(int fd)
{
	static uint8_t block[16384];
	size_t all = 0;
	ssize_t n;

	while ((n = recv(fd, block, sizeof(block), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			if (block[i] != byte_at(all + i))
				peer_fail(NULL, "byte %zu is wrong", all + i);
		all += n;
	}
	return all;
}

static void whole(enum way way, enum brake brake, size_t size,
		  const char *options)
{
	int listener, peer, app, small = 4096, file, status;
	char rule_text[128], request[100] = "";
	struct link l;
	pid_t writer, other = 0;
	size_t got;

	if (brake == LIMITED)
		cgroup_up();
	file = answer_file(size);
	link_open(&l, IPV4, NULL);
	snprintf(rule_text, sizeof(rule_text), ON_FIN "%s", options);
	link_rule(&l, rule_text);
	listener = link_listen_near(&l, PORT);
	peer = link_connect_far(&l, PORT);
	app = accept(listener, NULL, NULL);
	assert_int_equal(send(peer, request, sizeof(request), 0),
			 sizeof(request));
	assert_int_equal(recv(app, request, sizeof(request), MSG_WAITALL),
			 sizeof(request));
	assert_int_equal(setsockopt(app, SOL_SOCKET, SO_SNDBUF, &small,
				    sizeof(small)), 0);
	fflush(NULL);
	writer = fork();
	if (!writer) {
		bool done;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(peer);
		brake_on(brake);
		done = write_answer(app, way, file, size);
		if (!done)
			perror("# writer");
		_exit(!done);
	}
	close(app);
	/* the peer closes its side while the answer is being written */
	assert_int_equal(recv(peer, request, sizeof(request), MSG_PEEK),
			 sizeof(request));
	if (brake != LIMITED)
		other = hog();
	shutdown(peer, SHUT_WR);
	got = read_answer(peer);
	if (other)
		stop(other);
	assert_int_equal(waitpid(writer, &status, 0), writer);
	if (got != size)
		peer_fail(NULL, "%zu of %zu bytes came", got, size);
	/* after the last byte a reset may come before the writer's close() */
	assert_int_equal(status, 0);
	wait_for(counter("watching") == 0, 130000);
	close(peer);
	close(listener);
	close(file);
	link_close(&l);
}

#define MIB	(1 << 20)
#define TEST(name, way, brake, size, options)		\
static void name(void **state)				\
{							\
	(void)state;					\
	whole(way, brake, size, options);		\
}

TEST(send_with_a_cpu_limit, SEND, LIMITED, 2 * MIB, "")
TEST(send_with_a_cpu_limit_and_a_grace, SEND, LIMITED, MIB, "--grace 20ms")
TEST(send_at_nice_19, SEND, NICE, 300000, "")
TEST(send_under_sched_idle, SEND, IDLE, 100000, "")
TEST(sendfile_with_a_cpu_limit, SENDFILE, LIMITED, 2 * MIB, "")
TEST(sendfile_at_nice_19, SENDFILE, NICE, 300000, "")
TEST(sendfile_at_nice_19_and_a_grace, SENDFILE, NICE, 300000, "--grace 20ms")
TEST(sendfile_under_sched_idle, SENDFILE, IDLE, 100000, "")
TEST(splice_with_a_cpu_limit, SPLICE, LIMITED, 4 * MIB, "")
TEST(splice_at_nice_19, SPLICE, NICE, 300000, "")
TEST(splice_under_sched_idle, SPLICE, IDLE, 100000, "")
TEST(splice_in_pieces_with_a_cpu_limit, PIECES, LIMITED, MIB, "")
TEST(zerocopy_with_a_cpu_limit, ZEROCOPY, LIMITED, MIB, "")
TEST(zerocopy_at_nice_19, ZEROCOPY, NICE, 300000, "")

/* ---- bytes that kTLS, a sockmap or nobody yet holds ---- */

/* The first half of what is written is with a layer above TCP, and none of it
 * with the peer, when that closes its side: it gets the second, too, and
 * then the socket is reset, once nothing was written for a second.
 */
static void two_halves(int app, int peer, int more)
{
	char buffer[16] = "";

	assert_int_equal(send(app, "hello", 5, more), 5);
	shutdown(peer, SHUT_WR);
	wait_for(socket_state(app) == TCP_CLOSE_WAIT, 5000);
	sleep_ms(300);
	assert_int_equal(recv(peer, buffer, 1, MSG_DONTWAIT), -1);
	assert_int_equal(send(app, "world", 5, MSG_NOSIGNAL), 5);
	for (size_t n = 0; n < 10;) {
		ssize_t part = recv(peer, buffer + n, sizeof(buffer) - n, 0);

		if (part <= 0)
			peer_fail(NULL, "%zu of 10 bytes came", n);
		n += part;
	}
	assert_string_equal(buffer, "helloworld");
	wait_for(counter("resets") == 1, 5000);
}

/* By MSG_MORE a record stays open */
static void ktls_open_record(void **state)
{
	struct served s;

	(void)state;
	served_open(&s, IPV4, PORT, "");
	skip_without_ktls(ktls_on(s.app, TLS_TX) && ktls_on(s.peer, TLS_RX));
	two_halves(s.app, s.peer, MSG_MORE);
	served_close(&s);
}

static void sockmap_cork(void **state)
{
	struct served s;
	int map;

	(void)state;
	served_open(&s, IPV4, PORT, "");
	map = sockmap_new(1);
	skip_without_sockmap(map);
	sockmap_corks(map);
	sockmap_put(map, 0, s.app);
	two_halves(s.app, s.peer, 0);
	close(map);
	served_close(&s);
}

/* The application has said by TCP_CORK that more is to come */
static void corked(void **state)
{
	int left, cork = 1;
	char buffer[16] = "";
	struct served s;

	(void)state;
	served_open(&s, IPV4, PORT, "");
	assert_int_equal(setsockopt(s.app, IPPROTO_TCP, TCP_CORK, &cork,
				    sizeof(cork)), 0);
	/* TCP keeps them back for a moment, and no longer */
	assert_int_equal(send(s.app, "hello", 5, 0), 5);
	assert_int_equal(recv(s.peer, buffer, 5, MSG_WAITALL), 5);
	wait_for(!ioctl(s.app, SIOCOUTQ, &left) && !left, 5000);
	shutdown(s.peer, SHUT_WR);
	wait_for(socket_state(s.app) == TCP_CLOSE_WAIT, 5000);
	sleep_ms(300);
	assert_int_equal(send(s.app, "world", 5, MSG_NOSIGNAL), 5);
	assert_int_equal(recv(s.peer, buffer + 5, 5, MSG_WAITALL), 5);
	assert_string_equal(buffer, "helloworld");
	assert_int_equal(counter("resets"), 0);
	/* nothing for a second: the rest is not believed in any more */
	wait_for(counter("resets") == 1, 5000);
	served_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(send_with_a_cpu_limit),
		cmocka_unit_test(send_with_a_cpu_limit_and_a_grace),
		cmocka_unit_test(send_at_nice_19),
		cmocka_unit_test(send_under_sched_idle),
		cmocka_unit_test(sendfile_with_a_cpu_limit),
		cmocka_unit_test(sendfile_at_nice_19),
		cmocka_unit_test(sendfile_at_nice_19_and_a_grace),
		cmocka_unit_test(sendfile_under_sched_idle),
		cmocka_unit_test(splice_with_a_cpu_limit),
		cmocka_unit_test(splice_at_nice_19),
		cmocka_unit_test(splice_under_sched_idle),
		cmocka_unit_test(splice_in_pieces_with_a_cpu_limit),
		cmocka_unit_test(zerocopy_with_a_cpu_limit),
		cmocka_unit_test(zerocopy_at_nice_19),
		cmocka_unit_test(ktls_open_record),
		cmocka_unit_test(sockmap_cork),
		cmocka_unit_test(corked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
