// SPDX-License-Identifier: GPL-2.0-only
/* Chance; dice.h tells what for. */

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_net.h>

#include "dice.h"
#include "segment.h"

int how_often(int usual, int often)
{
	return getenv("HALFRST_LONG") ? often : usual;
}

uint32_t chance(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static size_t tcp(uint8_t *p, const struct forged *f)
{
	size_t head = 20 + (f->options_len + 3) / 4 * 4;

	memset(p, 0, head);
	put16(p, f->sport);
	put16(p + 2, f->dport);
	put32(p + 4, f->seq);
	put32(p + 8, f->ack);
	p[12] = (f->doff ? f->doff : (int)head / 4) << 4;
	p[13] = f->flags;
	put16(p + 14, f->window);
	if (f->options_len)
		memcpy(p + 20, f->options, f->options_len);
	for (size_t i = 0; i < f->len; i++)
		p[head + i] = stream_byte(i);
	return head + f->len;
}

static size_t ipv4(uint8_t *p, const struct forged *f, size_t len)
{
	int offset = f->fragment > 0 ? f->fragment / 8 : 0;

	memset(p, 0, 20);
	p[0] = 4 << 4 | 5;
	p[1] = f->dscp << 2;
	put16(p + 2, 20 + len);
	put16(p + 4, f->seq);			/* all of one datagram */
	put16(p + 6, (f->more ? 0x2000 : 0) | offset);
	p[8] = f->ttl ? f->ttl : 64;
	p[9] = IPPROTO_TCP;
	inet_pton(AF_INET, PEER_IPV4, p + 12);
	inet_pton(AF_INET, APP_IPV4, p + 16);
	put16(p + 10, ~fold(sum16(p, 20, 0)));
	return 20;
}

/* One extension header at most, eight bytes long */
static size_t ipv6(uint8_t *p, const struct forged *f, size_t len)
{
	uint8_t extension = f->fragment >= 0 ? IPPROTO_FRAGMENT : f->extension;

	memset(p, 0, 48);
	put16(p, 6 << 12 | f->dscp << 6);
	put16(p + 4, len + (extension ? 8 : 0));
	p[6] = extension ? extension : IPPROTO_TCP;
	p[7] = f->ttl ? f->ttl : 64;
	inet_pton(AF_INET6, PEER_IPV6, p + 8);
	inet_pton(AF_INET6, APP_IPV6, p + 24);
	if (!extension)
		return 40;
	p[40] = IPPROTO_TCP;
	if (f->fragment >= 0) {
		put16(p + 42, (f->fragment & ~7) | f->more);
		put32(p + 44, f->seq);
	} else {
		p[42] = 1;			/* PadN */
		p[43] = 4;
	}
	return 48;
}

void forge(const struct host *h, const struct forged *f)
{
	uint8_t packet[sizeof(struct virtio_net_hdr) + 4096];
	uint8_t *ip = packet + sizeof(struct virtio_net_hdr), *segment;
	uint8_t built[4096];
	size_t len = tcp(built, f), head;
	ssize_t done;

	head = h->kind == IPV6 ? ipv6(ip, f, len) : ipv4(ip, f, len);
	segment = ip + head;
	memcpy(segment, built, len);
	put16(segment + 16, ~fold(sum16(segment, len, pseudo_sum(ip, len))) ^
			    f->bad_checksum);
	memset(packet, 0, sizeof(struct virtio_net_hdr));
	len += head;
	if (f->cut > 0 && (size_t)f->cut < len)
		len = f->cut;
	done = write(h->peer.tun, packet, len + sizeof(struct virtio_net_hdr));
	(void)done;		/* too absurd for the device: lost, then */
}

/* Small steps around @right, or anywhere */
static uint32_t near(uint32_t right, uint32_t dice, uint32_t wild)
{
	switch (dice % 16) {
	case 0:
		return right + 1;
	case 1:
		return right - 1;
	case 2:
		return right + dice / 16 % 3000;
	case 3:
		return right - dice / 16 % 3000;
	case 4:
		return right + dice / 16 % 70000;
	case 5:
		return wild;
	default:
		return right;
	}
}

static const uint8_t usual_flags[] = {
	FIN | ACK, FIN | ACK,
	FIN | PSH | ACK, ACK, ACK,
	PSH | ACK, FIN, URG | ACK,
	URG | FIN | ACK, RST | ACK,
	SYN, SYN | ACK,
};

static const uint8_t extensions[] = {
	IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING, IPPROTO_AH,
	IPPROTO_NONE, IPPROTO_ESP,
};

void fuzz_segment(const struct host *h, const struct conn *c, uint32_t *seed)
{
	static const uint16_t lengths[] = { 0, 0, 0, 0, 1, 7, 100, 1400 };
	uint32_t dice = chance(seed), odd = chance(seed);
	uint8_t options[40];
	struct forged f = {
		.sport = c->peer_port,
		.dport = c->app_port,
		.window = dice % 5 ? 65535 : dice >> 16,
		.flags = usual_flags[dice % sizeof(usual_flags)],
		.len = lengths[dice / 64 % 8],
		.fragment = -1,
	};

	/* what was received is known to the socket alone: start at 1 often */
	f.seq = near(c->iss + 1, chance(seed), odd);
	f.ack = near(c->irs + 1, chance(seed), odd);
	if (f.flags & RST && dice >> 28)
		f.flags = ACK;
	switch (odd % 40) {
	case 0:
		f.flags = odd >> 8;
		break;
	case 1:
		f.sport = odd >> 8;
		break;
	case 2:
		f.dport = odd >> 8;
		break;
	case 3:
		f.doff = odd >> 8 & 15;
		break;
	case 4:
		f.bad_checksum = true;
		break;
	case 5:
		f.extension = extensions[(odd >> 8) % sizeof(extensions)];
		break;
	case 6:
		f.fragment = (odd >> 8) % 4 * 8;
		f.more = odd >> 16 & 1;
		break;
	case 7:
		f.cut = 1 + (odd >> 8) % 80;
		break;
	case 8:
	case 9:
	case 10:
		f.options_len = (odd >> 8) % 41;
		for (int i = 0; i < f.options_len; i++)
			options[i] = chance(seed) % (odd & 0x100 ? 256 : 31);
		f.options = options;
		break;
	}
	forge(h, &f);
}

int fuzz_drain(struct host *h)
{
	uint8_t packet[sizeof(struct virtio_net_hdr) + 65536];
	const uint8_t *ip = packet + sizeof(struct virtio_net_hdr);
	struct peer *p = &h->peer;
	int resets = 0;
	ssize_t len;

	while ((len = read(p->tun, packet, sizeof(packet))) > 0) {
		len -= sizeof(struct virtio_net_hdr);
		if (len >= 20 + 20 && ip[0] >> 4 == 4 && ip[9] == IPPROTO_TCP)
			resets += !!(ip[20 + 13] & RST);
		else if (len >= 40 + 20 && ip[0] >> 4 == 6 &&
			 ip[6] == IPPROTO_TCP)
			resets += !!(ip[40 + 13] & RST);
	}
	for (size_t i = 0; i < p->segments; i++)
		free(p->log[i]);
	p->segments = 0;
	return resets;
}
