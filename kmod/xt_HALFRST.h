/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The HALFRST rule as kernel and user space share it.
 *
 * Fixed-width members only and a size that is a multiple of eight: 32-bit
 * user space on a 64-bit kernel sees the same layout.  There is no kernel
 * pointer in it, so a rule that is read back is the rule that was written.
 */
#ifndef _XT_HALFRST_H
#define _XT_HALFRST_H

#include <linux/types.h>

/* Of module and extension */
#define XT_HALFRST_VERSION	"2.0"

enum {
	XT_HALFRST_UID		= 1 << 0,	/* uid_min..uid_max is set */
	XT_HALFRST_UID_INV	= 1 << 1,	/* ! --uid-owner */
	XT_HALFRST_GID		= 1 << 2,	/* gid_min..gid_max is set */
	XT_HALFRST_GID_INV	= 1 << 3,	/* ! --gid-owner */
	XT_HALFRST_DEADLINE	= 1 << 4,	/* deadline is set */
	XT_HALFRST_DRY_RUN	= 1 << 5,	/* count and trace only */
	XT_HALFRST_FLAGS	= (1 << 6) - 1,	/* every flag there is */
};

/* The error that the next write returns; errno values differ between
 * architectures, so the rule carries an index of its own.  0 is what rules of
 * version 1.0 have that name no error; the extension's default is another.
 */
enum {
	XT_HALFRST_EPIPE,
	XT_HALFRST_ECONNRESET,
	XT_HALFRST_ECONNABORTED,
	XT_HALFRST_ETIMEDOUT,
	XT_HALFRST_ERRORS,			/* how many there are */
};

/* Longest --grace or --deadline: one week, in milliseconds */
#define XT_HALFRST_TIME_MAX	(7U * 24 * 60 * 60 * 1000)

/**
 * struct xt_halfrst_info - one rule's options
 * @flags: XT_HALFRST_* bits; unknown bits are refused
 * @uid_min: first uid of the range, in the rule's user namespace
 * @uid_max: last uid of the range, not below @uid_min
 * @gid_min: first gid of the range
 * @gid_max: last gid of the range, not below @gid_min
 * @grace: how long the socket must have been still, in ms
 * @deadline: reset this long after the FIN whatever is pending, in ms;
 *            at least 1 and at least @grace
 * @reset_with: XT_HALFRST_EPIPE and its siblings
 *
 * A member whose flag is not set is 0.
 */
struct xt_halfrst_info {
	__u32 flags;
	__u32 uid_min;
	__u32 uid_max;
	__u32 gid_min;
	__u32 gid_max;
	__u32 grace;
	__u32 deadline;
	__u32 reset_with;
};

#endif /* _XT_HALFRST_H */
