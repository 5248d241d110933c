// SPDX-License-Identifier: BSD-3-Clause
// The rules of bind(), tried out on a kernel or on a model of one. Observed on Linux 6.18; source: net/xdp/xsk.c.
#pragma once

#include "tests/xsk/bare_socket.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <cstdint>

namespace fluxnet::test {

/// A queue, and whom to ask for it.
struct place {
    kernel& calls;
    int index;
    std::uint32_t queue;
};

inline constexpr int plain = XDP_COPY | XDP_USE_NEED_WAKEUP;

/// A socket with a UMEM of its own.
inline void check_own_rules(const place& at) {
    const umem memory = small_umem();
    bare_socket incomplete(at.calls);
    CHECK(incomplete.bind(at.index, at.queue, plain) == -EINVAL);  // nothing made
    bare_socket without_umem(at.calls);
    REQUIRE(without_umem.make_rx_tx() == 0);
    REQUIRE(without_umem.make_fill_comp() == 0);
    CHECK(without_umem.bind(at.index, at.queue, plain) == -EINVAL);
    bare_socket without_fill(at.calls);
    REQUIRE(without_fill.register_umem(memory) == 0);
    REQUIRE(without_fill.make_rx_tx() == 0);
    REQUIRE(without_fill.make(XDP_UMEM_COMPLETION_RING) == 0);
    CHECK(without_fill.bind(at.index, at.queue, plain) == -EINVAL);

    bare_socket whole(at.calls);
    REQUIRE(whole.make_all(memory));
    CHECK(whole.register_umem(memory) == -EBUSY);
    CHECK(whole.make(XDP_TX_RING) == -EINVAL);
    CHECK(whole.bind(at.index, at.queue, plain) == 0);
    CHECK(whole.bind(at.index, at.queue, plain) == -EBUSY);
    bare_socket late(at.calls);
    REQUIRE(late.make_all(memory));
    CHECK(late.bind(at.index, at.queue, plain) == -EBUSY);
}

/// A socket at `second` that shares the UMEM of one at `first`.
inline void check_sharing_rules(const place& first, const place& second) {
    const umem memory = small_umem();
    bare_socket owner(first.calls);
    REQUIRE(owner.make_all(memory));
    bare_socket sharer(second.calls);
    REQUIRE(sharer.make_rx_tx() == 0);
    const auto share = [&](int flags, int fd) { return sharer.bind(second.index, second.queue, flags, fd); };
    CHECK(share(XDP_SHARED_UMEM, owner.fd()) == -EBADF);  // not bound yet
    REQUIRE(owner.bind(first.index, first.queue, plain) == 0);
    CHECK(share(XDP_SHARED_UMEM, owner.fd()) == -EINVAL);  // no fill and completion ring
    REQUIRE(sharer.make_fill_comp() == 0);
    CHECK(share(XDP_SHARED_UMEM, -1) == -ENOTSOCK);
    CHECK(share(XDP_SHARED_UMEM, sharer.fd()) == -EBADF);
    for (const int flag : {XDP_COPY, XDP_ZEROCOPY, XDP_USE_NEED_WAKEUP, fluxnet::detail::xdp_use_sg}) {
        CHECK(share(XDP_SHARED_UMEM | flag, owner.fd()) == -EINVAL);
    }
    CHECK(sharer.bind(first.index, first.queue, XDP_SHARED_UMEM, owner.fd()) == -EINVAL);  // the queue has its rings

    bare_socket with_umem(second.calls);
    REQUIRE(with_umem.make_all(memory));
    CHECK(with_umem.bind(second.index, second.queue, XDP_SHARED_UMEM, owner.fd()) == -EINVAL);

    CHECK(share(XDP_SHARED_UMEM, owner.fd()) == 0);  // refusals have spoilt nothing
    CHECK(share(XDP_SHARED_UMEM, owner.fd()) == -EBUSY);
    CHECK(sharer.register_umem(memory) == -EBUSY);
    bare_socket third(second.calls);
    REQUIRE(third.make_rx_tx() == 0);
    REQUIRE(third.make_fill_comp() == 0);
    CHECK(third.bind(second.index, second.queue, XDP_SHARED_UMEM, sharer.fd()) == -EINVAL);
    CHECK(third.bind(second.index, second.queue, XDP_SHARED_UMEM, owner.fd()) == -EBUSY);
}

}  // namespace fluxnet::test
