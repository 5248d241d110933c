// SPDX-License-Identifier: BSD-3-Clause
// The parts of asio_embed that need neither sockets nor packets.
#include "examples/asio_embed/feed.hpp"
#include "examples/asio_embed/sample_text.hpp"

#include <doctest/doctest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

using namespace embed_example;

namespace {

/// Notes what is viewed, and "end" at the end.
net::awaitable<void> note_frames(feed::viewing& from, std::vector<std::string>& into) {
    for (;;) {
        const feed::frame next = co_await from.next();
        into.push_back(next ? *next : "end");
        if (!next) { co_return; }
    }
}

void run_ready(net::io_context& context) {
    context.restart();
    context.poll();
}

}  // namespace

TEST_CASE("viewers of a feed get every frame that they wait for, and the newest of those that they do not") {
    net::io_context context;
    const auto frames = std::make_shared<feed>();
    feed::viewing quick(frames, context.get_executor());
    feed::viewing slow(frames, context.get_executor());
    std::vector<std::string> seen_quick;
    std::vector<std::string> seen_slow;
    net::co_spawn(context, note_frames(quick, seen_quick), net::detached);
    for (const char* const text : {"1", "2", "3"}) {
        run_ready(context);
        frames->publish(text);
    }
    run_ready(context);
    CHECK(seen_quick == std::vector<std::string>{"1", "2", "3"});
    net::co_spawn(context, note_frames(slow, seen_slow), net::detached);
    run_ready(context);
    CHECK(seen_slow == std::vector<std::string>{"3"});
    CHECK(frames->count().viewers == 2);
    CHECK(frames->count().frames == 3);
    CHECK(frames->count().skipped == 2);
    frames->publish("4");
    frames->end();
    run_ready(context);
    CHECK(seen_quick.back() == "end");
    CHECK(seen_slow == std::vector<std::string>{"3", "end"});
    CHECK(context.stopped());
}

TEST_CASE("a viewing ends by itself, counts no more when it has gone, and sees nothing of a feed that has ended") {
    net::io_context context;
    auto frames = std::make_shared<feed>();
    std::vector<std::string> seen;
    {
        feed::viewing one(frames, context.get_executor());
        net::co_spawn(context, note_frames(one, seen), net::detached);
        run_ready(context);
        one.end();
        run_ready(context);
        CHECK(seen == std::vector<std::string>{"end"});
        CHECK(frames->count().viewers == 1);
    }
    CHECK(frames->count().viewers == 0);
    CHECK(frames->count().viewed == 1);
    frames->publish("nobody");
    frames->end();
    feed::viewing late(frames, context.get_executor());
    frames.reset();
    net::co_spawn(context, note_frames(late, seen), net::detached);
    run_ready(context);
    CHECK(seen == std::vector<std::string>{"end", "end"});
}

TEST_CASE("a sample is an object of JSON with the reasons that occurred, whatever the interface is called") {
    packet_sample packets;
    packets.received = {7, 700};
    packets.host.icmp_replies = 3;
    packets.host.dropped[static_cast<std::size_t>(fluxnet::proto::reason::udp_port_not_served)] = 4;
    packets.kernel.rx_ring_full = 5;
    packets.frames.free = 10;
    packets.frames.frames = 10;
    packets.rx = {1, 64};
    const std::string text =
        sample_text(packets, {.viewers = 2, .skipped = 9}, "a\"b\\\n\xff", std::chrono::milliseconds(1500));
    CHECK(text ==
          "{\"ms\":1500,\"source\":\"a\\\"b\\\\??\",\"rx\":{\"packets\":7,\"bytes\":700},\"tx\":{\"packets\":0,\"bytes\":0},"
          "\"replies\":{\"arp\":0,\"icmp\":3,\"udp\":0},\"drops\":{\"udp_port_not_served\":4,\"kernel_rx_ring_full\":5},"
          "\"frames\":{\"free\":10,\"fill\":0,\"rx\":0,\"tx\":0,\"completion\":0,\"user\":0,\"all\":10},"
          "\"rings\":{\"rx\":{\"used\":1,\"size\":64},\"fill\":{\"used\":0,\"size\":0},\"tx\":{\"used\":0,\"size\":0},"
          "\"completion\":{\"used\":0,\"size\":0}},\"feed\":{\"viewers\":2,\"frames\":0,\"skipped\":9}}");
}
