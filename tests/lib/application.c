// SPDX-License-Identifier: GPL-2.0-only
/* The application: what it does with a connection's socket, and what it gets. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "host.h"

static bool wait_event(const struct conn *c, short events)
{
	struct pollfd p = { .fd = c->fd, .events = events };

	return poll(&p, 1, PEER_PATIENCE) > 0;
}

void app_write(struct conn *c, size_t n)
{
	uint8_t buffer[4096];

	while (n) {
		size_t part = n < sizeof(buffer) ? n : sizeof(buffer);
		ssize_t done;

		for (size_t i = 0; i < part; i++)
			buffer[i] = stream_byte(c->written + i);
		done = send(c->fd, buffer, part, MSG_NOSIGNAL);
		if (done < 0 && errno == EAGAIN && wait_event(c, POLLOUT))
			continue;
		if (done < 0)
			peer_fail(c, "send: %s", strerror(errno));
		c->written += done;
		n -= done;
	}
}

void app_read(struct conn *c, size_t n)
{
	uint8_t buffer[65536];

	while (n) {
		size_t part = n < sizeof(buffer) ? n : sizeof(buffer);
		ssize_t done = read(c->fd, buffer, part);

		if (done < 0 && errno == EAGAIN && wait_event(c, POLLIN))
			continue;
		if (done <= 0)
			peer_fail(c, "%zu bytes missing after %u: %s", n,
				  c->read, done ? strerror(errno) : "EOF");
		for (ssize_t i = 0; i < done; i++)
			if (buffer[i] != stream_byte(c->read + i))
				peer_fail(c, "byte %u is wrong",
					  c->read + (uint32_t)i);
		c->read += done;
		n -= done;
	}
}

void app_read_eof(struct conn *c)
{
	char byte;
	ssize_t n = read(c->fd, &byte, 1);

	if (n)
		peer_fail(c, "read: %zd (%s) instead of EOF", n,
			  n < 0 ? strerror(errno) : "data");
}

void app_read_fails(struct conn *c, int error)
{
	char byte;
	ssize_t n = read(c->fd, &byte, 1);

	if (n >= 0 || errno != error)
		peer_fail(c, "read: %zd (%s) instead of %s", n,
			  n < 0 ? strerror(errno) : "", strerror(error));
}

void app_write_fails(struct conn *c, int error)
{
	ssize_t n = send(c->fd, "x", 1, MSG_NOSIGNAL);

	if (n >= 0 || errno != error)
		peer_fail(c, "send: %zd (%s) instead of %s", n,
			  n < 0 ? strerror(errno) : "", strerror(error));
}

int app_state(const struct conn *c)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		peer_fail(c, "TCP_INFO: %s", strerror(errno));
	return info.tcpi_state;
}

static int ask(const struct conn *c, unsigned long request)
{
	int n;

	if (ioctl(c->fd, request, &n))
		peer_fail(c, "ioctl: %s", strerror(errno));
	return n;
}

int app_unread(const struct conn *c)
{
	return ask(c, SIOCINQ);
}

int app_unacked(const struct conn *c)
{
	return ask(c, SIOCOUTQ);
}

int app_error(const struct conn *c)
{
	int error;
	socklen_t len = sizeof(error);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		peer_fail(c, "SO_ERROR: %s", strerror(errno));
	return error;
}

void app_wait_state(struct conn *c, int state, int ms)
{
	/* "at once" is when the kernel is done with what it was doing */
	if (ms < 1000)
		ms = 1000;
	if (!wait_until(app_state(c) == state, ms))
		peer_fail(c, "socket in state %d instead of %d after %d ms",
			  app_state(c), state, ms);
}
