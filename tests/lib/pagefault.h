/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A page that is not there until the test says so: whoever touches it waits,
 * with all locks that it holds.  The page in front of it is there.
 */
#ifndef PAGEFAULT_H
#define PAGEFAULT_H

#include <stdbool.h>

struct pagefault {
	int uffd;
	char *page;
	long size;
};

/* false: this kernel has no userfaultfd */
bool pagefault_open(struct pagefault *f);
void pagefault_close(struct pagefault *f);

void pagefault_wait(struct pagefault *f, int n);	/* until @n wait */
void pagefault_resolve(struct pagefault *f);
void pagefault_again(struct pagefault *f);	/* the page is gone again */

#endif /* PAGEFAULT_H */
