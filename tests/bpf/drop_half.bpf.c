// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * A user's own XDP program: hands every second packet to the socket of its receive queue and drops the others, the first one
 * being kept. Loaded by tests/xsk/kernel_list_program_test.cpp.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 4);
} sockets SEC(".maps");

__u64 seen;
__u64 dropped;

SEC("xdp")
int drop_half(struct xdp_md *ctx)
{
	if (__sync_fetch_and_add(&seen, 1) % 2 == 1) {
		__sync_fetch_and_add(&dropped, 1);
		return XDP_DROP;
	}
	return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
