// SPDX-License-Identifier: GPL-2.0-only
/*
 * What one would write today in HALFRST's place: an iterator over all TCP
 * sockets of the reader's network namespace that ends those in CLOSE_WAIT.
 * To be pinned by "bpftool iter pin"; each read of the pinned file is a sweep.
 * Needs Linux 6.5, for bpf_sock_destroy().
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define CLOSE_WAIT 8

/* The part of the kernel's structures that is used; found by its BTF */
struct sock_common {
	volatile unsigned char skc_state;
} __attribute__((preserve_access_index));

struct bpf_iter__tcp {
	struct sock_common *sk_common;
} __attribute__((preserve_access_index));

extern int bpf_sock_destroy(struct sock_common *sock) __ksym;

SEC("iter/tcp")
int close_wait(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;

	if (sk && sk->skc_state == CLOSE_WAIT)
		bpf_sock_destroy(sk);
	return 0;
}

char _license[] SEC("license") = "GPL";
