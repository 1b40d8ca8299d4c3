// SPDX-License-Identifier: GPL-2.0-only
/* The scripted peer; peer.h tells what a script looks like. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <linux/if_tun.h>
#include <linux/virtio_net.h>

#include <cmocka.h>

#include "peer.h"
#include "segment.h"

static const char flag_names[] = "FSRP.U";	/* bit 0 first */

#define PEER_MSS(p)	((p)->kind == IPV6 ? 1440 : 1460)
#define PEER_WSCALE	7
#define SEGMENT_MAX	65000

bool peer_strict;

int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

/* ---- notation ---- */

static uint32_t relative(uint32_t number, uint32_t base, bool present)
{
	return present ? number - base : 0;
}

uint32_t peer_relative_seq(const struct conn *c, const struct segment *g)
{
	return g->seq - (g->from_peer ? c->iss : c->irs);
}

uint32_t peer_relative_ack(const struct conn *c, const struct segment *g)
{
	return relative(g->ack, g->from_peer ? c->irs : c->iss,
			g->flags & ACK);
}

static void print_flags(char out[8], uint8_t flags)
{
	static const char order[] = "SFRPU.";

	for (const char *f = order; *f; f++)
		if (flags & 1 << (strchr(flag_names, *f) - flag_names))
			*out++ = *f;
	*out = '\0';
}

static void print_segment(char *out, size_t size, const struct conn *c,
			  const struct segment *g)
{
	uint32_t seq = peer_relative_seq(c, g);
	char flags[8];
	int n;

	print_flags(flags, g->flags);
	n = snprintf(out, size, "%s %d:%d(%u)", flags, seq, seq + g->len,
		     g->len);
	if (g->flags & ACK)
		snprintf(out + n, size - n, " ack %d",
			 peer_relative_ack(c, g));
}

struct script {
	uint8_t flags;
	uint32_t seq;
	uint32_t len;
	uint32_t ack;
	uint32_t window;
	uint32_t urgent;
	bool has_window;
	const uint8_t *bytes;		/* in place of the pattern */
};

static bool parse(const char *s, struct script *out)
{
	uint32_t next;
	int n = 0;

	memset(out, 0, sizeof(*out));
	for (; *s && *s != ' '; s++) {
		const char *f = strchr(flag_names, *s);

		if (!f)
			return false;
		out->flags |= 1 << (f - flag_names);
	}
	if (sscanf(s, " %u:%u(%u)%n", &out->seq, &next, &out->len, &n) != 3 ||
	    !n || out->seq + out->len != next)
		return false;
	s += n;
	if (out->flags & ACK) {
		n = 0;
		if (sscanf(s, " ack %u%n", &out->ack, &n) != 1)
			return false;
		s += n;
	}
	n = 0;
	if (sscanf(s, " win %u%n", &out->window, &n) == 1) {
		out->has_window = true;
		s += n;
	}
	n = 0;
	if (sscanf(s, " urg %u%n", &out->urgent, &n) == 1)
		s += n;
	return !*s;
}

/* ---- the log ---- */

static bool same_conn(const struct conn *c, const struct segment *g)
{
	return g->app_port == c->app_port && g->peer_port == c->peer_port;
}

static void log_segment(struct peer *p, const struct segment *g)
{
	struct segment *copy = malloc(sizeof(*copy));

	p->log = realloc(p->log, (p->segments + 1) * sizeof(*p->log));
	if (!copy || !p->log)
		abort();
	*copy = *g;
	p->log[p->segments++] = copy;
}

static void dump(const struct conn *c)
{
	int64_t start = 0;
	char text[96];

	for (size_t i = 0; i < c->peer->segments; i++) {
		const struct segment *g = c->peer->log[i];

		if (!same_conn(c, g))
			continue;
		if (!start)
			start = g->when;
		print_segment(text, sizeof(text), c, g);
		fprintf(stderr, "# %12.6f %s %s win %u%s\n",
			(g->when - start) / 1e6,
			g->from_peer ? "peer >" : "app  <", text, g->window,
			g->taken || g->from_peer ? "" : "   (not awaited)");
	}
	fprintf(stderr, "# %12.6f now\n", (now_us() - start) / 1e6);
}

void peer_fail_at(const struct conn *c, const char *file, int line,
		  const char *format, ...)
{
	va_list args;

	fprintf(stderr, "# %s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	if (c)
		dump(c);
	_fail(file, line);
	abort();
}

char *peer_transcript(const struct conn *c)
{
	size_t size;
	char text[96];
	char *out;
	FILE *f = open_memstream(&out, &size);

	for (size_t i = 0; i < c->peer->segments; i++) {
		const struct segment *g = c->peer->log[i];

		if (!same_conn(c, g) || g->from_peer)
			continue;
		print_segment(text, sizeof(text), c, g);
		fprintf(f, "%s\n", text);
	}
	fclose(f);
	return out;
}

/* ---- the wire ---- */

void peer_open(struct peer *p, enum kind kind)
{
	struct ifreq ifr = {
		.ifr_name = "peer0",
		.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR,
	};

	memset(p, 0, sizeof(*p));
	p->kind = kind;
	p->next_port = 20000;
	/* close to the wrap, so that every test crosses it */
	p->iss = 0xfffffff8;
	p->tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (p->tun < 0 || ioctl(p->tun, TUNSETIFF, &ifr))
		peer_fail(NULL, "/dev/net/tun: %s", strerror(errno));
}

void peer_close(struct peer *p)
{
	close(p->tun);
	for (size_t i = 0; i < p->segments; i++)
		free(p->log[i]);
	free(p->log);
	memset(p, 0, sizeof(*p));
	p->tun = -1;
}

static size_t put_ip(const struct peer *p, uint8_t *ip, size_t tcp_len)
{
	if (p->kind == IPV6) {
		ip[0] = 6 << 4;
		put16(ip + 4, tcp_len);
		ip[6] = IPPROTO_TCP;
		ip[7] = 64;
		inet_pton(AF_INET6, PEER_IPV6, ip + 8);
		inet_pton(AF_INET6, APP_IPV6, ip + 24);
		return 40;
	}
	ip[0] = 4 << 4 | 5;
	put16(ip + 2, 20 + tcp_len);
	ip[6] = 0x40;				/* don't fragment */
	ip[8] = 64;
	ip[9] = IPPROTO_TCP;
	inet_pton(AF_INET, PEER_IPV4, ip + 12);
	inet_pton(AF_INET, APP_IPV4, ip + 16);
	put16(ip + 10, ~fold(sum16(ip, 20, 0)));
	return 20;
}

static size_t put_options(uint8_t *o, const struct conn *c, int syn,
			  uint32_t tsval)
{
	size_t n = 0;

	if (syn >= 0) {
		put32(o, 0x02040000 | PEER_MSS(c->peer));
		n += 4;
	}
	if (syn > 0 && syn & WINDOW_SCALE) {
		put32(o + n, 0x01030300 | PEER_WSCALE);
		n += 4;
	}
	if (c->timestamps) {
		put32(o + n, 0x0101080a);
		put32(o + n + 4, tsval);
		put32(o + n + 8, c->tsval_last);
		n += 12;
	}
	return n;
}

/* @syn: TIMESTAMPS and WINDOW_SCALE for a SYN, -1 for other segments */
static void transmit(struct conn *c, const struct script *s, int twist,
		     int syn)
{
	static uint8_t packet[SEGMENT_MAX + 128];
	struct virtio_net_hdr vnet = { .gso_type = VIRTIO_NET_HDR_GSO_NONE };
	struct iovec iov[] = {
		{ &vnet, sizeof(vnet) },
		{ packet, 0 },
	};
	struct segment g = {
		.when = now_us(),
		.from_peer = true,
		.app_port = c->app_port,
		.peer_port = c->peer_port,
		.flags = s->flags,
		.seq = c->iss + s->seq,
		.ack = s->flags & ACK ? c->irs + s->ack : 0,
		.len = s->len,
		.window = s->has_window ? s->window : 65535,
	};
	uint32_t tsval = g.when / 1000 + 1000000;
	size_t ip_len = c->peer->kind == IPV6 ? 40 : 20;
	uint8_t *tcp = packet + ip_len;
	size_t header, tcp_len;

	if (twist & OLD_TIMESTAMP)
		tsval -= 500000;
	memset(packet, 0, ip_len + 60);
	header = 20 + put_options(tcp + 20, c, syn, tsval);
	tcp_len = header + s->len;
	if (tcp_len + ip_len > sizeof(packet))
		peer_fail(c, "a segment of %u bytes is too long", s->len);
	put_ip(c->peer, packet, tcp_len);
	put16(tcp, c->peer_port);
	put16(tcp + 2, c->app_port);
	put32(tcp + 4, g.seq);
	put32(tcp + 8, g.ack);
	tcp[12] = header / 4 << 4;
	tcp[13] = s->flags;
	put16(tcp + 14, g.window);
	put16(tcp + 18, s->urgent);
	/* a SYN counts as one, so the first data byte has number 1 */
	for (uint32_t i = 0; i < s->len; i++)
		tcp[header + i] = s->bytes ? s->bytes[i] :
					     stream_byte(s->seq - 1 + i);

	if (ip_len + tcp_len > PEER_MTU) {
		vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		vnet.gso_type = ip_len == 40 ? VIRTIO_NET_HDR_GSO_TCPV6 :
					       VIRTIO_NET_HDR_GSO_TCPV4;
		vnet.hdr_len = ip_len + header;
		vnet.gso_size = PEER_MTU - ip_len - header;
		vnet.csum_start = ip_len;
		vnet.csum_offset = 16;
		put16(tcp + 16, fold(pseudo_sum(packet, tcp_len)));
	} else {
		put16(tcp + 16, ~fold(sum16(tcp, tcp_len,
					    pseudo_sum(packet, tcp_len))));
	}
	if (twist & BAD_CHECKSUM)
		tcp[17] ^= 0x55;

	iov[1].iov_len = ip_len + tcp_len;
	log_segment(c->peer, &g);
	if (writev(c->peer->tun, iov, 2) != (ssize_t)(sizeof(vnet) + ip_len +
						      tcp_len))
		peer_fail(c, "writing to the device: %s", strerror(errno));
}

static void take_options(struct segment *g, const uint8_t *o, size_t len)
{
	size_t i = 0;

	g->wscale = -1;
	while (i < len && o[i] != 0) {
		if (o[i] == 1) {
			i++;
			continue;
		}
		if (i + 1 >= len || o[i + 1] < 2 || i + o[i + 1] > len)
			break;
		switch (o[i]) {
		case 2:
			g->mss = get16(o + i + 2);
			break;
		case 3:
			g->wscale = o[i + 2];
			break;
		case 8:
			g->timestamps = true;
			g->tsval = get32(o + i + 2);
			break;
		case 30:
			g->mptcp = true;
			break;
		}
		i += o[i + 1];
	}
}

/* Read one packet from the device; anything but TCP is ignored */
static void receive(struct peer *p)
{
	static uint8_t buffer[65536 + sizeof(struct virtio_net_hdr)];
	uint8_t *ip = buffer + sizeof(struct virtio_net_hdr);
	struct segment g = { .when = now_us() };
	size_t ip_len, tcp_len, header;
	uint8_t *tcp;
	ssize_t n;

	n = read(p->tun, buffer, sizeof(buffer));
	if (n <= (ssize_t)sizeof(struct virtio_net_hdr))
		return;
	n -= sizeof(struct virtio_net_hdr);
	if (n >= 40 && ip[0] >> 4 == 4 && ip[9] == IPPROTO_TCP) {
		ip_len = (ip[0] & 15) * 4;
		tcp_len = get16(ip + 2) - ip_len;
	} else if (n >= 60 && ip[0] >> 4 == 6 && ip[6] == IPPROTO_TCP) {
		ip_len = 40;
		tcp_len = get16(ip + 4);
	} else {
		return;
	}
	tcp = ip + ip_len;
	header = (tcp[12] >> 4) * 4;
	if (ip_len + tcp_len > (size_t)n || header > tcp_len)
		return;
	g.app_port = get16(tcp);
	g.peer_port = get16(tcp + 2);
	g.seq = get32(tcp + 4);
	g.ack = get32(tcp + 8);
	g.flags = tcp[13] & 63;
	g.window = get16(tcp + 14);
	g.len = tcp_len - header;
	if (g.len > sizeof(g.data))
		return;
	memcpy(g.data, tcp + header, g.len);
	take_options(&g, tcp + 20, header - 20);
	g.checksum_ok = fold(sum16(tcp, tcp_len, pseudo_sum(ip, tcp_len))) ==
			0xffff;
	log_segment(p, &g);
}

static struct segment *untaken(const struct conn *c)
{
	for (size_t i = 0; i < c->peer->segments; i++) {
		struct segment *g = c->peer->log[i];

		if (!g->taken && !g->from_peer && same_conn(c, g))
			return g;
	}
	return NULL;
}

/* Wait for the next segment that @find knows how to find */
static struct segment *await(struct peer *p, int ms,
			     struct segment *(*find)(const struct conn *c),
			     const struct conn *c)
{
	int64_t end = now_us() + ms * 1000LL;
	struct pollfd fd = { .fd = p->tun, .events = POLLIN };

	for (;;) {
		struct segment *g = find(c);
		int64_t left = end - now_us();

		if (g)
			return g;
		if (poll(&fd, 1, 0) > 0) {
			receive(p);
			continue;
		}
		if (left <= 0)
			return NULL;
		poll(&fd, 1, (left + 999) / 1000);
	}
}

const struct segment *peer_next(struct conn *c, int ms)
{
	struct segment *g = await(c->peer, ms, untaken, c);

	if (!g)
		return NULL;
	g->taken = true;
	if (g->timestamps)
		c->tsval_last = g->tsval;
	if (!g->checksum_ok)
		peer_fail(c, "the kernel sent a wrong checksum");
	if (g->flags & ACK) {
		c->app_ack = peer_relative_ack(c, g);
		c->app_edge = c->app_ack + (g->window <<
					    (g->flags & SYN ? 0 : c->app_wscale));
	}
	for (uint32_t i = 0; i < g->len; i++) {
		uint32_t at = peer_relative_seq(c, g) - 1 + i;

		if (g->data[i] != stream_byte(at))
			peer_fail(c, "byte %u of the application is wrong", at);
	}
	return g;
}

/* ---- the dialogue ---- */

#define WORDS	96		/* the longest line */

static bool pure_ack(const struct segment *g)
{
	return g->flags == ACK && !g->len;
}

static void read_words(const struct conn *c, const char *file, int line,
		       char text[WORDS], struct script *s, const char *format,
		       va_list args)
{
	vsnprintf(text, WORDS, format, args);
	if (!parse(text, s))
		peer_fail_at(c, file, line, "cannot read \"%s\"", text);
}

void peer_send_at(struct conn *c, const char *file, int line, int twist,
		  const void *bytes, const char *format, ...)
{
	char text[WORDS];
	struct script s;
	va_list args;

	va_start(args, format);
	read_words(c, file, line, text, &s, format, args);
	va_end(args);
	s.bytes = bytes;
	transmit(c, &s, twist, -1);
}

const struct segment *peer_expect_at(struct conn *c, const char *file,
				     int line, int ms, const char *format, ...)
{
	const struct segment *g;
	char text[WORDS], seen[96];
	struct script s;
	va_list args;

	va_start(args, format);
	read_words(c, file, line, text, &s, format, args);
	va_end(args);
	g = peer_next(c, ms);
	if (g && !peer_strict && s.flags & RST && pure_ack(g) &&
	    g->ack == c->iss + s.ack)
		g = peer_next(c, ms);
	if (!g)
		peer_fail_at(c, file, line, "\"%s\" did not come within %d ms",
			     text, ms);
	if (g->flags != s.flags || g->seq != c->irs + s.seq ||
	    g->len != s.len ||
	    (s.flags & ACK && g->ack != c->iss + s.ack) ||
	    (s.has_window && g->window != s.window)) {
		print_segment(seen, sizeof(seen), c, g);
		peer_fail_at(c, file, line, "expected \"%s\", saw \"%s\"",
			     text, seen);
	}
	return g;
}

void peer_expect_nothing_at(struct conn *c, const char *file, int line,
			    int ms)
{
	struct segment *g = await(c->peer, ms, untaken, c);
	char seen[96];

	if (!g)
		return;
	print_segment(seen, sizeof(seen), c, g);
	peer_fail_at(c, file, line, "expected nothing for %d ms, saw \"%s\"",
		     ms, seen);
}

void peer_expect_acks_at(struct conn *c, const char *file, int line,
			 uint32_t ack)
{
	const struct segment *g;

	do {
		g = peer_next(c, PEER_PATIENCE);
		if (!g || !pure_ack(g))
			peer_fail_at(c, file, line,
				     "%s instead of an ACK up to %u",
				     g ? "another segment" : "nothing", ack);
	} while (c->app_ack != ack);
}

void peer_take_acks_at(struct conn *c, const char *file, int line, int ms)
{
	const struct segment *g;

	while ((g = peer_next(c, ms)))
		if (!pure_ack(g))
			peer_fail_at(c, file, line, "more than an ACK");
}

/* A SYN to @c->peer_port, from any port */
static struct segment *syn_for(const struct conn *c)
{
	for (size_t i = 0; i < c->peer->segments; i++) {
		struct segment *g = c->peer->log[i];

		if (!g->taken && !g->from_peer && g->flags == SYN &&
		    g->peer_port == c->peer_port)
			return g;
	}
	return NULL;
}

/* A reset frees the application's port, and a new connection may get it */
static void forget_earlier(const struct conn *c, const struct segment *syn)
{
	for (size_t i = 0; c->peer->log[i] != syn; i++)
		if (same_conn(c, c->peer->log[i]))
			c->peer->log[i]->taken = true;
}

static void start(struct conn *c, struct peer *p)
{
	c->peer = p;
	c->iss = p->iss;
	c->irs = 0;
	c->tsval_last = 0;
	c->app_wscale = 0;
	c->app_ack = 1;
	c->app_edge = 1;
	c->written = 0;
	c->read = 0;
}

static void agree(struct conn *c, const struct segment *syn, int options)
{
	c->irs = syn->seq;
	c->timestamps = options & TIMESTAMPS && syn->timestamps;
	c->tsval_last = syn->tsval;
	if (options & WINDOW_SCALE && syn->wscale >= 0)
		c->app_wscale = syn->wscale;
}

void peer_accept(struct conn *c, struct peer *p, uint16_t port, int options)
{
	struct script answer = { .flags = SYN | ACK, .ack = 1 };
	struct segment *syn;

	start(c, p);
	c->peer_port = port;
	syn = await(p, PEER_PATIENCE, syn_for, c);
	if (!syn)
		peer_fail(NULL, "no SYN to port %u", port);
	syn->taken = true;
	c->app_port = syn->app_port;
	forget_earlier(c, syn);
	agree(c, syn, options);
	transmit(c, &answer, 0, options);
	peer_expect(c, ". 1:1(0) ack 1");
}

void peer_syn(struct conn *c, struct peer *p, uint16_t port, int options)
{
	struct script s = { .flags = SYN };

	start(c, p);
	c->app_port = port;
	c->peer_port = p->next_port++;
	c->timestamps = options & TIMESTAMPS;
	transmit(c, &s, 0, options);
}

void peer_connect(struct conn *c, struct peer *p, uint16_t port, int options)
{
	struct segment *g;

	peer_syn(c, p, port, options);
	g = await(p, PEER_PATIENCE, untaken, c);
	if (!g || g->flags != (SYN | ACK))
		peer_fail(c, "no SYN-ACK from port %u", port);
	agree(c, g, options);
	peer_expect(c, "S. 0:0(0) ack 1");
	peer_send(c, ". 1:1(0) ack 1");
}
