// SPDX-License-Identifier: GPL-2.0-only
/*
 * libxtables' side of the HALFRST target: words to struct xt_halfrst_info
 * and back.  What the words mean is in libxt_HALFRST(8).
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* iptables' own build gives _INIT and makes _init a constructor; outside of
 * it that is up to the header's version. Where extensions are linked in they
 * are called by name: a constructor would register the target twice.
 */
#ifndef _INIT
#define _INIT libxt_HALFRST_init
#endif
#include <xtables.h>
#if !defined(_init) && !defined(NO_SHARED_LIBS)
#define _init __attribute__((constructor)) _INIT
#endif

#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include "xt_HALFRST.h"

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(x) (sizeof(x) / sizeof(*(x)))
#endif

enum {
	O_UID,
	O_GID,
	O_GRACE,
	O_DEADLINE,
	O_RESET_WITH,
	O_DRY_RUN,
};

/* The largest first: a time is printed in the first one that divides it */
static const struct time_unit {
	const char *name;
	unsigned int ms;
} units[] = {
	{ "h",	3600000 },
	{ "m",	60000 },
	{ "s",	1000 },
	{ "ms",	1 },
};

static const char *const errors[XT_HALFRST_ERRORS] = {
	[XT_HALFRST_EPIPE]		= "epipe",
	[XT_HALFRST_ECONNRESET]		= "econnreset",
	[XT_HALFRST_ECONNABORTED]	= "econnaborted",
	[XT_HALFRST_ETIMEDOUT]		= "etimedout",
};

static const struct xt_option_entry halfrst_opts[] = {
	{ .name = "uid-owner", .id = O_UID, .type = XTTYPE_STRING,
	  .flags = XTOPT_INVERT },
	{ .name = "gid-owner", .id = O_GID, .type = XTTYPE_STRING,
	  .flags = XTOPT_INVERT },
	{ .name = "grace", .id = O_GRACE, .type = XTTYPE_STRING },
	{ .name = "deadline", .id = O_DEADLINE, .type = XTTYPE_STRING },
	{ .name = "reset-with", .id = O_RESET_WITH, .type = XTTYPE_STRING },
	{ .name = "dry-run", .id = O_DRY_RUN, .type = XTTYPE_NONE },
	XTOPT_TABLEEND,
	XTOPT_TABLEEND,		/* see halfrst_opts_agree() */
	XTOPT_TABLEEND,
};

/* Does the running libxtables read halfrst_opts as it was written?  The entries
 * have grown in a release whose version, as libxtables compares it, is that of
 * the one before: it then knows the first option only, or crashes.
 */
static bool halfrst_opts_agree(void)
{
	struct option none = { NULL }, *seen, *opts = xt_params->opts;
	unsigned int i, offset = 0;
	bool agree = true;

	/* It frees the options in use, with those of the rule's matches */
	xt_params->opts = NULL;
	seen = xtables_options_xfrm(&none, NULL, halfrst_opts, &offset);
	xt_params->opts = opts;
	if (!seen)
		return false;
	for (i = 0; agree && i <= O_DRY_RUN + 1; i++)
		agree = seen[i].name == halfrst_opts[i].name;
	free(seen);
	return agree;
}

static void halfrst_help(void)
{
	printf(
"HALFRST target v" XT_HALFRST_VERSION " options:\n"
"[!] --uid-owner user|uid[-uid]    Only sockets of this owner\n"
"[!] --gid-owner group|gid[-gid]   Only sockets of this group\n"
"    --grace TIME                  Reset when still for TIME (default 0ms)\n"
"    --deadline TIME               Reset TIME after the FIN even if bytes are\n"
"                                  pending (default: never)\n"
"    --reset-with epipe|econnreset|econnaborted|etimedout\n"
"                                  What the next write fails with\n"
"                                  (default econnreset)\n"
"    --dry-run                     Count what would be reset, reset nothing\n"
"TIME is an integer with a unit, ms, s, m or h; at most 168h.\n");
}

/* For each rule that comes in words; those that are there are listed without.
 * But iptables-nft, since 1.8.10, prepares each of these as well.
 */
static void halfrst_init(struct xt_entry_target *target)
{
	struct xt_halfrst_info *info = (void *)target->data;

	if (!halfrst_opts_agree())
		xtables_error(OTHER_PROBLEM,
			      "HALFRST: libxt_HALFRST.so was built with the headers of another version of iptables: build it again, with this one's");
	/* What breaks fewest programs: unlike epipe it comes without a signal */
	info->reset_with = XT_HALFRST_ECONNRESET;
}

static void __attribute__((noreturn))
bad_value(const struct xt_option_call *cb, const char *allowed)
{
	xtables_error(PARAMETER_PROBLEM, "HALFRST: --%s: bad value \"%s\": want %s",
		      cb->entry->name, cb->arg, allowed);
}

/* Plain decimal digits: what strtoul() takes besides (signs, blanks, octal)
 * would make a typing mistake into another rule.
 */
static bool parse_digits(const char *s, const char **end, __u32 max, __u32 *val)
{
	unsigned long long v;
	char *e;

	if (!isdigit((unsigned char)*s))
		return false;
	errno = 0;
	v = strtoull(s, &e, 10);
	if (errno || v > max)
		return false;
	*end = e;
	*val = v;
	return true;
}

static __u32 parse_time(const struct xt_option_call *cb, __u32 min)
{
	const char *unit;
	unsigned int i;
	__u32 val;

	if (parse_digits(cb->arg, &unit, XT_HALFRST_TIME_MAX, &val))
		for (i = 0; i < ARRAY_SIZE(units); i++)
			if (!strcmp(unit, units[i].name) &&
			    val <= XT_HALFRST_TIME_MAX / units[i].ms &&
			    val * units[i].ms >= min)
				return val * units[i].ms;

	bad_value(cb, min ?
		  "an integer with a unit (ms, s, m or h), 1ms to 168h" :
		  "an integer with a unit (ms, s, m or h), 0ms to 168h");
}

static void parse_range(const struct xt_option_call *cb, const char *allowed,
			__u32 *from, __u32 *to)
{
	/* the highest id of all stands for "no id" */
	const __u32 max = UINT32_MAX - 1;
	const char *end;

	if (!parse_digits(cb->arg, &end, max, from))
		bad_value(cb, allowed);
	*to = *from;
	if (*end == '-' && !parse_digits(end + 1, &end, max, to))
		bad_value(cb, allowed);
	if (*end)
		bad_value(cb, allowed);
	if (*to < *from)
		bad_value(cb, "the lower end of the range first");
}

/* Names come first: one may look like a range, or contain a dash */
static void parse_uid(const struct xt_option_call *cb,
		      struct xt_halfrst_info *info)
{
	const struct passwd *pw = getpwnam(cb->arg);

	info->flags |= XT_HALFRST_UID;
	if (cb->invert)
		info->flags |= XT_HALFRST_UID_INV;
	if (pw)
		info->uid_min = info->uid_max = pw->pw_uid;
	else
		parse_range(cb, "a user, or uid or uid-uid, 0 to 4294967294",
			    &info->uid_min, &info->uid_max);
}

static void parse_gid(const struct xt_option_call *cb,
		      struct xt_halfrst_info *info)
{
	const struct group *gr = getgrnam(cb->arg);

	info->flags |= XT_HALFRST_GID;
	if (cb->invert)
		info->flags |= XT_HALFRST_GID_INV;
	if (gr)
		info->gid_min = info->gid_max = gr->gr_gid;
	else
		parse_range(cb, "a group, or gid or gid-gid, 0 to 4294967294",
			    &info->gid_min, &info->gid_max);
}

static __u32 parse_error(const struct xt_option_call *cb)
{
	__u32 i;

	for (i = 0; i < XT_HALFRST_ERRORS; i++)
		if (!strcmp(cb->arg, errors[i]))
			return i;
	bad_value(cb, "epipe, econnreset, econnaborted or etimedout");
}

static void halfrst_parse(struct xt_option_call *cb)
{
	struct xt_halfrst_info *info = cb->data;
	const void **rule = cb->udata;

	*rule = cb->xt_entry;
	xtables_option_parse(cb);
	switch (cb->entry->id) {
	case O_UID:
		parse_uid(cb, info);
		break;
	case O_GID:
		parse_gid(cb, info);
		break;
	case O_GRACE:
		info->grace = parse_time(cb, 0);
		break;
	case O_DEADLINE:
		info->flags |= XT_HALFRST_DEADLINE;
		info->deadline = parse_time(cb, 1);
		break;
	case O_RESET_WITH:
		info->reset_with = parse_error(cb);
		break;
	case O_DRY_RUN:
		info->flags |= XT_HALFRST_DRY_RUN;
		break;
	}
}

static const struct time_unit *best_unit(__u32 ms)
{
	const struct time_unit *u = units;

	while (u->ms > 1 && (!ms || ms % u->ms))
		u++;
	return u;
}

/* The kernel refuses it, too, but nft's front ends say "Invalid argument" then.
 * Chain and table are not known here.
 */
static void check_protocol(__u16 proto, __u8 invflags)
{
	if (proto != IPPROTO_TCP || invflags & XT_INV_PROTO)
		xtables_error(PARAMETER_PROBLEM, "HALFRST: needs -p tcp");
}

static void halfrst_check(struct xt_fcheck_call *cb)
{
	const struct xt_halfrst_info *info = cb->data;
	const struct time_unit *d, *g;

	if (!(info->flags & XT_HALFRST_DEADLINE) ||
	    info->deadline >= info->grace)
		return;

	d = best_unit(info->deadline);
	g = best_unit(info->grace);
	xtables_error(PARAMETER_PROBLEM,
		      "HALFRST: --deadline: bad value \"%u%s\": want no less than --grace, which is %u%s",
		      info->deadline / d->ms, d->name,
		      info->grace / g->ms, g->name);
}

/* libxtables shows the rule with an option only: without any the kernel says
 * what is wrong.
 */
static void halfrst_check4(struct xt_fcheck_call *cb)
{
	const struct ipt_entry *const *rule = cb->udata;

	if (*rule)
		check_protocol((*rule)->ip.proto, (*rule)->ip.invflags);
	halfrst_check(cb);
}

static void halfrst_check6(struct xt_fcheck_call *cb)
{
	const struct ip6t_entry *const *rule = cb->udata;

	if (*rule)
		check_protocol((*rule)->ipv6.proto, (*rule)->ipv6.invflags);
	halfrst_check(cb);
}

static void print_time(const char *dash, const char *option, __u32 ms)
{
	const struct time_unit *u = best_unit(ms);

	printf(" %s%s %u%s", dash, option, ms / u->ms, u->name);
}

static void print_ids(const char *dash, const char *option, bool invert,
		      __u32 min, __u32 max, const char *name)
{
	printf("%s %s%s ", invert ? " !" : "", dash, option);
	if (name)
		printf("%s", name);
	else if (min == max)
		printf("%u", min);
	else
		printf("%u-%u", min, max);
}

static const char *uid_name(const struct xt_halfrst_info *info)
{
	const struct passwd *pw = NULL;

	if (info->uid_min == info->uid_max)
		pw = getpwuid(info->uid_min);
	return pw ? pw->pw_name : NULL;
}

static const char *gid_name(const struct xt_halfrst_info *info)
{
	const struct group *gr = NULL;

	if (info->gid_min == info->gid_max)
		gr = getgrgid(info->gid_min);
	return gr ? gr->gr_name : NULL;
}

static void print_options(const struct xt_entry_target *target,
			  const char *dash, bool numeric)
{
	const struct xt_halfrst_info *info = (const void *)target->data;

	if (info->flags & XT_HALFRST_UID)
		print_ids(dash, "uid-owner", info->flags & XT_HALFRST_UID_INV,
			  info->uid_min, info->uid_max,
			  numeric ? NULL : uid_name(info));
	if (info->flags & XT_HALFRST_GID)
		print_ids(dash, "gid-owner", info->flags & XT_HALFRST_GID_INV,
			  info->gid_min, info->gid_max,
			  numeric ? NULL : gid_name(info));
	if (info->grace)
		print_time(dash, "grace", info->grace);
	if (info->flags & XT_HALFRST_DEADLINE)
		print_time(dash, "deadline", info->deadline);
	/* Named always: to version 1.0 the lack of it says epipe */
	printf(" %sreset-with %s", dash, info->reset_with < XT_HALFRST_ERRORS ?
	       errors[info->reset_with] : "?");
	if (info->flags & XT_HALFRST_DRY_RUN)
		printf(" %sdry-run", dash);
}

static void halfrst_print(const void *ip __attribute__((unused)),
			  const struct xt_entry_target *target, int numeric)
{
	printf(" HALFRST");
	print_options(target, "", numeric);
}

static void halfrst_save(const void *ip __attribute__((unused)),
			 const struct xt_entry_target *target)
{
	print_options(target, "--", true);
}

static struct xtables_target halfrst_targets[] = {
	{
		.version	= XTABLES_VERSION,
		.name		= "HALFRST",
		.revision	= 0,
		.family		= NFPROTO_IPV4,
		.size		= XT_ALIGN(sizeof(struct xt_halfrst_info)),
		.userspacesize	= XT_ALIGN(sizeof(struct xt_halfrst_info)),
		.help		= halfrst_help,
		.print		= halfrst_print,
		.save		= halfrst_save,
		.init		= halfrst_init,
		.x6_parse	= halfrst_parse,
		.x6_fcheck	= halfrst_check4,
		.x6_options	= halfrst_opts,
		.udata_size	= sizeof(void *),
	},
	{
		.version	= XTABLES_VERSION,
		.name		= "HALFRST",
		.revision	= 0,
		.family		= NFPROTO_IPV6,
		.size		= XT_ALIGN(sizeof(struct xt_halfrst_info)),
		.userspacesize	= XT_ALIGN(sizeof(struct xt_halfrst_info)),
		.help		= halfrst_help,
		.print		= halfrst_print,
		.save		= halfrst_save,
		.init		= halfrst_init,
		.x6_parse	= halfrst_parse,
		.x6_fcheck	= halfrst_check6,
		.x6_options	= halfrst_opts,
		.udata_size	= sizeof(void *),
	},
};

void _init(void)
{
	xtables_register_targets(halfrst_targets, ARRAY_SIZE(halfrst_targets));
}
