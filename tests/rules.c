// SPDX-License-Identifier: GPL-2.0-only
/* Rules and counters of the current network namespace. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rules.h"

#define COUNTERS	"/proc/self/net/xt_halfrst"

bool legacy_present(void)
{
	static int present = -1;

	if (present < 0)
		present = !system("PATH=/usr/sbin:/usr/bin:/sbin:/bin "
				  "iptables-legacy -w -t mangle -S "
				  ">/dev/null 2>&1");
	return present;
}

const char *front_end(const struct host *h)
{
	bool nft = h->nft || !legacy_present();

	if (h->kind == IPV6)
		return nft ? "ip6tables-nft" : "ip6tables-legacy";
	return nft ? "iptables-nft" : "iptables-legacy";
}

void skip_without_legacy(void)
{
	if (legacy_present())
		return;
	print_message("# this kernel has no legacy tables\n");
	skip();
}

void skip_without(const char *module)
{
	if (!run_status("modprobe -q %s", module))
		return;
	print_message("# this kernel has no %s\n", module);
	skip();
}

void rule(const struct host *h, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	run("%s -w %s", front_end(h), text);
	free(text);
}

/* Read all lines in one go: a snapshot, or as near as there is to one */
static bool snapshot(char *out, size_t size)
{
	FILE *f = fopen(COUNTERS, "re");
	size_t n;

	if (!f)
		return false;
	n = fread(out, 1, size - 1, f);
	out[n] = '\0';
	fclose(f);
	return true;
}

static bool find(const char *lines, const char *name, unsigned long *value)
{
	size_t len = strlen(name);

	for (; lines; lines = strchr(lines, '\n')) {
		lines += *lines == '\n';
		if (!strncmp(lines, name, len) && lines[len] == ' ')
			return sscanf(lines + len, "%lu", value) == 1;
	}
	return false;
}

bool counters_present(void)
{
	return !access(COUNTERS, R_OK);
}

unsigned long counter(const char *name)
{
	unsigned long value = 0;
	char lines[1024];

	if (!snapshot(lines, sizeof(lines)))
		peer_fail(NULL, "there is no " COUNTERS);
	if (!find(lines, name, &value))
		peer_fail(NULL, COUNTERS " has no line %s:\n%s", name, lines);
	return value;
}

void expect_counter_at(const char *file, int line, const char *name,
		       unsigned long value)
{
	char lines[1024];

	/* counted a moment after what was counted could be seen */
	if (wait_until(counter(name) == value, 1000))
		return;
	snapshot(lines, sizeof(lines));
	peer_fail_at(NULL, file, line, "%s is not %lu:\n%s", name, value,
		     lines);
}

static bool add_up(char *lines, size_t size)
{
	static const char *const outcomes[] = {
		"resets", "dry_run", "closed", "no_socket", "other_owner",
		"wrong_state", "exempt", "expired", "full", "nomem",
		"repeated", "watching",
	};
	unsigned long fins, value, sum = 0;

	if (!snapshot(lines, size) || !find(lines, "fins", &fins))
		return false;
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(*outcomes); i++) {
		if (!find(lines, outcomes[i], &value))
			return false;
		sum += value;
	}
	return sum == fins;
}

void counters_add_up(void)
{
	char lines[1024];

	/* the lines are read one after the other, a reset may come between */
	if (counters_present() &&
	    !wait_until(add_up(lines, sizeof(lines)), 100))
		peer_fail(NULL, "the counters do not add up:\n%s", lines);
}
