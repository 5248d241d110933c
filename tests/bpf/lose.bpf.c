// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * Loses packets that leave and reach a kernel's interface: which ones is told by a hash of the seed and of how many packets
 * have passed that way before. Loaded by tests/support/lossy_link.cpp.
 *
 * What is lost is "stolen", and not "shot": of a packet that is shot on its way out TCP is told, and sends it again at once.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

enum way { sent, received, ways };

/* Set before loading. */
const volatile __u64 seed = 0;
const volatile __u32 per_mille[ways] = {};

__u64 seen[ways];
__u64 lost[ways];

/* The output function of SplitMix64. */
static __always_inline __u64 mixed(__u64 bits)
{
	bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9ULL;
	bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebULL;
	return bits ^ (bits >> 31);
}

static __always_inline int pass_or_lose(enum way way)
{
	__u64 number = __sync_fetch_and_add(&seen[way], 1);
	__u64 drawn = mixed(seed + 0x9e3779b97f4a7c15ULL * (number * ways + way + 1));

	if (drawn % 1000 >= per_mille[way])
		return TC_ACT_OK;
	__sync_fetch_and_add(&lost[way], 1);
	return TC_ACT_STOLEN;
}

SEC("tc")
int lose_sent(struct __sk_buff *packet)
{
	return pass_or_lose(sent);
}

SEC("tc")
int lose_received(struct __sk_buff *packet)
{
	return pass_or_lose(received);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
