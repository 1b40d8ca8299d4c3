/* SPDX-License-Identifier: GPL-2.0-only */
/* The rules of the namespace that the test is in, and what they counted. */
#ifndef RULES_H
#define RULES_H

#include <stdbool.h>
#include "host.h"
#include "kernel.h"

/* The usual rule; a literal, so that options can be appended to it */
#define ON_FIN \
	"-t mangle -A INPUT -p tcp --tcp-flags FIN FIN -j HALFRST "

/* The core's parameter, a file for set(), and its default */
#define MAX_WATCHES	core_file("parameters/max_watches")
#define MAX_WATCHES_DEFAULT	"1048576"

/* Hand arguments to the front end of the host's kind; must succeed.
 *
 * With HALFRST_BY=helper in the environment a rule with the target HALFRST
 * becomes a table of nftables that assigns the conntrack helper of the same
 * options to every connection, and a test with other options is skipped.
 */
void rule(const struct host *h, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The front end's command, "ip6tables-legacy" for instance */
const char *front_end(const struct host *h);

/* Has this kernel the tables of the legacy front end?  A kernel with
 * PREEMPT_RT has none from 6.17 on.
 */
bool legacy_present(void);

/* Is it the helper that is tested?  A test of what it does differently */
bool by_helper(void);
void skip_by_helper(const char *why);

/* For a test that is about that front end */
void skip_without_legacy(void);

/* For a test that wants something that small kernels lack */
void skip_without(const char *module);

/* One line of /proc/net/xt_halfrst, of this process's namespace */
unsigned long counter(const char *name);
bool counters_present(void);

/* fins equals the sum of what became of them */
void counters_add_up(void);

#define expect_counter(name, value)					\
	expect_counter_at(__FILE__, __LINE__, name, value)
void expect_counter_at(const char *file, int line, const char *name,
		       unsigned long value);

#endif /* RULES_H */
