// SPDX-License-Identifier: GPL-2.0-only
/* Rules and counters of the current network namespace. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel.h"
#include "rules.h"

#define COUNTERS	"/proc/net/xt_halfrst"

bool legacy_present(void)
{
	static int present = -1;

	if (present < 0)
		present = !system("PATH=${PATH:+$PATH:}/usr/sbin:/sbin "
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

bool by_helper(void)
{
	const char *by = getenv("HALFRST_BY");

	return by && !strcmp(by, "helper");
}

void skip_by_helper(const char *why)
{
	if (!by_helper())
		return;
	print_message("# by helper: %s\n", why);
	skip();
}

/* The helper that has these options of the target, or NULL */
static const char *helper_of(const char *options)
{
	static const char *const helpers[][2] = {
		{ "",			"halfrst" },
		{ "--grace 1s",		"halfrst-1s" },
		{ "--grace 10s",	"halfrst-10s" },
		{ "--grace 1m",		"halfrst-1m" },
		{ "--grace 60s",	"halfrst-1m" },
		{ "--grace 5m",		"halfrst-5m" },
		{ "--grace 30m",	"halfrst-30m" },
		{ "--grace 5m --dry-run", "halfrst-dry" },
		{ "--dry-run --grace 5m", "halfrst-dry" },
	};
	size_t len = strlen(options);

	while (len && options[len - 1] == ' ')
		len--;
	for (size_t i = 0; i < sizeof(helpers) / sizeof(*helpers); i++)
		if (strlen(helpers[i][0]) == len &&
		    !strncmp(options, helpers[i][0], len))
			return helpers[i][1];
	return NULL;
}

/*
 * Every connection's: the first packet may be of either direction, or somebody
 * else's.  What conntrack calls invalid does not come to a helper: here it is
 * told to let pass what it can, so that the helper has to stand it.
 */
static void add_helper(const char *name)
{
	static int tables;	/* the first one counts, as with rules */

	run("printf 'table inet halfrst%d {\n"
	    "ct helper h { type \"%s\" protocol tcp; }\n"
	    "chain output { type filter hook output priority %d;\n"
	    "meta l4proto tcp ct helper set \"h\"; }\n"
	    "chain input { type filter hook input priority %d;\n"
	    "meta l4proto tcp ct helper set \"h\"; }\n"
	    "chain through { type filter hook forward priority %d;\n"
	    "meta l4proto tcp ct helper set \"h\"; }\n"
	    "}' | nft -f - && cd /proc/sys/net/netfilter && "
	    "echo 1 >nf_conntrack_tcp_be_liberal && "
	    "echo 0 >nf_conntrack_checksum",
	    tables, name, tables, tables, tables);
	tables++;
}

static void remove_helpers(void)
{
	run("nft list tables inet | sed -n 's/^table inet halfrst/delete &/p' |"
	    " nft -f -");
}

/* Can a table of nftables do what this rule says, and has it been done? */
static bool translated(const char *text)
{
	static const char target[] = " -j HALFRST";
	const char *options = strstr(text, target);
	char command, matches[64] = "";
	const char *name;

	if (sscanf(text, "-t %*[a-z] -%c INPUT", &command) == 1 &&
	    ((options && command == 'D') || (!options && command == 'F'))) {
		remove_helpers();
		return options;
	}
	if (!options)
		return false;
	if (sscanf(text, "-t %*[a-z] -%c INPUT -p tcp%63[^j]", &command,
		   matches) < 2 || (command != 'A' && command != 'I'))
		return false;
	options += sizeof(target) - 1;
	options += *options == ' ';
	name = helper_of(options);
	if (!name || (strcmp(matches, " -") &&
		      strcmp(matches, " --tcp-flags FIN FIN -")))
		skip_by_helper("there is none for this rule");
	add_helper(name);
	return true;
}

void rule(const struct host *h, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	if (!by_helper() || !translated(text))
		run("%s -w %s", front_end(h), text);
	free(text);
}

/* Read all lines in one go: a snapshot, or as near as there is to one */
static bool snapshot(char *out, size_t size)
{
	FILE *f = open_net("xt_halfrst");
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
	FILE *f = open_net("xt_halfrst");

	if (f)
		fclose(f);
	return f;
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

	/* The lines are read one after the other, a reset may come between.
	 * And the first look is a softirq, which on PREEMPT_RT is a thread.
	 */
	if (counters_present() &&
	    !wait_until(add_up(lines, sizeof(lines)), 10000))
		peer_fail(NULL, "the counters do not add up:\n%s", lines);
}
