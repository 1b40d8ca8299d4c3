/* SPDX-License-Identifier: GPL-2.0-only */
/* Layers above TCP: kTLS, and BPF's map of sockets. */
#ifndef LAYER_H
#define LAYER_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/tls.h>

#ifndef SOL_TLS
#define SOL_TLS		282
#endif

/* kTLS for TLS_TX or TLS_RX, with a key that both ends know; false without it */
bool ktls_on(int fd, int direction);

/* The file of a map for @n sockets, -1 if there can be none */
int sockmap_new(int n);

/* Its verdict about what its sockets write */
void sockmap_program(int map, const struct bpf_insn *program, size_t n);

/* That they are kept until there are ten bytes */
void sockmap_corks(int map);
void sockmap_put(int map, int key, int fd);

/* For a test that wants them */
void skip_without_ktls(bool present);
void skip_without_sockmap(int map);

#endif /* LAYER_H */
