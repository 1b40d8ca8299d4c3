/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads that have a CPU of their own. */
#ifndef CPU_H
#define CPU_H

#include <stdbool.h>

/* Is there more than one? */
bool two_cpus(void);

/* The test is skipped where there is not */
void needs_two_cpus(void);

/* The calling thread runs on this one only, from now on */
void on_cpu(int cpu);

#endif /* CPU_H */
