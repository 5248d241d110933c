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

/* What flux_walk() returns: an enum flux_rule_verdict, or this and why no rule decides, an enum flux_hidden. */
#define FLUX_UNDECIDED 16

/*
 * Finds the first rule that matches, and counts that it does. A function of its own for the verifier, which so looks at all
 * rules once and not once for every way in which a packet can be read.
 */
__noinline int flux_walk(const struct flux_facts *facts)
{
	const __u32 only = 0;
	__u32 cpu = bpf_get_smp_processor_id();
	void *generation = bpf_map_lookup_elem(&filter, &only);
	const struct flux_rules *rules = generation ? bpf_map_lookup_elem(generation, &only) : 0;
	const struct flux_rule *rule;
	__u32 i;

	if (!facts || !rules)
		return FLUX_UNDECIDED;
	rule = rules->rule;
	for (i = 0; i < FLUX_MOST_RULES && i < rules->count; i++) {
		if (flux_may_match(rule, facts)) {
			struct flux_rule_hits *hits = bpf_map_lookup_elem(&rule_hits, &cpu);

			if (rule->mask & facts->unknown)
				return FLUX_UNDECIDED + (facts->why & 15);
			if (hits)
				hits->of[rule->slot & (FLUX_HIT_SLOTS - 1)]++;
			return rule->verdict;
		}
		rule++;
		/*
		 * Lets clang count on in the pointer. It would add a number to the first one instead, another one each time, and
		 * that is refused to those who do not have CAP_PERFMON.
		 */
		asm volatile("" : "+r"(rule));
	}
	return FLUX_UNDECIDED;
}

SEC("xdp.frags")
int flux_filter(struct xdp_md *ctx)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct flux_verdicts *count = bpf_map_lookup_elem(&verdicts, &cpu);
	struct flux_facts facts = {};
	int judged;

	if (!count)
		return XDP_PASS;
	/* Without an Ethernet header nothing can be said; no device delivers such a packet. */
	judged = flux_read_facts(ctx, &facts) ? FLUX_UNDECIDED + FLUX_UNREADABLE : flux_walk(&facts);
	if (judged == FLUX_REDIRECT && bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS) == XDP_REDIRECT) {
		count->redirected++;
		FLUX_APART();
		return XDP_REDIRECT;
	}
	if (judged == FLUX_DROP) {
		count->dropped++;
		FLUX_APART();
		return XDP_DROP;
	}
	if (judged == FLUX_UNDECIDED + FLUX_HIDES_NOTHING) {
		count->unmatched++;
		FLUX_APART();
	} else if (judged == FLUX_UNDECIDED + FLUX_FRAGMENT) {
		count->fragment++;
		FLUX_APART();
	} else if (judged == FLUX_UNDECIDED + FLUX_TAGGED) {
		count->tagged++;
		FLUX_APART();
	} else if (judged == FLUX_UNDECIDED + FLUX_UNREADABLE) {
		count->unreadable++;
		FLUX_APART();
	}
	count->passed++;
	return XDP_PASS;
}

/* The programs may be used under the BSD licence too; this string is what the kernel checks for GPL-only helpers. */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
