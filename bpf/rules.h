/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The rules of a filter as the XDP program reads them; shared between the program and user space, which are compiled
 * together: nobody else reads this layout.
 *
 * One `flux_rules` is one generation of a filter, the only element of an array map of its own. It is written before the
 * program can see it and never afterwards: a change puts another map into the slot `filter` (an array of maps), by one
 * pointer, so that a packet is judged by one generation from beginning to end. The update of such a slot returns when no run
 * of the program is under way that began with the former map.
 * Counters outlive generations: a rule names its slot in flux_rule_hits. Twice as many slots as rules: those of a new
 * generation are not those that runs under way still count in.
 */
#ifndef FLUXNET_BPF_RULES_H
#define FLUXNET_BPF_RULES_H

#include <linux/types.h>

#define FLUX_MOST_RULES 64
#define FLUX_HIT_SLOTS 128
#define FLUX_MOST_EXTENSIONS 4

/* What a rule asks for and a packet shows, in one word that is compared at once. */
#define FLUX_KEY_ETHER_TYPE(type) ((__u64)(type) << 48)
#define FLUX_KEY_VERSION(version) ((__u64)(version) << 40) /* of IP; 0: not IP */
#define FLUX_KEY_PROTOCOL(number) ((__u64)(number) << 32)
/* Bits that are 0 in both words: in a mask, what the rule asks for beyond the word; in `unknown`, what the packet hides. */
#define FLUX_KEY_ADDRESSES 1ULL
#define FLUX_KEY_PORTS 2ULL

enum flux_rule_verdict { FLUX_REDIRECT, FLUX_PASS, FLUX_DROP };

struct flux_rule {
	__u64 key;
	__u64 mask;
	/* As they stand in a packet; 4 bytes and zeros for IPv4. What the masks leave out is 0. */
	__u64 destination[2];
	__u64 destination_mask[2];
	__u64 source[2];
	__u64 source_mask[2];
	__u16 destination_first; /* ports, in the host's byte order, both ends included */
	__u16 destination_last;
	__u16 source_first;
	__u16 source_last;
	__u16 slot; /* in flux_rule_hits */
	__u8 verdict;
	__u8 padding[5];
};

struct flux_rules {
	__u32 count;
	__u32 padding[15];
	/* One more than there can be: a pointer behind the last one has to stay inside, without CAP_PERFMON. */
	struct flux_rule rule[FLUX_MOST_RULES + 1];
};

/* One for each CPU: only its CPU writes it, anyone may read it. */
struct flux_rule_hits {
	__u64 of[FLUX_HIT_SLOTS];
};

#endif
