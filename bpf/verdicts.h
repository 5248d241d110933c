/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What the XDP programs count; shared between the programs and user space. */
#ifndef FLUXNET_BPF_VERDICTS_H
#define FLUXNET_BPF_VERDICTS_H

#include <linux/types.h>

/* One slot per CPU, each on cache lines of its own. Only its CPU writes a slot; anyone may read it. */
struct flux_verdicts {
	/* Each packet is counted in one of these three. */
	__u64 redirected; /* handed to an AF_XDP socket; the socket may still drop it (XDP_STATISTICS) */
	__u64 passed;     /* left to the kernel's own stack: by the filter, or no socket on the packet's queue */
	__u64 dropped;    /* by the filter */
	/* With a filter, each packet that no rule decides is also counted in one of these four. It passes. */
	__u64 unmatched;
	__u64 fragment;
	__u64 tagged;
	__u64 unreadable;
	__u64 padding;
};

#endif
