// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * Hands every packet to the AF_XDP socket registered for the receive queue it came in on; a packet on a queue without a
 * socket goes on to the kernel.
 *
 * Section xdp.frags: the program accepts packets that span several buffers, which lets it be attached to interfaces with a
 * large MTU. It never touches packet bytes, so the verifier asks for no bounds check.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "verdicts.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1); /* resized to the number of queues before loading */
} xsks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct flux_verdicts);
	__uint(max_entries, 1); /* resized to the number of possible CPUs before loading */
} verdicts SEC(".maps");

SEC("xdp.frags")
int flux_redirect(struct xdp_md *ctx)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct flux_verdicts *count = bpf_map_lookup_elem(&verdicts, &cpu);
	/* The low bits of the flags are the verdict when the map has no socket for the queue. */
	long verdict = bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS);

	/* The lookup cannot fail, but the verifier wants to see the test. */
	if (count) {
		if (verdict == XDP_REDIRECT) {
			count->redirected++;
			/*
			 * Keeps the branches apart. Clang would merge them into one increment through a computed pointer, and
			 * such arithmetic is refused to those who have CAP_BPF without CAP_PERFMON.
			 */
			asm volatile("" ::: "memory");
		} else {
			count->passed++;
		}
	}
	return verdict;
}

/* The program may be used under the BSD licence too; this string is what the kernel checks for GPL-only helpers. */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
