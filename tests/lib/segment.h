/* SPDX-License-Identifier: GPL-2.0-only */
/* What a TCP segment is made of on the wire (RFC 9293, 3.1). */
#ifndef SEGMENT_H
#define SEGMENT_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };

static inline void put16(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = v;
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static inline uint16_t get16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

static inline uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* RFC 1071; four bytes at once, since large segments are summed a lot */
static inline uint32_t sum16(const uint8_t *p, size_t len, uint32_t sum)
{
	uint64_t all = sum;

	for (; len > 3; len -= 4, p += 4)
		all += get32(p);
	for (; len > 1; len -= 2, p += 2)
		all += get16(p);
	if (len)
		all += p[0] << 8;
	while (all >> 32)
		all = (all & 0xffffffff) + (all >> 32);
	return all;
}

static inline uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Both addresses, protocol and length; @ip is an IPv4 or IPv6 header */
static inline uint32_t pseudo_sum(const uint8_t *ip, size_t tcp_len)
{
	uint32_t sum = IPPROTO_TCP + tcp_len;

	return ip[0] >> 4 == 4 ? sum16(ip + 12, 8, sum)
			       : sum16(ip + 8, 32, sum);
}

#endif /* SEGMENT_H */
