/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What the XDP program counts; shared between the program and user space. */
#ifndef FLUXNET_BPF_VERDICTS_H
#define FLUXNET_BPF_VERDICTS_H

/* One slot per CPU, each on cache lines of its own. Only its CPU writes a slot; anyone may read it. */
struct flux_verdicts {
	__u64 redirected; /* handed to an AF_XDP socket; the socket may still drop it (XDP_STATISTICS) */
	__u64 passed;     /* no socket on the packet's queue: left to the kernel's own stack */
	__u64 padding[6];
};

#endif
