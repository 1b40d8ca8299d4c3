// SPDX-License-Identifier: GPL-2.0-only
/* lab: --smp 2 --append kcsan.skip_watch=500
 *
 * Local users with unusual sockets, and hostile ones: sockets that another
 * layer sits on, that are on their way between processes, that nobody has
 * accepted, and sockets whose lock their owner does not let go of.
 *
 * Both ends of every connection are here, over loopback.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/userfaultfd.h>

#include "cpu.h"
#include "crowd.h"
#include "dice.h"
#include "kernel.h"
#include "layer.h"
#include "rules.h"

#define PORT		8080
#define SOON		1000	/* ms; a reset takes about one */
#define LATER		60000	/* twice the time since the FIN, and a load */

struct pair {
	struct host host;
	int listener, client, server;
};

static void pair_listen(struct pair *p, enum kind kind)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(kind, &a, "127.0.0.1", "::1", PORT);

	*p = (struct pair){ .host.kind = kind, .client = -1, .server = -1 };
	crowd_namespace();
	p->listener = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(p->listener, 4096), 0);
}

static int dial(const struct pair *p)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(p->host.kind, &a, "127.0.0.1", "::1", PORT);
	int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&a, len), 0);
	return fd;
}

static void pair_open(struct pair *p, enum kind kind)
{
	pair_listen(p, kind);
	p->client = dial(p);
	p->server = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(p->server >= 0);
	carry_byte(p->client, p->server);
}

static void hang_up(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void pair_close(struct pair *p)
{
	hang_up(&p->client);
	hang_up(&p->server);
	hang_up(&p->listener);
	if (!counters_present())
		return;
	wait_for(counter("watching") == 0, 130000);
	counters_add_up();
}

static void is_reset_within(int fd, int ms)
{
	char byte;

	wait_for(socket_state(fd) == TCP_CLOSE, ms);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT), -1);
	assert_int_equal(errno, ECONNRESET);
}

static void is_reset(int fd)
{
	is_reset_within(fd, SOON);
}

static void stays_half_closed(int fd)
{
	wait_for(socket_state(fd) == TCP_CLOSE_WAIT, SOON);
	sleep_ms(200);
	assert_int_equal(socket_state(fd), TCP_CLOSE_WAIT);
}

static void plain(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, IPV4);
	rule(&p.host, ON_FIN);
	hang_up(&p.server);
	is_reset(p.client);
	expect_counter("resets", 1);
	pair_close(&p);
}

/* ---- accepted and never read, and never accepted ---- */

static void never_read(void **state)
{
	static char bytes[5000];	/* more than go after a second */
	struct pair p;

	(void)state;
	pair_open(&p, IPV6);
	rule(&p.host, ON_FIN);
	assert_int_equal(send(p.client, bytes, sizeof(bytes), 0),
			 sizeof(bytes));
	hang_up(&p.client);
	stays_half_closed(p.server);
	expect_counter("resets", 0);
	pair_close(&p);
}

/* Connections that wait for accept() */
static int queue_length(int listener)
{
	return socket_info(listener).tcpi_unacked;
}

static void never_accepted(void **state)
{
	int server[25], i;
	struct pair p;
	char byte;

	(void)state;
	pair_listen(&p, MAPPED);
	rule(&p.host, ON_FIN);
	for (i = 0; i < 50; i++) {
		p.client = dial(&p);
		/* the next one's ACK, on another CPU, could overtake this one's */
		wait_for(queue_length(p.listener) == i + 1, SOON);
		if (i % 2)
			assert_int_equal(send(p.client, "a", 1, 0), 1);
		hang_up(&p.client);
	}
	/* none is touched in the queue; each has its turn once accepted */
	sleep_ms(500);
	expect_counter("watching", 50);
	expect_counter("resets", 0);
	for (i = 0; i < 25; i++) {
		server[i] = accept(p.listener, NULL, NULL);
		assert_true(server[i] >= 0);
		if (i % 2)
			assert_int_equal(recv(server[i], &byte, 1, 0), 1);
	}
	for (i = 0; i < 25; i++) {
		is_reset_within(server[i], LATER);
		hang_up(&server[i]);
	}
	/* the rest goes with the listener */
	pair_close(&p);
}

/* ---- a socket on its way from one process to another ---- */

static void pass(int channel, int fd)
{
	char byte = 'f', control[CMSG_SPACE(sizeof(fd))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	assert_int_equal(sendmsg(channel, &m, 0), 1);
}

static int take(int channel)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd = -1;

	if (recvmsg(channel, &m, 0) == 1 && CMSG_FIRSTHDR(&m))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

static void in_flight(void **state)
{
	struct pair p;
	int channel[2];

	(void)state;
	pair_open(&p, IPV4);
	rule(&p.host, ON_FIN);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, channel), 0);
	pass(channel[0], p.client);
	hang_up(&p.client);
	hang_up(&p.server);
	wait_for(counter("resets") == 1, SOON);
	p.client = take(channel[1]);
	is_reset(p.client);
	hang_up(&channel[0]);
	hang_up(&channel[1]);
	pair_close(&p);
}

/* Held by a process of another namespace: still its own namespace's */
static void passed_to_another_namespace(void **state)
{
	struct pair p;
	int status;
	pid_t pid;

	(void)state;
	pair_open(&p, IPV6);
	rule(&p.host, ON_FIN);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		char byte;

		if (unshare(CLONE_NEWNET))
			_exit(1);
		hang_up(&p.server);
		_exit(recv(p.client, &byte, 1, 0) ||
		      !wait_until(socket_state(p.client) == TCP_CLOSE, SOON) ||
		      send(p.client, "x", 1, MSG_NOSIGNAL) != -1 ||
		      errno != ECONNRESET);
	}
	hang_up(&p.client);
	sleep_ms(50);
	hang_up(&p.server);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	expect_counter("resets", 1);
	pair_close(&p);
}

/* ---- layers above and options of TCP ---- */

static void ktls(void **state)
{
	char buffer[16];
	struct pair p;

	(void)state;
	pair_open(&p, IPV4);
	rule(&p.host, ON_FIN);
	skip_without_ktls(ktls_on(p.client, TLS_RX) &&
			  ktls_on(p.server, TLS_TX));
	assert_int_equal(send(p.server, "secret", 6, 0), 6);
	/* half of a record is read, the other half must survive */
	assert_int_equal(recv(p.client, buffer, 3, 0), 3);
	hang_up(&p.server);
	stays_half_closed(p.client);
	expect_counter("resets", 0);
	assert_int_equal(recv(p.client, buffer, sizeof(buffer), 0), 3);
	assert_memory_equal(buffer, "ret", 3);
	wait_for(socket_state(p.client) == TCP_CLOSE, LATER);
	/* kTLS tells a reader the error first, once */
	assert_int_equal(recv(p.client, buffer, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(recv(p.client, buffer, 1, 0), 0);
	assert_int_equal(send(p.client, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	expect_counter("resets", 1);
	pair_close(&p);
}

static void sockmap(void **state)
{
	int map = sockmap_new(1);
	struct pair p;
	char byte;

	(void)state;
	skip_without_sockmap(map);
	pair_open(&p, IPV4);
	rule(&p.host, ON_FIN);
	sockmap_put(map, 0, p.client);
	assert_int_equal(send(p.server, "a", 1, 0), 1);
	hang_up(&p.server);
	stays_half_closed(p.client);
	assert_int_equal(recv(p.client, &byte, 1, 0), 1);
	is_reset_within(p.client, LATER);
	expect_counter("resets", 1);
	close(map);
	pair_close(&p);
}

static bool md5(int fd, enum kind kind)
{
	struct tcp_md5sig key = { .tcpm_keylen = 3, .tcpm_key = "key" };

	host_address(kind, &key.tcpm_addr, "127.0.0.1", "::1", 0);
	return !setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &key, sizeof(key));
}

/* TCP-AO: struct tcp_ao_add and its option, of headers since Linux 6.7 */
static bool ao(int fd, enum kind kind)
{
	struct {
		struct sockaddr_storage peer;
		char algorithm[64];
		int32_t ifindex;
		uint32_t flags;
		uint16_t reserved;
		uint8_t prefix, sndid, rcvid, maclen, keyflags, keylen;
		uint8_t key[80];
	} __attribute__((aligned(8))) add = {
		.algorithm = "hmac(sha1)",
		.prefix = kind == IPV6 ? 128 : 32,
		.sndid = 100,
		.rcvid = 100,
		.keylen = 3,
		.key = "key",
	};

	host_address(kind, &add.peer, "127.0.0.1", "::1", 0);
	return !setsockopt(fd, IPPROTO_TCP, 38 /* TCP_AO_ADD_KEY */, &add,
			   sizeof(add));
}

/* The peer would take a RST only if it is signed, too: left alone */
static void signed_by(bool (*sign)(int fd, enum kind kind), const char *name,
		      enum kind kind)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(kind, &a, "127.0.0.1", "::1", PORT);
	struct pair p;

	pair_listen(&p, kind);
	rule(&p.host, ON_FIN);
	p.client = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!sign(p.client, kind) || !sign(p.listener, kind)) {
		print_message("# no %s: %s\n", name, strerror(errno));
		skip();
	}
	assert_int_equal(connect(p.client, (struct sockaddr *)&a, len), 0);
	p.server = accept(p.listener, NULL, NULL);
	carry_byte(p.client, p.server);
	shutdown(p.server, SHUT_WR);
	stays_half_closed(p.client);
	expect_counter("exempt", 1);
	expect_counter("resets", 0);
	/* half-closed, it works on */
	carry_byte(p.client, p.server);
	pair_close(&p);
}

static void md5_signed(void **state)
{
	(void)state;
	signed_by(md5, "TCP-MD5", IPV4);
}

static void ao_signed(void **state)
{
	(void)state;
	signed_by(ao, "TCP-AO", IPV4);
}

static void ao_signed_ipv6(void **state)
{
	(void)state;
	signed_by(ao, "TCP-AO", IPV6);
}

/* Signed from some moment of the watch on */
static void md5_signed_later(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, IPV6);
	rule(&p.host, ON_FIN "--grace 1s");
	shutdown(p.server, SHUT_WR);
	wait_for(counter("watching") == 1, SOON);
	if (!md5(p.client, IPV6)) {
		print_message("# no TCP_MD5SIG: %s\n", strerror(errno));
		skip();
	}
	wait_for(counter("exempt") == 1, 60000);
	stays_half_closed(p.client);
	expect_counter("resets", 0);
	pair_close(&p);
}

static void fast_open(void **state)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(IPV4, &a, "127.0.0.1", "::1", PORT);
	int queue = 16;
	char buffer[8];
	struct pair p;

	(void)state;
	pair_listen(&p, IPV4);
	/* both sides, data in the SYN, no cookie asked for */
	set("/proc/sys/net/ipv4/tcp_fastopen", "519");
	assert_int_equal(setsockopt(p.listener, IPPROTO_TCP, TCP_FASTOPEN,
				    &queue, sizeof(queue)), 0);
	rule(&p.host, ON_FIN);
	p.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(sendto(p.client, "hello", 5, MSG_FASTOPEN,
				(struct sockaddr *)&a, len), 5);
	p.server = accept(p.listener, NULL, NULL);
	shutdown(p.client, SHUT_WR);
	stays_half_closed(p.server);
	assert_int_equal(recv(p.server, buffer, sizeof(buffer), 0), 5);
	is_reset_within(p.server, LATER);
	wait_for(socket_state(p.client) == TCP_CLOSE, SOON);
	pair_close(&p);
}

static void reuse_port(void **state)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(IPV6, &a, "127.0.0.1", "::1", PORT);
	int lfd[4], client[40], server[41], one = 1, n = 0;
	struct host host = { .kind = IPV6 };
	struct pair p = { .host = host };

	(void)state;
	crowd_namespace();
	rule(&host, ON_FIN);
	for (int i = 0; i < 4; i++) {
		lfd[i] = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
		setsockopt(lfd[i], SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
		assert_int_equal(bind(lfd[i], (struct sockaddr *)&a, len), 0);
		assert_int_equal(listen(lfd[i], 64), 0);
	}
	for (int i = 0; i < 40; i++)
		client[i] = dial(&p);
	for (int i = 0; i < 40; i++)
		hang_up(&client[i]);
	wait_for(queue_length(lfd[0]) + queue_length(lfd[1]) +
		 queue_length(lfd[2]) + queue_length(lfd[3]) == 40, SOON);
	for (int i = 0; i < 4; i++)
		while ((server[n] = accept(lfd[i], NULL, NULL)) >= 0)
			n++;
	for (int i = 0; i < n; i++) {
		is_reset_within(server[i], LATER);
		close(server[i]);
	}
	for (int i = 0; i < 4; i++)
		close(lfd[i]);
	assert_int_equal(n, 40);
	counters_add_up();
}

/* ---- a lock that is not let go of ---- */

/*
 * Pages whose first use waits until they are filled.  Each has one before it
 * that is there: the first 4 bytes of an option's value are copied before the
 * lock is taken, all of it with the lock held.
 */
struct trap {
	int fd;
	char *page;
	size_t size;
};

#define PRESENT	8		/* bytes of the value */

static char *trap_page(const struct trap *t, int n)
{
	return t->page + (2 * n + 1) * sysconf(_SC_PAGESIZE);
}

static bool trap_set(struct trap *t, int pages)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	long size = sysconf(_SC_PAGESIZE);

	t->size = 2 * pages * size;
	t->fd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (t->fd < 0 || ioctl(t->fd, UFFDIO_API, &api))
		return false;
	t->page = mmap(NULL, t->size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->page == MAP_FAILED)
		return false;
	range.range.len = size;
	for (int i = 0; i < pages; i++) {
		memset(trap_page(t, i) - size, 0, size);
		range.range.start = (uintptr_t)trap_page(t, i);
		if (ioctl(t->fd, UFFDIO_REGISTER, &range))
			return false;
	}
	return true;
}

/* Whoever waits for this page goes on */
static void trap_spring(struct trap *t, int page)
{
	long size = sysconf(_SC_PAGESIZE);
	struct uffdio_zeropage zero = {
		.range = { (uintptr_t)trap_page(t, page), size },
	};

	ioctl(t->fd, UFFDIO_ZEROPAGE, &zero);
}

static void trap_reset(struct trap *t, int page)
{
	long size = sysconf(_SC_PAGESIZE);

	madvise(trap_page(t, page), size, MADV_DONTNEED);
}

static void trap_remove(struct trap *t)
{
	munmap(t->page, t->size);
	close(t->fd);
}

/*
 * Locks that are taken between the decision to reset a socket and its reset.
 * One thread waits for the FIN on a CPU of its own; a look that was overtaken
 * there hangs at the socket's lock until the holder lets go.
 */
struct snatcher {
	pthread_t thread;
	int fd;
	char *page;
	unsigned int delay;
};

static void *snatch(void *arg)
{
	struct snatcher *s = arg;
	struct pollfd p = { .fd = s->fd, .events = POLLRDHUP };

	on_cpu(1);
	while (!poll(&p, 1, 0))
		;
	for (volatile unsigned int i = 0; i < s->delay; i++)
		;
	setsockopt(s->fd, IPPROTO_TCP, TCP_MD5SIG, s->page - PRESENT,
		   sizeof(struct tcp_md5sig));
	return NULL;
}

/* Both directions shut without being closed: the reset is on its way */
static bool overtaken(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) == 1 && p.revents & POLLHUP &&
	       !(p.revents & POLLERR);
}

/* TCP_INFO would wait for the lock */
static bool gone(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) == 1 && p.revents & POLLERR;
}

static void snatched_locks(void **state)
{
	enum { MOST = 600, OTHERS = 20 };
	static struct snatcher caught[MOST];
	int tries = how_often(300, 20000), n = 0, fd, server;
	int late = 0, delay = 200;
	uint32_t seed = 99;
	pthread_attr_t small;
	struct trap t = { 0 };
	struct pair p;

	(void)state;
	needs_two_cpus();
	if (!trap_set(&t, MOST + 1)) {
		print_message("# no userfaultfd\n");
		skip();
	}
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	on_cpu(0);
	pair_listen(&p, IPV4);
	rule(&p.host, ON_FIN);
	while (tries-- && n < MOST) {
		struct snatcher *s = &caught[n];

		s->fd = dial(&p);
		s->page = trap_page(&t, n);
		s->delay = delay;
		server = accept(p.listener, NULL, NULL);
		carry_byte(s->fd, server);
		assert_int_equal(pthread_create(&s->thread, &small, snatch, s),
				 0);
		sleep_ms(1);
		hang_up(&server);
		sleep_ms(1);
		if (overtaken(s->fd)) {
			sleep_ms(5);
			if (overtaken(s->fd)) {
				n++;
				continue;
			}
		}
		/* feel for the moment between too early and too late */
		if (gone(s->fd)) {
			late++;
			delay -= chance(&seed) % 50;
			delay = delay < 0 ? 0 : delay;
		} else {
			delay += chance(&seed) % 50;
		}
		trap_spring(&t, n);
		pthread_join(s->thread, NULL);
		trap_reset(&t, n);
		close(s->fd);
	}
	printf("# %d resets were overtaken by a lock, %d came first; delay %d\n",
	       n, late, delay);
	for (int i = 0; i < OTHERS; i++) {
		fd = dial(&p);
		server = accept(p.listener, NULL, NULL);
		carry_byte(fd, server);
		hang_up(&server);
		is_reset(fd);
		close(fd);
	}
	for (int i = 0; i < n; i++) {
		trap_spring(&t, i);
		pthread_join(caught[i].thread, NULL);
		close(caught[i].fd);
	}
	trap_remove(&t);
	pthread_attr_destroy(&small);
	pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),
		cmocka_unit_test(never_read),
		cmocka_unit_test(never_accepted),
		cmocka_unit_test(in_flight),
		cmocka_unit_test(passed_to_another_namespace),
		cmocka_unit_test(ktls),
		cmocka_unit_test(sockmap),
		cmocka_unit_test(md5_signed),
		cmocka_unit_test(ao_signed),
		cmocka_unit_test(ao_signed_ipv6),
		cmocka_unit_test(md5_signed_later),
		cmocka_unit_test(fast_open),
		cmocka_unit_test(reuse_port),
		cmocka_unit_test(snatched_locks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
