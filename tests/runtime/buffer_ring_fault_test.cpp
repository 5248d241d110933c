// SPDX-License-Identifier: BSD-3-Clause
// Multi-shot receives, ended in each way at each moment of their life: descriptors, operations and buffers are counted
// afterwards. Every case runs on io_uring, on io_uring of a kernel without buffer rings, and on epoll.
#include "fluxnet/runtime/reactor/buffer_ring.hpp"

#include "tests/runtime/receive_tests.hpp"
#include "tests/support/open_descriptors.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <memory>
#include <optional>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

constexpr std::uint32_t buffers = 4;

/// How far a receive has got.
enum class moment {
    submitted,
    held,     // by the backend
    due,      // there is something to receive
    queued,   // and its result has not been told, where the backend can get there
    told,     // of a first message, whose buffer is still out; the second is due
    at_end,   // the stream has ended, and its result has not been told
    starved,  // the last buffer is out
};
constexpr moment all_moments[] = {moment::submitted, moment::held,   moment::due,    moment::queued,
                                  moment::told,      moment::at_end, moment::starved};

struct world {
    explicit world(reactor_kind kind) : tested(attached(kind)), ring(std::in_place, *tested, config()) {}

    static buffer_ring_config config() { return {.count = buffers, .size = 64}; }

    /// Another one's cancel_now() takes results out of the kernel and tells none.
    void take_results() {
        collector other;
        const socket_pair quiet;
        ring->receive_many(other, quiet.near.get());
        tested->cancel_now(other);
    }

    void bring_to(moment when) {
        if (when == moment::starved) {
            for (std::uint32_t i = 0; i < buffers; ++i) { sockets.send("kept"); }
        }
        ring->receive_many(*operation, sockets.near.get());
        if (when == moment::submitted) { return; }
        tested->poll();
        if (when == moment::held) { return; }
        if (when == moment::starved) {
            REQUIRE(turns_until(*tested, [&] { return operation->buffers.size() == buffers; }));
            if (operation->pending()) { tested->cancel_now(*operation); }
            operation->results.clear();
            operation->ends = 0;
            ring->receive_many(*operation, sockets.near.get());
            return;
        }
        sockets.send("first");
        if (when == moment::due) { return; }
        if (when == moment::told) {
            REQUIRE(turns_until(*tested, [&] { return !operation->results.empty(); }));
            sockets.send("second");
            return;
        }
        if (when == moment::at_end) { sockets.far.reset(); }
        take_results();
    }

    socket_pair sockets;
    std::unique_ptr<reactor> tested;
    std::optional<buffer_ring> ring;
    std::unique_ptr<collector> operation = std::make_unique<collector>();
};

/// Runs `cell` at each moment, and counts what is left.
template <class Cell>
void for_each_moment(reactor_kind kind, Cell cell) {
    for (const moment when : all_moments) {
        CAPTURE(static_cast<int>(when));
        const std::ptrdiff_t before = open_descriptors();
        {
            world here(kind);
            here.bring_to(when);
            cell(here, when);
            here.operation.reset();  // and the buffers that it kept
            if (here.ring) {
                CHECK(here.ring->count().user == 0);
                CHECK(sum(here.ring->count()) == buffers);
            }
        }
        CHECK(collector::alive == 0);
        CHECK(open_descriptors() == before);
    }
}

bool is_over(world& here) {
    return turns_until(*here.tested, [&] { return here.operation->ends != 0; });
}

}  // namespace

FLUXNET_RECEIVE_TEST("a receive that comes to its end by itself at any moment tells everything and leaves nothing") {
    for_each_moment(kind, [](world& here, moment when) {
        if (when != moment::at_end) { here.sockets.send("last"); }
        here.sockets.far.reset();
        REQUIRE(is_over(here));
        CHECK(here.operation->ends == 1);
        CHECK(here.operation->results.back() == (when == moment::starved ? -ENOBUFS : 0));
        CHECK_FALSE(here.operation->pending());
        CHECK(here.operation->text(here.operation->buffers.size() - 1) == (when == moment::starved  ? "kept"
                                                                           : when == moment::at_end ? "first"
                                                                                                    : "last"));
    });
}

FLUXNET_RECEIVE_TEST("a receive cancelled at any moment tells one end and leaves nothing") {
    for_each_moment(kind, [](world& here, moment) {
        here.tested->cancel(*here.operation);
        here.tested->cancel(*here.operation);
        REQUIRE(is_over(here));
        CHECK(here.operation->ends == 1);
        CHECK_FALSE(here.operation->pending());
        here.tested->cancel(*here.operation);
        here.tested->poll();
        CHECK(here.operation->ends == 1);
    });
}

FLUXNET_RECEIVE_TEST("a receive cancelled now at any moment tells nothing more and may be begun again") {
    for_each_moment(kind, [](world& here, moment when) {
        const std::size_t told = here.operation->results.size();
        here.tested->cancel_now(*here.operation);
        CHECK_FALSE(here.operation->pending());
        CHECK_FALSE(here.operation->is_linked());
        here.tested->poll();
        CHECK(here.operation->results.size() == told);
        here.operation->buffers.clear();
        CHECK(here.ring->count().user == 0);
        here.operation->results.clear();
        here.ring->receive_many(*here.operation, here.sockets.near.get());
        if (when != moment::at_end) { here.sockets.send("again"); }
        REQUIRE(turns_until(*here.tested, [&] { return !here.operation->results.empty(); }));
        CHECK(here.operation->results.front() >= 0);
        here.tested->cancel_now(*here.operation);
    });
}

FLUXNET_RECEIVE_TEST("a receive adopted at any moment lives until its last completion and leaves nothing") {
    for_each_moment(kind, [](world& here, moment) {
        collector& kept = *here.operation;
        kept.buffers.clear();
        here.tested->cancel(kept);
        here.tested->adopt(std::move(here.operation));
        CHECK(turns_until(*here.tested, [] { return collector::alive == 0; }));
    });
}

FLUXNET_RECEIVE_TEST("a reactor shut down at any moment of a receive drops it and leaves nothing") {
    for_each_moment(kind, [](world& here, moment) {
        const std::size_t told = here.operation->results.size();
        here.tested->shut_down();
        CHECK_FALSE(here.operation->pending());
        CHECK_FALSE(here.operation->is_linked());
        CHECK(here.operation->results.size() == told);
    });
}

FLUXNET_RECEIVE_TEST("a reactor destroyed at any moment of an adopted receive destroys it too and leaves nothing") {
    for_each_moment(kind, [](world& here, moment) {
        received_buffer kept;
        if (!here.operation->buffers.empty()) { kept = std::move(here.operation->buffers.back()); }
        here.operation->buffers.clear();
        here.tested->adopt(std::move(here.operation));
        here.ring.reset();
        here.tested.reset();
        CHECK(collector::alive == 0);
        CHECK((!kept || kept.bytes().size() >= 4));
    });
}

FLUXNET_RECEIVE_TEST("a ring destroyed at any moment of a receive leaves the receive what it has") {
    for_each_moment(kind, [](world& here, moment when) {
        here.ring.reset();
        if (when != moment::at_end) { here.sockets.send("last"); }
        here.sockets.far.reset();
        REQUIRE(is_over(here));
        CHECK(here.operation->results.back() == (when == moment::starved ? -ENOBUFS : 0));
    });
}
