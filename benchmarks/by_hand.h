/* SPDX-License-Identifier: BSD-3-Clause */
/* `by_hand`: receive and recycle as one writes it in C with libxdp's ring helpers, the peer of our loops. Knows nothing of
 * FluxNet; main() fills in the rings, which are those of one of our sockets. One thread. */
#pragma once

#include <stdint.h>
#include <xdp/xsk.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { by_hand_batch = 64, by_hand_frames = 2048 };

struct by_hand {
    struct xsk_ring_cons rx;
    struct xsk_ring_cons comp;
    struct xsk_ring_prod fill;
    void* memory;
    uint64_t frame_mask;                /* of an address: where in its frame */
    uint64_t free_list[by_hand_frames]; /* addresses of frames */
    uint32_t free_frames;
    int (*wake)(void* context); /* recvfrom() on a socket of the kernel's */
    void* context;
    uint64_t sum; /* what touch() found */
};

/* One batch through a list of free frames, which a program needs that also sends or keeps packets. Returns its size. */
uint32_t by_hand_receive(struct by_hand* self);

/* One batch straight from the RX ring to the fill ring, for a program that does nothing but receive. */
uint32_t by_hand_receive_direct(struct by_hand* self);

#ifdef __cplusplus
}
#endif
