// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount
 *
 * Layers above TCP: bytes that send() took and kTLS or a sockmap still holds
 * are never dropped without a deadline, and what they hold for a reader waits
 * as they can stand it.  SMC, which uses the same pointers, is not taken for them.
 *
 *	near: the application, rule ── near0 (veth) far0 ── far: the peer
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel.h"
#include "layer.h"
#include "link.h"
#include "rules.h"

#define PORT		8080
#define LONG		600000		/* ms */
#define MS		1000LL
#define SECOND		(1000 * MS)
#ifndef AF_SMC
#define AF_SMC		43
#endif

/* The peer closes its side; returns when TCP has taken that */
static int64_t half_close(struct served *s)
{
	int64_t start;

	shutdown(s->peer, SHUT_WR);
	wait_for(socket_state(s->app) == TCP_CLOSE_WAIT, 5000);
	start = now_us();
	if (kernel_before(5, 10) && counter("exempt")) {
		print_message("# this kernel does not mark a sockmap's sockets, which are exempt\n");
		skip();
	}
	return start;
}

static void waits(struct served *s, int ms)
{
	sleep_ms(ms);
	assert_int_equal(socket_state(s->app), TCP_CLOSE_WAIT);
	expect_counter("resets", 0);
	expect_counter("watching", 1);
}

static void arrives(int fd, const char *text)
{
	size_t want = strlen(text);
	char buffer[64] = "";

	for (size_t n = 0; n < want;) {
		ssize_t part = recv(fd, buffer + n, want - n, 0);

		if (part <= 0)
			peer_fail(NULL, "%zu of %zu bytes came", n, want);
		n += part;
	}
	assert_string_equal(buffer, text);
}

/* ---- bytes on their way that TCP does not know ---- */

/* The first half of what is written is held, for as long as the application
 * likes; the second sends both, and a second later there is nothing left to
 * wait for.
 */
static void held(struct served *s, int more)
{
	char byte;

	assert_int_equal(send(s->app, "hello", 5, more), 5);
	half_close(s);
	waits(s, LONG);
	assert_int_equal(recv(s->peer, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(send(s->app, "world", 5, MSG_NOSIGNAL), 5);
	arrives(s->peer, "helloworld");
	/* looks are 60 s apart by now */
	wait_until(counter("resets") == 1, 70000);
	expect_counter("resets", 1);
	expect_counter("deadline", 0);
}

/* A deadline is there to drop them: it says so */
static void dropped(struct served *s, int more, int64_t deadline)
{
	int64_t start;
	char byte;

	assert_int_equal(send(s->app, "hello", 5, more), 5);
	start = half_close(s);
	wait_for(counter("resets") == 1, 2 * deadline / MS);
	assert_in_range(now_us() - start, deadline,
			deadline + timer_slack(deadline / 4));
	expect_counter("deadline", 1);
	assert_int_equal(recv(s->peer, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
}

static bool ktls_pair(const struct served *s)
{
	return ktls_on(s->app, TLS_TX) && ktls_on(s->peer, TLS_RX);
}

static void ktls_open_record(void **state)
{
	static const char *const options[] = { "", "--grace 1s", "--grace 10s" };
	struct served s;

	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		served_open(&s, (enum kind)(uintptr_t)*state, PORT, options[i]);
		skip_without_ktls(ktls_pair(&s));
		held(&s, MSG_MORE);
		served_close(&s);
	}
}

static void ktls_deadline(void **state)
{
	struct served s;

	served_open(&s, (enum kind)(uintptr_t)*state, PORT, "--deadline 20s");
	skip_without_ktls(ktls_pair(&s));
	dropped(&s, MSG_MORE, 20 * SECOND);
	served_close(&s);
}

/* A record of which TCP's buffer had room for a part only */
static void ktls_part_of_a_record(void **state)
{
	static char bytes[400000], got[sizeof(bytes)];
	size_t sent = 0, n = 0;
	int small = 4096;
	struct served s;
	ssize_t part;

	served_open(&s, (enum kind)(uintptr_t)*state, PORT, "");
	skip_without_ktls(ktls_pair(&s));
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = stream_byte(i);
	setsockopt(s.app, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	setsockopt(s.peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	fcntl(s.app, F_SETFL, O_NONBLOCK);
	while (sent < sizeof(bytes)) {
		part = send(s.app, bytes + sent, sizeof(bytes) - sent,
			    MSG_NOSIGNAL);
		if (part <= 0)
			break;
		sent += part;
	}
	assert_true(sent > 0);
	half_close(&s);
	while (n < sent) {
		part = recv(s.peer, got + n, sizeof(got) - n, 0);
		if (part < 0 && errno == EMSGSIZE) {
			print_message("# this kernel's kTLS takes no record above its buffer\n");
			skip();
		}
		if (part <= 0)
			peer_fail(NULL, "%zu of %zu bytes came", n, sent);
		n += part;
		sleep_ms(200);
	}
	assert_memory_equal(got, bytes, sent);
	wait_for(counter("resets") == 1, 130000);
	served_close(&s);
}

static int corked(struct served *s)
{
	int map = sockmap_new(1);

	skip_without_sockmap(map);
	sockmap_corks(map);
	sockmap_put(map, 0, s->app);
	return map;
}

static void sockmap_cork(void **state)
{
	struct served s;
	int map;

	served_open(&s, (enum kind)(uintptr_t)*state, PORT, "");
	map = corked(&s);
	held(&s, 0);
	close(map);
	served_close(&s);
}

static void sockmap_deadline(void **state)
{
	struct served s;
	int map;

	served_open(&s, (enum kind)(uintptr_t)*state, PORT, "--deadline 20s");
	map = corked(&s);
	dropped(&s, 0, 20 * SECOND);
	close(map);
	served_close(&s);
}

/* A sockmap that holds nothing is in nobody's way */
static void sockmap_idle(void **state)
{
	struct served s;
	int map = sockmap_new(1);
	int64_t start;

	skip_without_sockmap(map);
	served_open(&s, (enum kind)(uintptr_t)*state, PORT, "");
	sockmap_put(map, 0, s.app);
	start = half_close(&s);
	wait_for(counter("resets") == 1, 5000);
	assert_true(now_us() - start <= 5 * SECOND / 4 + timer_slack(SECOND));
	close(map);
	served_close(&s);
}

/* ---- bytes for a reader ---- */

/* All that there is up to the end of file, with the error once at most */
static size_t read_all(int fd, char *to, size_t size)
{
	bool failed = false;
	size_t n = 0;

	for (;;) {
		ssize_t part = recv(fd, to + n, size - n, MSG_DONTWAIT);

		if (!part)
			return n;
		if (part < 0 && errno == ECONNRESET && !failed)
			failed = true;
		else if (part < 0)
			peer_fail(NULL, "recv: %s", strerror(errno));
		else
			n += part;
	}
}

static void ktls_unread(struct served *s)
{
	skip_without_ktls(ktls_on(s->app, TLS_RX) && ktls_on(s->peer, TLS_TX));
	assert_int_equal(send(s->peer, "secret", 6, 0), 6);
}

/* Without a grace kTLS's bytes wait: its reader would be told of the error
 * first.
 */
static void ktls_unread_waits(void **state)
{
	char got[16] = "";
	struct served s;

	served_open(&s, (enum kind)(uintptr_t)*state, PORT, "");
	ktls_unread(&s);
	half_close(&s);
	waits(&s, LONG);
	assert_int_equal(recv(s.app, got, sizeof(got), 0), 6);
	assert_string_equal(got, "secret");
	wait_for(counter("resets") == 1, 130000);
	assert_int_equal(read_all(s.app, got, sizeof(got)), 0);
	assert_int_equal(send(s.app, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	served_close(&s);
}

/* With one, it decides: a reader gets the error once, in place of the end of file or
 * before what kTLS had not parsed yet
 */
static void ktls_unread_by_grace(void **state)
{
	char got[16] = "";
	struct served s;
	int64_t start;

	served_open(&s, (enum kind)(uintptr_t)*state, PORT, "--grace 10s");
	ktls_unread(&s);
	assert_int_equal(send(s.peer, "secret", 6, 0), 6);
	start = half_close(&s);
	wait_for(counter("resets") == 1, 20000);
	assert_in_range(now_us() - start, 10 * SECOND,
			12500 * MS + timer_slack(2500 * MS));
	assert_int_equal(read_all(s.app, got, sizeof(got)), 12);
	assert_string_equal(got, "secretsecret");
	assert_int_equal(send(s.app, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	served_close(&s);
}

/* What is written to @from is for whoever reads @to */
static int redirected(int from, int to)
{
	int map = sockmap_new(2);
	struct bpf_insn program[] = {
		{ .code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_2,
		  .src_reg = BPF_PSEUDO_MAP_FD, .imm = map },
		{ 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3,
		  .imm = 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_4,
		  .imm = BPF_F_INGRESS },
		{ .code = BPF_JMP | BPF_CALL,
		  .imm = BPF_FUNC_msg_redirect_map },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	skip_without_sockmap(map);
	sockmap_program(map, program, sizeof(program) / sizeof(*program));
	sockmap_put(map, 0, to);
	sockmap_put(map, 1, from);
	return map;
}

/* In a psock they would go with the connection, on many kernels: they wait,
 * whatever the grace
 */
static void sockmap_unread_waits(void **state)
{
	static const char *const options[] = { "", "--grace 1s" };
	int map, from, to;
	struct served s;
	char got[8] = "";

	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		served_open(&s, (enum kind)(uintptr_t)*state, PORT, options[i]);
		to = link_connect_far(&s.l, PORT);
		from = accept(s.listener, NULL, NULL);
		carry_byte(to, from);
		map = redirected(from, s.app);
		assert_int_equal(send(from, "hello", 5, 0), 5);
		half_close(&s);
		waits(&s, LONG);
		assert_int_equal(recv(s.app, got, sizeof(got), 0), 5);
		assert_string_equal(got, "hello");
		wait_for(counter("resets") == 1, 130000);
		close(map);
		close(from);
		close(to);
		served_close(&s);
	}
}

/* ---- SMC ---- */

/* Falls back to TCP, since its peer knows nothing else.  The TCP socket is the
 * kernel's, with SMC's own in the place of a psock: left alone.
 */
static void smc(void **state)
{
	struct sockaddr_storage a;
	socklen_t len = host_address(IPV4, &a, PEER_IPV4, PEER_IPV6, PORT);
	int listener, fd, peer;
	struct link l;

	(void)state;
	skip_without("smc");
	link_open(&l, IPV4, NULL);
	link_rule(&l, ON_FIN);
	listener = link_listen_far(&l, PORT);
	fd = socket(AF_SMC, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, len), 0);
	peer = accept(listener, NULL, NULL);
	carry_byte(fd, peer);
	shutdown(peer, SHUT_WR);
	wait_for(counter("exempt") == 1, 5000);
	sleep_ms(LONG);
	expect_counter("resets", 0);
	carry_byte(fd, peer);
	close(fd);
	close(peer);
	close(listener);
	link_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINK_ALL(ktls_open_record),
		LINK_ALL(ktls_deadline),
		LINK_TEST(ktls_part_of_a_record, IPV4),
		LINK_ALL(sockmap_cork),
		LINK_ALL(sockmap_deadline),
		LINK_ALL(sockmap_idle),
		LINK_ALL(ktls_unread_waits),
		LINK_ALL(ktls_unread_by_grace),
		LINK_ALL(sockmap_unread_waits),
		cmocka_unit_test(smc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
