// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * Two programs, of which one is loaded for an interface.
 * flux_redirect hands every packet to the AF_XDP socket registered for the receive queue it came in on; it never touches
 * packet bytes. flux_filter does that with the packets that a filter (rules.h) redirects. Both leave a packet on a queue
 * without a socket to the kernel.
 *
 * Section xdp.frags: the programs accept packets that span several buffers, which lets them be attached to interfaces with a
 * large MTU.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "facts.h"
#include "rules.h"
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

/* What follows is made for flux_filter alone. */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct flux_rule_hits);
	__uint(max_entries, 1); /* as verdicts */
} rule_hits SEC(".maps");

/* By sizes: of types that are named only in here, clang tells libbpf nothing but the names. */
struct flux_generation {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct flux_rules));
	__uint(max_entries, 1);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
	__array(values, struct flux_generation);
} filter SEC(".maps");

/*
 * Keeps branches apart that each add to a counter. Clang would merge them into one addition through a computed pointer, and
 * such arithmetic is refused to those who have CAP_BPF without CAP_PERFMON.
 */
#define FLUX_APART() asm volatile("" ::: "memory")

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
			FLUX_APART();
		} else {
			count->passed++;
		}
	}
	return verdict;
}

/* Tells whether nothing that the packet shows is against the rule. What it hides is not compared. */
static __always_inline int flux_may_match(const struct flux_rule *rule, const struct flux_facts *facts)
{
	if ((facts->key ^ rule->key) & rule->mask & ~facts->unknown)
		return 0;
	if (rule->mask & ~facts->unknown & FLUX_KEY_PORTS) {
		if (facts->ports[1] < rule->destination_first || facts->ports[1] > rule->destination_last ||
		    facts->ports[0] < rule->source_first || facts->ports[0] > rule->source_last)
			return 0;
	}
	if (rule->mask & ~facts->unknown & FLUX_KEY_ADDRESSES) {
		if (((facts->destination[0] & rule->destination_mask[0]) ^ rule->destination[0]) |
		    ((facts->destination[1] & rule->destination_mask[1]) ^ rule->destination[1]) |
		    ((facts->source[0] & rule->source_mask[0]) ^ rule->source[0]) |
		    ((facts->source[1] & rule->source_mask[1]) ^ rule->source[1]))
			return 0;
	}
	return 1;
}

/* Counts a packet that no rule decides. */
static __always_inline void flux_undecided(struct flux_verdicts *count, __u32 why)
{
	if (why == FLUX_FRAGMENT) {
		count->fragment++;
		FLUX_APART();
	} else if (why == FLUX_TAGGED) {
		count->tagged++;
		FLUX_APART();
	} else if (why == FLUX_UNREADABLE) {
		count->unreadable++;
		FLUX_APART();
	} else {
		count->unmatched++;
		FLUX_APART();
	}
}

/* Returns the enum flux_rule_verdict of the packet, and counts why. */
static __always_inline __u32 flux_judge(struct xdp_md *ctx, struct flux_verdicts *count, struct flux_rule_hits *hits)
{
	struct flux_facts facts = {};
	const __u32 only = 0;
	const struct flux_rules *rules;
	void *generation;
	__u32 i;

	generation = bpf_map_lookup_elem(&filter, &only);
	rules = generation ? bpf_map_lookup_elem(generation, &only) : 0;
	/* Without an Ethernet header nothing could be said; no device delivers such a packet. */
	if (!rules || flux_read_facts(ctx, &facts)) {
		count->unreadable++;
		return FLUX_PASS;
	}
	for (i = 0; i < FLUX_MOST_RULES && i < rules->count; i++) {
		const struct flux_rule *rule = &rules->rule[i];

		if (!flux_may_match(rule, &facts))
			continue;
		if (rule->mask & facts.unknown) {
			flux_undecided(count, facts.why);
			return FLUX_PASS;
		}
		hits->of[rule->slot & (FLUX_HIT_SLOTS - 1)]++;
		return rule->verdict;
	}
	flux_undecided(count, FLUX_HIDES_NOTHING);
	return FLUX_PASS;
}

SEC("xdp.frags")
int flux_filter(struct xdp_md *ctx)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct flux_verdicts *count = bpf_map_lookup_elem(&verdicts, &cpu);
	struct flux_rule_hits *hits = bpf_map_lookup_elem(&rule_hits, &cpu);
	__u32 judged;

	/* As above: they cannot fail. */
	if (!count || !hits)
		return XDP_PASS;
	judged = flux_judge(ctx, count, hits);
	if (judged == FLUX_DROP) {
		count->dropped++;
		FLUX_APART();
		return XDP_DROP;
	}
	if (judged == FLUX_REDIRECT && bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS) == XDP_REDIRECT) {
		count->redirected++;
		FLUX_APART();
		return XDP_REDIRECT;
	}
	count->passed++;
	return XDP_PASS;
}

/* The programs may be used under the BSD licence too; this string is what the kernel checks for GPL-only helpers. */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
