// SPDX-License-Identifier: GPL-2.0-only
/* CPUs; cpu.h tells what for. */

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "cpu.h"
#include "host.h"

bool two_cpus(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) > 1;
}

void needs_two_cpus(void)
{
	if (!two_cpus()) {
		print_message("# there is no second CPU\n");
		skip();
	}
}

void on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		peer_fail(NULL, "CPU %d: %s", cpu, strerror(errno));
}
