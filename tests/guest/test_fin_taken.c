// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount
 *
 * The filter of FINs against TCP itself, by dice: segments with FIN in and
 * around the window, which is wide, closed or shrinking; for a socket that a
 * process owns, too, or longer than GRO would make them.  Whichever TCP takes
 * was let through, since nobody repeats it: the socket is reset.  HALFRST_SEED
 * repeats a run.
 */

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dice.h"
#include "host.h"
#include "pagefault.h"
#include "rules.h"

#define ENDS	4		/* that a watch remembers of a socket */
#define SHRINK	"/proc/sys/net/ipv4/tcp_shrink_window"

static uint32_t seed;
static unsigned long fins_total, lives_total, taken_total, full_total,
		     crowded_total;

static uint32_t received(const struct conn *c)
{
	union {
		char bytes[512];
		uint64_t words[64];
	} info = { 0 };
	socklen_t len = sizeof(info);

	/* tcpi_bytes_received, which glibc's header lacks */
	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) || len < 136)
		peer_fail(c, "TCP_INFO");
	return info.words[128 / 8];
}

/* Of what the application has sent the window alone counts */
static void take_all(struct conn *c)
{
	while (peer_next(c, 0))
		;
}

static void read_all(const struct conn *c)
{
	static char buffer[65536];

	while (recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
		;
}

/* A connection, from a SYN to its reset */
struct life {
	struct conn c;
	uint32_t nxt, edge;	/* what TCP wants next, the most it has offered */
	uint32_t hole[ENDS];	/* a FIN may be held behind these */
	int holes;
	struct pagefault *fault;
};

static void look(struct life *l)
{
	take_all(&l->c);
	l->nxt = received(&l->c) + 1;
	if ((int32_t)(l->c.app_edge - l->edge) > 0)
		l->edge = l->c.app_edge;
	if ((int32_t)(l->nxt - l->edge) > 0)
		l->edge = l->nxt;	/* it takes a little more than that */
}

static int pick(const int *from, int n)
{
	return from[chance(&seed) % n];
}

#define PICK(...) ({							\
	static const int of_[] = { __VA_ARGS__ };			\
	pick(of_, sizeof(of_) / sizeof(*of_));				\
})

static void fin_by_dice(struct life *l, bool untested)
{
	uint32_t seq = PICK(0, 1, 1) ? l->edge : l->nxt, end, ack = 1;
	int len = PICK(0, 0, 0, 0, 1, 1, 100, 100, 1000, 1460, 5000), twist = 0;

	seq += PICK(0, 1, -1, 2, -2, 3, -3, 100, -100, 1000, -1000, 5000);
	if (!PICK(0, 1, 1, 1))
		seq -= len;		/* its end is near that place */
	if (!PICK(0, 1, 1, 1, 1, 1, 1, 1))
		ack = PICK(0, 2, -65534, -65535, 1000, 100000);
	if (!PICK(0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1))
		twist = BAD_CHECKSUM;
	end = seq + len + 1;
	/* no more that may be taken than a watch remembers */
	if (untested ||
	    ((int32_t)(end - l->nxt) >= 0 && (int32_t)(seq - l->edge) <= 0)) {
		if (l->holes == ENDS)
			return;
		l->hole[l->holes++] = seq;
	}
	peer_send_twisted(&l->c, twist, "F. %u:%u(%d) ack %u", seq, end - 1,
			  len, ack);
	fins_total++;
}

/* The next bytes, as many as the window takes or fewer */
static void data(struct life *l, uint32_t most)
{
	uint32_t n = l->edge - l->nxt;

	if (n > most)
		n = most;
	if (!n)
		n = 1;			/* a probe of the window */
	if (n > 60000)
		n = 60000;
	peer_send(&l->c, "P. %u:%u(%u) ack 1", l->nxt, l->nxt + n, n);
	l->nxt += n;
}

static void *blocked_read(void *arg)
{
	struct life *l = arg;

	recv(l->c.fd, l->fault->page, 1, 0);
	return NULL;
}

/* A process owns the socket: all that comes waits in its backlog.  No bytes come
 * behind a FIN, as no honest peer sends them: TCP would merge the two there, and
 * the FIN had another number.
 */
static void busy(struct life *l)
{
	pthread_t thread;
	bool fin = false;

	data(l, 10);
	if (!app_unread(&l->c))
		return;
	look(l);
	assert_int_equal(pthread_create(&thread, NULL, blocked_read, l), 0);
	pagefault_wait(l->fault, 1);
	for (int i = PICK(1, 2, 3); i; i--) {
		fin = fin || PICK(0, 1);
		if (fin)
			fin_by_dice(l, true);
		else
			data(l, PICK(1, 100, 10000));
	}
	pagefault_resolve(l->fault);
	pthread_join(thread, NULL);
	pagefault_again(l->fault);
}

static void step(struct life *l)
{
	int n;

	switch (PICK(0, 1, 2, 3, 4, 4, 4, 4, 4, 4)) {
	case 0:
		data(l, PICK(1, 1000, 3000, 100000));
		break;
	case 1:
		read_all(&l->c);
		break;
	case 2:
		n = PICK(1, 500, 3000, 10000, 60000);
		setsockopt(l->c.fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &n,
			   sizeof(n));
		n = PICK(1, 5000, 20000, 100000);
		setsockopt(l->c.fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof(n));
		break;
	case 3:
		busy(l);
		break;
	default:
		fin_by_dice(l, false);
	}
	look(l);
}

static bool open_still(const struct life *l)
{
	return app_state(&l->c) == TCP_ESTABLISHED;
}

/* The nearest hole that is left, which TCP then gets filled */
static bool next_hole(const struct life *l, uint32_t *hole)
{
	bool found = false;

	for (int i = 0; i < l->holes; i++) {
		uint32_t left = l->hole[i] - l->nxt;

		if (left && left < 1 << 30 && (!found || left < *hole - l->nxt)) {
			*hole = l->hole[i];
			found = true;
		}
	}
	return found;
}

static void live(struct host *h, struct pagefault *fault)
{
	struct life l = { .fault = fault };
	int fd = host_socket(h), n, tries = 100;
	uint32_t hole = 0;
	unsigned long full;

	n = PICK(0, 2000, 2000, 5000, 5000, 5000, 20000);
	if (n)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof(n));
	client_with(&l.c, h, PICK(0, TIMESTAMPS, WINDOW_SCALE,
				  TIMESTAMPS | WINDOW_SCALE), fd);
	l.edge = l.c.app_edge;
	full = counter("full");
	look(&l);
	for (int i = 0; i < 30 && open_still(&l); i++)
		step(&l);
	read_all(&l.c);
	look(&l);
	while (open_still(&l) && next_hole(&l, &hole) && tries--) {
		data(&l, hole - l.nxt);
		read_all(&l.c);
		look(&l);
	}
	taken_total += !open_still(&l);
	/* and at last the honest one */
	while (open_still(&l) && tries-- > 0) {
		peer_send(&l.c, "F. %u:%u(0) ack 1", l.nxt, l.nxt);
		read_all(&l.c);
		look(&l);
	}
	/* or TCP has no window left for it: what it holds takes all the memory */
	if (open_still(&l)) {
		full_total++;
	} else if (!wait_until(app_state(&l.c) == TCP_CLOSE, 10000)) {
		take_all(&l.c);
		/* or a watch no room: TCP held four others when it came */
		if (counter("full") == full)
			peer_fail(&l.c, "connection %lu: TCP is in state %d, and no reset",
				  lives_total, app_state(&l.c));
		crowded_total++;
	}
	host_abort(h, fd);
	fuzz_drain(h);
	lives_total++;
}

static void against_tcp(void **state)
{
	struct host *h = *state;
	/* 20,000 and 1,000,000 over three kinds of sockets */
	unsigned long end = fins_total + how_often(20000, 1000000) / 3;
	struct pagefault fault;

	if (!pagefault_open(&fault)) {
		print_message("# this kernel has no userfaultfd\n");
		skip();
	}
	rule(h, ON_FIN);
	while (fins_total < end) {
		if (!access(SHRINK, W_OK))
			set(SHRINK, lives_total & 1 ? "1" : "0");
		live(h, &fault);
		if (!(lives_total % 500))
			printf("# %lu connections\n", lives_total);
	}
	pagefault_close(&fault);
	printf("# %lu FINs, %lu connections, %lu closed by one of these, %lu never\n",
	       fins_total, lives_total, taken_total, full_total);
	assert_in_range(taken_total, lives_total / 10, lives_total);
	print_message("# %lu with more than four held\n", crowded_total);
	assert_in_range(full_total, 0, lives_total / 10);
	assert_in_range(crowded_total, 0, lives_total / 100);
	assert_true(counter("expired") > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(against_tcp),
	};
	const char *s = getenv("HALFRST_SEED");

	seed = s ? strtoul(s, NULL, 0) : 31415927;
	printf("# seed %u\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
