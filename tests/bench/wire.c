// SPDX-License-Identifier: GPL-2.0-only
/*
 * What one dead connection costs the network and the server.  The client is
 * in the namespace "near", the server in "far"; a request and a response,
 * a pause, the server's close(), and ten seconds later the next request.
 *
 * wire ADDRESS: prints lines "NAME VALUE":
 *	packets	that crossed the link from the FIN on, the FIN included
 *	bytes	of these, link layer included
 *	freed	ns from close() until the server's host knows nothing of the
 *		connection any more, -1 if it still does after two minutes
 *	write	what the next request's write returned: "sent" or an error
 */

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pair.h"

#define S 1000000000LL

/* One of the link's counters; the far end's, in both directions */
static int64_t link_counter(const char *name)
{
	static const char *const directions[] = { "rx", "tx" };
	int64_t sum = 0;

	for (int i = 0; i < 2; i++) {
		char command[128];
		long long n;
		FILE *f;

		snprintf(command, sizeof(command),
			 "ip netns exec far cat /sys/class/net/v1/statistics/%s_%s",
			 directions[i], name);
		f = popen(command, "re");
		if (!f || fscanf(f, "%lld", &n) != 1 || pclose(f))
			die("%s", command);
		sum += n;
	}
	return sum;
}

/* Does the far host know a connection with this port? */
static bool known(uint16_t port)
{
	char line[512];
	FILE *f;
	bool found = false;
	unsigned int remote;

	netns_enter("far");
	f = fopen("/proc/thread-self/net/tcp", "re");
	if (!f)
		die("/proc/net/tcp");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%*d: %*x:%*x %*x:%x", &remote) == 1 &&
		    remote == port)
			found = true;
	fclose(f);
	return found;
}

int main(int argc, char **argv)
{
	int64_t packets, bytes, closed, freed = -1, next;
	const char *said = "sent";
	char request[200] = "";
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	struct pair p;
	int listener;

	if (argc != 2)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	netns_enter("far");
	listener = pair_listener(ntohl(inet_addr(argv[1])), 80);
	netns_enter("near");
	pair_open(&p, listener);
	close(listener);
	if (getsockname(p.client, (struct sockaddr *)&a, &len))
		die("getsockname");
	if (write(p.client, request, sizeof(request)) != sizeof(request) ||
	    read(p.server, request, sizeof(request)) != sizeof(request) ||
	    write(p.server, request, sizeof(request)) != sizeof(request) ||
	    read(p.client, request, sizeof(request)) != sizeof(request))
		die("request and response");
	sleep(2);

	packets = link_counter("packets");
	bytes = link_counter("bytes");
	closed = now();
	close(p.server);
	next = closed + 10 * S;
	while (now() < closed + 120 * S) {
		if (now() >= next) {
			if (write(p.client, request, sizeof(request)) < 0)
				said = errno == EPIPE ? "EPIPE" :
				       errno == ECONNRESET ? "ECONNRESET" :
				       strerror(errno);
			else if (read(p.client, request, sizeof(request)) >= 0)
				said = "sent, then EOF";
			close(p.client);
			next = closed + 1000 * S;
		}
		if (freed < 0 && !known(ntohs(a.sin_port)))
			freed = now() - closed;
		if (freed >= 0 && next > closed + 100 * S)
			break;
		/* a twentieth of the time so far is exact enough */
		usleep(100 + (now() - closed) / 20000);
	}
	sleep(3);
	printf("packets %" PRId64 "\nbytes %" PRId64 "\nfreed %" PRId64
	       "\nwrite %s\n", link_counter("packets") - packets,
	       link_counter("bytes") - bytes, freed, said);
	return 0;
}
