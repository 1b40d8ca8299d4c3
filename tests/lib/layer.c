// SPDX-License-Identifier: GPL-2.0-only
/* Layers above TCP: kTLS, and BPF's map of sockets. */

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host.h"
#include "layer.h"

bool ktls_on(int fd, int direction)
{
	static bool loaded;
	struct tls12_crypto_info_aes_gcm_128 key = {
		.info.version = TLS_1_2_VERSION,
		.info.cipher_type = TLS_CIPHER_AES_GCM_128,
		.key = "0123456789abcde",
	};

	if (!loaded)
		run_status("modprobe -q tls");
	loaded = true;
	return !setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4) &&
	       !setsockopt(fd, SOL_TLS, direction, &key, sizeof(key));
}

static int bpf(int command, union bpf_attr *attr)
{
	return syscall(__NR_bpf, command, attr, sizeof(*attr));
}

int sockmap_new(int n)
{
	union bpf_attr create = {
		.map_type = BPF_MAP_TYPE_SOCKMAP,
		.key_size = 4, .value_size = 4, .max_entries = n,
	};

	/* before 5.11 maps and programs count as locked memory */
	setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY });
	return bpf(BPF_MAP_CREATE, &create);
}

void sockmap_program(int map, const struct bpf_insn *program, size_t n)
{
	union bpf_attr load = {
		.prog_type = BPF_PROG_TYPE_SK_MSG,
		.insns = (uintptr_t)program,
		.insn_cnt = n,
		.license = (uintptr_t)"GPL",
	};
	union bpf_attr attach = {
		.attach_type = BPF_SK_MSG_VERDICT,
		.target_fd = map,
	};
	int fd = bpf(BPF_PROG_LOAD, &load);

	attach.attach_bpf_fd = fd;
	if (fd < 0 || bpf(BPF_PROG_ATTACH, &attach))
		peer_fail(NULL, "a program for a sockmap: %s", strerror(errno));
	close(fd);
}

void sockmap_corks(int map)
{
	static const struct bpf_insn program[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2,
		  .imm = 10 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_msg_cork_bytes },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0,
		  .imm = SK_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	sockmap_program(map, program, sizeof(program) / sizeof(*program));
}

void sockmap_put(int map, int key, int fd)
{
	union bpf_attr update = {
		.map_fd = map,
		.key = (uintptr_t)&key,
		.value = (uintptr_t)&fd,
	};

	if (bpf(BPF_MAP_UPDATE_ELEM, &update))
		peer_fail(NULL, "a socket for a sockmap: %s", strerror(errno));
}

void skip_without_ktls(bool present)
{
	if (present)
		return;
	print_message("# no kTLS: %s\n", strerror(errno));
	skip();
}

void skip_without_sockmap(int map)
{
	if (map >= 0)
		return;
	print_message("# no sockmap: %s\n", strerror(errno));
	skip();
}
