/* SPDX-License-Identifier: BSD-3-Clause */
#include "benchmarks/by_hand.h"

#include "benchmarks/touch.h"

static void reclaim(struct by_hand* self) {
    uint32_t at = 0;
    const uint32_t count = xsk_ring_cons__peek(&self->comp, by_hand_batch, &at);
    for (uint32_t i = 0; i < count; ++i) {
        self->free_list[self->free_frames++] = *xsk_ring_cons__comp_addr(&self->comp, at++) & ~self->frame_mask;
    }
    if (count != 0) { xsk_ring_cons__release(&self->comp, count); }
}

static void refill(struct by_hand* self) {
    const uint32_t wanted = self->free_frames < by_hand_batch ? self->free_frames : by_hand_batch;
    uint32_t at = 0;
    const uint32_t count = xsk_ring_prod__reserve(&self->fill, wanted, &at);
    for (uint32_t i = 0; i < count; ++i) {
        *xsk_ring_prod__fill_addr(&self->fill, at++) = self->free_list[--self->free_frames];
    }
    if (count != 0) { xsk_ring_prod__submit(&self->fill, count); }
}

uint32_t by_hand_receive(struct by_hand* self) {
    reclaim(self);
    uint32_t at = 0;
    const uint32_t count = xsk_ring_cons__peek(&self->rx, by_hand_batch, &at);
    uint64_t found = 0;
    for (uint32_t i = 0; i < count; ++i) {
        const struct xdp_desc* packet = xsk_ring_cons__rx_desc(&self->rx, at++);
        found += touch(xsk_umem__get_data(self->memory, packet->addr), packet->len);
        self->free_list[self->free_frames++] = packet->addr & ~self->frame_mask;
    }
    if (count != 0) { xsk_ring_cons__release(&self->rx, count); }
    self->sum += found;
    refill(self);
    if (xsk_ring_prod__needs_wakeup(&self->fill)) { self->wake(self->context); }
    return count;
}

uint32_t by_hand_receive_direct(struct by_hand* self) {
    uint32_t at = 0;
    const uint32_t count = xsk_ring_cons__peek(&self->rx, by_hand_batch, &at);
    if (count == 0) { return 0; }
    uint32_t to = 0;
    while (xsk_ring_prod__reserve(&self->fill, count, &to) != count) { self->wake(self->context); }
    uint64_t found = 0;
    for (uint32_t i = 0; i < count; ++i) {
        const struct xdp_desc* packet = xsk_ring_cons__rx_desc(&self->rx, at++);
        found += touch(xsk_umem__get_data(self->memory, packet->addr), packet->len);
        *xsk_ring_prod__fill_addr(&self->fill, to++) = packet->addr & ~self->frame_mask;
    }
    xsk_ring_prod__submit(&self->fill, count);
    xsk_ring_cons__release(&self->rx, count);
    self->sum += found;
    if (xsk_ring_prod__needs_wakeup(&self->fill)) { self->wake(self->context); }
    return count;
}
