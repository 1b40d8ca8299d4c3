// SPDX-License-Identifier: GPL-2.0-only
/* Pages that are not there; pagefault.h tells what for. */

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host.h"
#include "pagefault.h"

bool pagefault_open(struct pagefault *f)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	f->size = sysconf(_SC_PAGESIZE);
	f->uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (f->uffd < 0)
		return false;
	f->page = mmap(NULL, 2 * f->size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->page == MAP_FAILED)
		return false;
	memset(f->page, 0, f->size);
	f->page += f->size;
	reg.range.start = (uintptr_t)f->page;
	reg.range.len = f->size;
	return !ioctl(f->uffd, UFFDIO_API, &api) &&
	       !ioctl(f->uffd, UFFDIO_REGISTER, &reg);
}

void pagefault_resolve(struct pagefault *f)
{
	struct uffdio_zeropage zero = {
		.range = { (uintptr_t)f->page, f->size },
	};

	if (ioctl(f->uffd, UFFDIO_ZEROPAGE, &zero))
		peer_fail(NULL, "UFFDIO_ZEROPAGE: %s", strerror(errno));
}

void pagefault_wait(struct pagefault *f, int n)
{
	struct pollfd p = { .fd = f->uffd, .events = POLLIN };
	struct uffd_msg msg;

	while (n) {
		if (poll(&p, 1, 60000) <= 0)
			peer_fail(NULL, "%d do not wait", n);
		n -= read(f->uffd, &msg, sizeof(msg)) == sizeof(msg);
	}
}

void pagefault_again(struct pagefault *f)
{
	if (madvise(f->page, f->size, MADV_DONTNEED))
		peer_fail(NULL, "madvise: %s", strerror(errno));
}

void pagefault_close(struct pagefault *f)
{
	close(f->uffd);
	munmap(f->page - f->size, 2 * f->size);
}
