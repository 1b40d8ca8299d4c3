/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel tells of its sockets, memory, counters and modules. */
#ifndef KERNEL_H
#define KERNEL_H

#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>

/* TCP_INFO of any TCP socket, and the state in it */
struct tcp_info socket_info(int fd);
int socket_state(int fd);

/*
 * Objects in use in a slab cache, exactly: what the CPUs keep for themselves
 * is flushed first.  0 if there is no such cache.
 */
long slab_objects(const char *cache);
long slab_bytes(const char *cache);	/* with what its pages leave over */

/*
 * A file of /proc/net, of the network namespace that the process is in now, to
 * read.  NULL and errno if it cannot be opened.
 */
FILE *open_net(const char *name);

/* A line of /proc/net/snmp's Tcp section, "OutRsts" for instance */
long tcp_counter(const char *name);

/* A number out of a file, -1 if it is not there */
long number_in(const char *path);

/* Does this kernel preempt everything (PREEMPT_RT)? */
bool preempt_rt(void);

/* Does it look for mistakes in locks (lockdep), for races (KCSAN)? */
bool checks_locks(void);
bool checks_races(void);

/* Is it older than Linux @major.@minor? */
bool kernel_before(unsigned int major, unsigned int minor);

/* A file below /sys/module, of the module that has the core */
const char *core_file(const char *name);

/* Is HALFRST part of the kernel, so that it never goes? */
bool built_in(void);

/* Do @n rules hold the module?  Nobody counts where it is built in. */
bool referred_to(long n);

#endif /* KERNEL_H */
