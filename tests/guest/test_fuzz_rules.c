// SPDX-License-Identifier: GPL-2.0-only
/* lab: --smp 1
 *
 * Rules by dice from an unprivileged user, who is root in a user namespace
 * of his own: through setsockopt(), as the legacy front end does, and through
 * netlink, as nft's does. A rule is accepted if and only if it is one that
 * the documentation allows; the rest of the message may be anything, as long
 * as the kernel survives it. HALFRST_SEED repeats a run.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* <netinet/in.h> before the kernel's headers */
#include "dice.h"
#include "kernel.h"
#include "rules.h"
#include "xt_HALFRST.h"
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netlink.h>

#define MESSAGE		4096

static uint32_t seed;

struct tally {
	long accepted, refused, wild;
};

static uint32_t interesting(void)
{
	static const uint32_t values[] = {
		0, 1, 2, 1000, 10400, 0x7fffffff, 0x80000000, 0xfffffffe,
		0xffffffff, XT_HALFRST_TIME_MAX, XT_HALFRST_TIME_MAX + 1,
	};
	uint32_t dice = chance(&seed);

	if (dice & 1)
		return values[(dice >> 1) % (sizeof(values) / sizeof(*values))];
	return dice & 2 ? chance(&seed) : chance(&seed) % 100;
}

/* Right more often than wrong, or there would be little to see */
static struct xt_halfrst_info dice_info(void)
{
	struct xt_halfrst_info i = { 0 };
	uint32_t *word = (uint32_t *)&i, dice = chance(&seed);

	i.flags = dice & XT_HALFRST_FLAGS;
	if (i.flags & XT_HALFRST_UID)
		i.uid_min = interesting(), i.uid_max = interesting();
	else
		i.flags &= ~XT_HALFRST_UID_INV;
	if (i.flags & XT_HALFRST_GID)
		i.gid_min = interesting(), i.gid_max = interesting();
	else
		i.flags &= ~XT_HALFRST_GID_INV;
	if (i.flags & XT_HALFRST_DEADLINE)
		i.deadline = interesting();
	if (dice >> 8 & 1)
		i.grace = interesting();
	i.reset_with = (dice >> 9) % XT_HALFRST_ERRORS;
	if (!(dice >> 12 & 3))
		word[(dice >> 14) % (sizeof(i) / 4)] = interesting();
	if (!(dice >> 20 & 7))
		word[(dice >> 23) % (sizeof(i) / 4)] ^= 1u << (dice >> 27);
	return i;
}

static bool range_allowed(const struct xt_halfrst_info *i, uint32_t set,
			  uint32_t inverted, uint32_t min, uint32_t max)
{
	if (i->flags & set)
		return min <= max && max <= 0xfffffffe;
	return !(i->flags & inverted) && min == 0 && max == 0;
}

/* xt_HALFRST.h, as code */
static bool allowed(const struct xt_halfrst_info *i)
{
	bool deadline = i->flags & XT_HALFRST_DEADLINE;

	return i->flags < XT_HALFRST_FLAGS + 1 &&
	       range_allowed(i, XT_HALFRST_UID, XT_HALFRST_UID_INV,
			     i->uid_min, i->uid_max) &&
	       range_allowed(i, XT_HALFRST_GID, XT_HALFRST_GID_INV,
			     i->gid_min, i->gid_max) &&
	       i->grace <= XT_HALFRST_TIME_MAX &&
	       (deadline ? i->deadline >= 1 && i->deadline >= i->grace &&
			   i->deadline <= XT_HALFRST_TIME_MAX
			 : i->deadline == 0) &&
	       i->reset_with < XT_HALFRST_ERRORS;
}

static void print_info(const struct xt_halfrst_info *i, const char *what)
{
	fprintf(stderr, "# %s: flags %#x uid %u-%u gid %u-%u grace %u deadline %u reset_with %u\n",
		what, i->flags, i->uid_min, i->uid_max, i->gid_min,
		i->gid_max, i->grace, i->deadline, i->reset_with);
}

static bool verdict(struct tally *t, const struct xt_halfrst_info *i, int error)
{
	error ? t->refused++ : t->accepted++;
	if ((error && error != EINVAL) || !error != allowed(i)) {
		print_info(i, error ? strerror(error) : "accepted");
		return false;
	}
	return true;
}

static void flip(uint8_t *message, size_t len)
{
	int n = 1 + chance(&seed) % 4;

	while (n--) {
		uint32_t dice = chance(&seed);

		if (dice >> 24 & 1)
			message[dice % len] = dice >> 16;
		else
			message[dice % len] ^= 1 << (dice >> 16 & 7);
	}
}

/* ---- legacy: struct ipt_replace with the rule in INPUT ---- */

struct policy {
	struct ipt_entry entry;
	struct xt_standard_target target;
};

struct blob {
	struct ipt_replace head;
	struct policy out_of_order;	/* never reached; keeps offsets odd */
	struct ipt_entry rule;
	struct xt_entry_target target;
	struct xt_halfrst_info info;
	struct policy input, forward, output;
	struct ipt_entry end;
	struct xt_error_target error;
};

static struct policy policy(void)
{
	struct policy p = {
		.entry.target_offset = sizeof(p.entry),
		.entry.next_offset = sizeof(p),
		.target.target.u.user.target_size = sizeof(p.target),
		.target.verdict = -NF_ACCEPT - 1,
	};

	return p;
}

static struct blob legacy_blob(struct xt_counters *counters)
{
	struct blob b = { .head = { .name = "filter" } };
	const size_t start = offsetof(struct blob, out_of_order);

	b.out_of_order = policy();
	b.input = policy();
	b.forward = policy();
	b.output = policy();
	b.head.valid_hooks = 1 << NF_INET_LOCAL_IN | 1 << NF_INET_FORWARD |
			     1 << NF_INET_LOCAL_OUT;
	b.head.num_entries = 6;
	b.head.size = sizeof(b) - start;
	/* the chain of INPUT begins with the policy that is in front */
	b.head.hook_entry[NF_INET_LOCAL_IN] =
		offsetof(struct blob, rule) - start;
	b.head.underflow[NF_INET_LOCAL_IN] =
		offsetof(struct blob, input) - start;
	b.head.hook_entry[NF_INET_FORWARD] =
		b.head.underflow[NF_INET_FORWARD] =
			offsetof(struct blob, forward) - start;
	b.head.hook_entry[NF_INET_LOCAL_OUT] =
		b.head.underflow[NF_INET_LOCAL_OUT] =
			offsetof(struct blob, output) - start;
	b.head.num_counters = 4;
	b.head.counters = counters;
	b.rule.ip.proto = IPPROTO_TCP;
	b.rule.target_offset = sizeof(b.rule);
	b.rule.next_offset = sizeof(b.rule) + sizeof(b.target) + sizeof(b.info);
	b.target.u.user.target_size = sizeof(b.target) + sizeof(b.info);
	strcpy(b.target.u.user.name, "HALFRST");
	b.end.target_offset = sizeof(b.end);
	b.end.next_offset = sizeof(b.end) + sizeof(b.error);
	b.error.target.u.user.target_size = sizeof(b.error);
	strcpy(b.error.target.u.user.name, XT_ERROR_TARGET);
	strcpy(b.error.errorname, "ERROR");
	return b;
}

static int legacy_set(int fd, const struct blob *b, size_t len)
{
	return setsockopt(fd, IPPROTO_IP, IPT_SO_SET_REPLACE, b, len) ? errno
								      : 0;
}

static bool legacy_fuzz(int n)
{
	static struct xt_counters counters[4096];
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	struct ipt_getinfo info = { .name = "filter" };
	socklen_t len = sizeof(info);
	struct tally t = { 0 };
	struct blob b;

	if (fd < 0 || getsockopt(fd, IPPROTO_IP, IPT_SO_GET_INFO, &info, &len)) {
		perror("# IPT_SO_GET_INFO");
		return false;
	}
	for (int i = 0; i < n; i++) {
		/* the kernel wants to know how many it shall give back */
		len = sizeof(info);
		getsockopt(fd, IPPROTO_IP, IPT_SO_GET_INFO, &info, &len);
		b = legacy_blob(counters);
		b.head.num_counters = info.num_entries;
		b.info = dice_info();
		if (chance(&seed) % 4) {
			if (!verdict(&t, &b.info,
				     legacy_set(fd, &b, sizeof(b))))
				return false;
			continue;
		}
		/* not where the results go */
		flip((uint8_t *)&b + offsetof(struct blob, out_of_order),
		     sizeof(b) - offsetof(struct blob, out_of_order));
		if (!(chance(&seed) % 8))
			b.head.size ^= 1u << chance(&seed) % 12;
		legacy_set(fd, &b, sizeof(b) - (chance(&seed) % 16 ? 0 : 8));
		t.wild++;
	}
	printf("# setsockopt: %ld accepted, %ld refused, %ld wild\n",
	       t.accepted, t.refused, t.wild);
	close(fd);
	return t.accepted && t.refused;
}

/* ---- nft: one batch that adds the rule to a chain ---- */

struct message {
	uint8_t data[MESSAGE];
	size_t len;
};

static void *put(struct message *m, const void *data, size_t len)
{
	void *at = m->data + m->len;

	memset(at, 0, NLMSG_ALIGN(len));
	memcpy(at, data, len);
	m->len += NLMSG_ALIGN(len);
	return at;
}

static size_t begin(struct message *m, int type, int flags, int family,
		    int resource)
{
	struct nlmsghdr n = {
		.nlmsg_type = type,
		.nlmsg_flags = NLM_F_REQUEST | flags,
		.nlmsg_seq = 1,
	};
	struct nfgenmsg g = {
		.nfgen_family = family,
		.version = NFNETLINK_V0,
		.res_id = htons(resource),
	};
	size_t at = m->len;

	put(m, &n, sizeof(n));
	put(m, &g, sizeof(g));
	return at;
}

static void finish(struct message *m, size_t at)
{
	((struct nlmsghdr *)(m->data + at))->nlmsg_len = m->len - at;
}

static void *attribute(struct message *m, int type, const void *data, size_t len)
{
	struct nlattr a = { .nla_len = sizeof(a) + len, .nla_type = type };

	put(m, &a, sizeof(a));
	return put(m, data, len);
}

static void text(struct message *m, int type, const char *s)
{
	attribute(m, type, s, strlen(s) + 1);
}

static void number(struct message *m, int type, uint32_t value)
{
	value = htonl(value);
	attribute(m, type, &value, sizeof(value));
}

static size_t nest(struct message *m, int type)
{
	struct nlattr a = { .nla_type = type | NLA_F_NESTED };
	size_t at = m->len;

	put(m, &a, sizeof(a));
	return at;
}

static void unnest(struct message *m, size_t at)
{
	((struct nlattr *)(m->data + at))->nla_len = m->len - at;
}

#define NFT(type)	(NFNL_SUBSYS_NFTABLES << 8 | (type))

static void batch(struct message *m, int type)
{
	finish(m, begin(m, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

static void table_and_chain(struct message *m)
{
	size_t at = begin(m, NFT(NFT_MSG_NEWTABLE), NLM_F_CREATE, NFPROTO_IPV4,
			  0);
	size_t hook;

	text(m, NFTA_TABLE_NAME, "t");
	finish(m, at);
	at = begin(m, NFT(NFT_MSG_NEWCHAIN), NLM_F_CREATE, NFPROTO_IPV4, 0);
	text(m, NFTA_CHAIN_TABLE, "t");
	text(m, NFTA_CHAIN_NAME, "c");
	hook = nest(m, NFTA_CHAIN_HOOK);
	number(m, NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_IN);
	number(m, NFTA_HOOK_PRIORITY, 0);
	unnest(m, hook);
	text(m, NFTA_CHAIN_TYPE, "filter");
	finish(m, at);
}

/* Sets where the rule's message is, for those who spoil it */
static void new_rule(struct message *m, const struct xt_halfrst_info *info,
		     size_t *from)
{
	size_t list, expression, data, compat, at;

	at = begin(m, NFT(NFT_MSG_NEWRULE), NLM_F_CREATE | NLM_F_ACK,
		   NFPROTO_IPV4, 0);
	text(m, NFTA_RULE_TABLE, "t");
	text(m, NFTA_RULE_CHAIN, "c");
	*from = m->len;
	list = nest(m, NFTA_RULE_EXPRESSIONS);
	expression = nest(m, NFTA_LIST_ELEM);
	text(m, NFTA_EXPR_NAME, "target");
	data = nest(m, NFTA_EXPR_DATA);
	text(m, NFTA_TARGET_NAME, "HALFRST");
	number(m, NFTA_TARGET_REV, 0);
	attribute(m, NFTA_TARGET_INFO, info, sizeof(*info));
	unnest(m, data);
	unnest(m, expression);
	unnest(m, list);
	compat = nest(m, NFTA_RULE_COMPAT);
	number(m, NFTA_RULE_COMPAT_PROTO, IPPROTO_TCP);
	number(m, NFTA_RULE_COMPAT_FLAGS, 0);
	unnest(m, compat);
	finish(m, at);
}

static void empty_chain(struct message *m)
{
	size_t at = begin(m, NFT(NFT_MSG_DELRULE), 0, NFPROTO_IPV4, 0);

	text(m, NFTA_RULE_TABLE, "t");
	text(m, NFTA_RULE_CHAIN, "c");
	finish(m, at);
}

/* The first error that the kernel reports, 0 if it reports none */
static int answers(int fd)
{
	uint8_t buffer[16384];
	int error = 0;
	ssize_t n;

	while ((n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0) {
		struct nlmsghdr *h = (struct nlmsghdr *)buffer;

		for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			struct nlmsgerr *e = NLMSG_DATA(h);

			if (h->nlmsg_type == NLMSG_ERROR && e->error && !error)
				error = -e->error;
		}
	}
	return error;
}

static int nft_send(int fd, const struct message *m)
{
	if (send(fd, m->data, m->len, 0) < 0)
		return errno;
	return answers(fd);
}

static bool nft_fuzz(int n)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	int size = 1 << 20, error;
	struct xt_halfrst_info info;
	struct tally t = { 0 };
	struct message m;
	size_t from;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	for (int i = 0; i < n; i++) {
		m.len = 0;
		batch(&m, NFNL_MSG_BATCH_BEGIN);
		table_and_chain(&m);
		empty_chain(&m);
		info = dice_info();
		new_rule(&m, &info, &from);
		if (!(chance(&seed) % 4)) {
			flip(m.data + from, m.len - from);
			t.wild++;
		} else {
			from = 0;
		}
		batch(&m, NFNL_MSG_BATCH_END);
		error = nft_send(fd, &m);
		if (!from && !verdict(&t, &info, error))
			return false;
	}
	printf("# netlink: %ld accepted, %ld refused, %ld wild\n", t.accepted,
	       t.refused, t.wild);
	close(fd);
	return t.accepted && t.refused;
}

/* ---- from a process that is nobody outside ---- */

static void put_map(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
		fprintf(stderr, "# %s: %s\n", path, strerror(errno));
		_exit(2);
	}
	close(fd);
}

static void become_nobody(void)
{
	if (setgid(10400) || setuid(10400) ||
	    unshare(CLONE_NEWUSER | CLONE_NEWNET) ||
	    prctl(PR_SET_DUMPABLE, 1)) {
		perror("# nobody");
		_exit(2);
	}
	put_map("/proc/self/setgroups", "deny");
	put_map("/proc/self/uid_map", "0 10400 1");
	put_map("/proc/self/gid_map", "0 10400 1");
}

static void as_nobody(bool (*fuzz)(int), int n)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		become_nobody();
		_exit(fuzz(n) && !fflush(stdout) ? 0 : 1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		peer_fail(NULL, "fork: %s", strerror(errno));
	assert_int_equal(status, 0);
	/* its namespace, and every rule in it, goes */
	wait_for(referred_to(0), 10000);
}

static void legacy(void **state)
{
	(void)state;
	skip_without_legacy();
	as_nobody(legacy_fuzz, how_often(1500, 50000));
}

static void nft(void **state)
{
	(void)state;
	as_nobody(nft_fuzz, how_often(1500, 50000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(legacy),
		cmocka_unit_test(nft),
	};
	const char *s = getenv("HALFRST_SEED");

	seed = s ? strtoul(s, NULL, 0) : 271828;
	printf("# seed %u\n", seed);
	/* an unprivileged process loads no modules */
	run("modprobe -a xt_HALFRST nft_compat %s",
	    legacy_present() ? "iptable_filter" : "");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
