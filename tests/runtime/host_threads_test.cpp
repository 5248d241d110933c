// SPDX-License-Identifier: BSD-3-Clause
// Hosts whose executors run on threads of their own, over a threaded wire, while other threads give them work, cancel what
// they await, drop what they have lent, and end them.
#include "tests/runtime/host_threads_bed.hpp"

#include "fluxnet/runtime/host/detail/host_siblings.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

task<bool> ask_by_stream(host::ip_host& here, proto::ip_endpoint to, std::uint64_t number) {
    auto made = co_await here.connect(to);
    if (!made) { co_return false; }
    const bool well = co_await number_comes_back(*made, number);
    co_return well;
}

task<bool> ask_by_datagram(host::ip_host& here, proto::ip_endpoint to, std::uint64_t number) {
    auto socket = here.open_udp({threaded_address(1), 0});
    if (!socket) { co_return false; }
    const few_octets asked = octets_of(number);
    const io_result sent = co_await socket->send_to(asked, to);
    few_octets answered{};
    const datagram_result got = co_await socket->recv_from(answered);
    co_return !sent.ec && !got.ec && got.from == to && answered == asked;
}

task<void> tell(task<bool> work, std::shared_ptr<std::promise<bool>> to) {
    const bool so = co_await std::move(work);
    to->set_value(so);
}

/// Has a host ask, one number after another; returns how many came back.
std::uint64_t ask_from_another_thread(host_thread& near, proto::ip_endpoint service, std::uint64_t from, std::uint64_t to) {
    std::uint64_t well = 0;
    for (std::uint64_t number = from; number != to; ++number) {
        const auto told = std::make_shared<std::promise<bool>>();
        auto answer = told->get_future();
        near.start_task([&near, service, told, number] {
            auto asking = number % 2 == 0 ? ask_by_stream(near.here(), service, number)
                                          : ask_by_datagram(near.here(), service, number);
            return tell(std::move(asking), told);
        });
        well += answer.get() ? 1U : 0U;
    }
    return well;
}

/// Requests the stop of each source that it is given, after ever different times.
class stops_elsewhere {
public:
    void push(const std::stop_source& source) { sources_.push(source); }

private:
    std::uint32_t turns_ = 0;
    std::atomic<std::uint32_t> waited_ = 0;
    handed_over<std::stop_source> sources_{[this](std::stop_source source) {
        const std::uint32_t little = (turns_++ * 7) % 32 * 100;
        for (std::uint32_t i = 0; i != little; ++i) { waited_.store(i, std::memory_order_relaxed); }
        source.request_stop();
    }};
};

struct stop_tally {
    std::uint64_t cancelled = 0;
    std::uint64_t well = 0;
    std::uint64_t wrong = 0;
};

/// Reads under a stop that comes from another thread.
task<io_result> read_under_stop(host::tcp_stream& peer, std::span<std::byte> into, stops_elsewhere& stops) {
    std::stop_source source;
    io_result ended;
    const auto reading = [&]() -> task<void> { ended = co_await peer.read(into); };
    stoppable under = run_under(source.get_token(), reading());
    stops.push(source);
    co_await under;
    co_return ended;
}

/// Asks, and reads each answer under such stops: once when there is none yet, and then until it is there.
task<void> ask_under_stops(host::ip_host& here, proto::ip_endpoint to, std::uint32_t count, stops_elsewhere& stops,
                           stop_tally& seen) {
    auto made = co_await here.connect(to);
    if (!made) { co_return; }
    for (std::uint32_t i = 0; i != count; ++i) {
        const few_octets asked = octets_of(i + 1);
        few_octets answered{};
        const io_result nothing = co_await read_under_stop(*made, answered, stops);
        seen.wrong += nothing.ec == errc::operation_canceled && nothing.n == 0 ? 0U : 1U;
        const io_result sent = co_await made->write(asked);
        if (sent.ec) { co_return; }
        for (std::size_t at = 0; at != answered.size();) {
            const io_result got = co_await read_under_stop(*made, std::span(answered).subspan(at), stops);
            if (got.ec && got.ec != errc::operation_canceled) { co_return; }
            seen.cancelled += got.ec ? 1U : 0U;
            at += got.n;
        }
        ++(answered == asked ? seen.well : seen.wrong);
    }
}

/// Begins connects whose stops come from another thread; those that succeed all the same are closed at once.
task<bool> connect_under_stops(host::ip_host& here, proto::ip_endpoint to, std::uint32_t count, stops_elsewhere& stops,
                               stop_tally& seen) {
    for (std::uint32_t i = 0; i != count; ++i) {
        std::stop_source source;
        std::error_code ended;
        const auto connecting = [&]() -> task<void> {
            auto made = co_await here.connect(to);
            if (!made) { ended = made.error().code; }
        };
        stoppable under = run_under(source.get_token(), connecting());
        stops.push(source);
        co_await under;
        ++(!ended ? seen.well : ended == errc::operation_canceled ? seen.cancelled : seen.wrong);
    }
    co_return true;
}

/// Asks until the stream, or the host, ends.
task<void> talk_until_the_end(host::ip_host& here, proto::ip_endpoint to, std::atomic<std::uint32_t>& rounds_made) {
    auto made = co_await here.connect(to);
    if (!made) { co_return; }
    host::tcp_stream peer = std::move(*made);
    for (std::uint64_t number = 1;; ++number) {
        const bool well = co_await number_comes_back(peer, number);
        if (!well) { co_return; }
        ++rounds_made;
        rounds_made.notify_one();
    }
}

task<void> wait_for_datagrams(host::udp_endpoint socket) {
    for (;;) {
        const auto lent = co_await socket.recv();
        if (lent.ec) { co_return; }
    }
}

/// Asks for datagrams one after another, and gives each to the thread that drops them.
task<void> lend_to_another_thread(host::ip_host& here, proto::ip_endpoint to, std::uint32_t count,
                                  handed_over<host::received_datagram>& others, std::uint32_t& well) {
    auto socket = here.open_udp({threaded_address(1), 0}).value();
    for (std::uint32_t i = 0; i != count; ++i) {
        const few_octets asked = octets_of(i + 1);
        const io_result sent = co_await socket.send_to(asked, to);
        if (sent.ec) { co_return; }
        auto lent = co_await socket.recv();
        if (lent.ec) { co_return; }
        well += std::ranges::equal(lent.buffer.bytes(), asked) ? 1U : 0U;
        others.push(std::move(lent.buffer));
    }
}

/// How a host ends that others use.
enum class host_end { in_its_turn, executor_stopped, tasks_cancelled };

/// Ends the near host while its streams and endpoints are waited at.
void end_in_use(host_end how) {
    threaded_pair bed;
    std::atomic<std::uint32_t> rounds_made = 0;
    for (int i = 0; i != 4; ++i) {
        bed.near.start_task([&] { return talk_until_the_end(bed.near.here(), bed.service, rounds_made); });
    }
    bed.near.start_task(
        [&] { return wait_for_datagrams(bed.near.here().open_udp({threaded_address(1), 9000}).value()); });
    for (std::uint32_t seen = 0; seen < 40; seen = rounds_made) { rounds_made.wait(seen); }
    switch (how) {
        case host_end::in_its_turn: bed.near.loop().post([&] { bed.near.end_host(); }); break;
        case host_end::executor_stopped: bed.near.loop().stop(); break;
        case host_end::tasks_cancelled: bed.near.loop().request_stop(); break;
    }
    bed.near.finish();
    bed.near.end();
    CHECK(bed.near.frames_are_home());
    bed.wait_until_far_is_quiet();
    bed.finish_far();
}

}  // namespace

TEST_CASE("threads post work into a host's executor, and each is answered") {
    const std::uint64_t count = rounds(2000, 10);
    threaded_pair bed;
    std::vector<std::future<std::uint64_t>> workers;
    for (std::uint64_t i = 0; i != 3; ++i) {
        workers.push_back(std::async(std::launch::async, [&bed, i, count] {
            return ask_from_another_thread(bed.near, bed.service, 1 + i * count, 1 + (i + 1) * count);
        }));
    }
    for (auto& one : workers) { CHECK(one.get() == count); }
    bed.near.finish();
    bed.near.end();
    CHECK(bed.near.frames_are_home());
    bed.finish_far();
}

TEST_CASE("two hosts on two queues each, every queue on a thread of its own, exchange streams and datagrams by whichever queue") {
    const std::uint64_t count = rounds(1000, 10);
    threaded_queues bed;
    std::vector<std::future<std::uint64_t>> workers;
    std::uint64_t first = 1;
    for (host_thread* const near : {&bed.near_0, &bed.near_1, &bed.near_0, &bed.near_1}) {
        workers.push_back(std::async(std::launch::async, [&bed, near, first, count] {
            return ask_from_another_thread(*near, bed.service, first, first + count);
        }));
        first += count;
    }
    for (auto& one : workers) { CHECK(one.get() == count); }
    std::uint64_t handed_on = 0;
    const std::array all{&bed.near_0, &bed.near_1, &bed.far_0, &bed.far_1};
    for (host_thread* const each : all) {
        const host::host_counters counted = each->ask([each] { return each->here().counters(); });
        CHECK(counted.accounted() == counted.frames);
        handed_on += counted.handed_on;
    }
    CHECK(handed_on != 0);
    MESSAGE(handed_on, " frames were handed on");
    for (host_thread* const each : all) { each->finish(); }
    for (host_thread* const each : all) { each->end(); }
    for (host_thread* const each : all) { CHECK(each->frames_are_home()); }
}

TEST_CASE("what is handed on to a host that leaves is given back, by the one or by the other, and nothing stays in its inbox") {
    const std::uint64_t count = rounds(200, 5);
    host::detail::host_siblings all(2);
    host::host_options options;
    options.addresses = {{threaded_address(1), 24}};
    unsigned here = 0;
    unsigned other = 0;
    using refusal = host::detail::host_siblings::refusal;
    REQUIRE(all.join(options, 1, 1000, here) == refusal::none);
    std::uint64_t handed = 0;
    std::atomic<bool> over = false;
    std::thread handing([&] {
        while (!over) {
            host::detail::handed_on one;
            one.whole = std::make_unique<std::byte[]>(1);
            handed += all.hand_on(here, 1, std::move(one)) ? 1U : 0U;
        }
    });
    std::uint64_t taken = 0;
    for (std::uint64_t i = 0; i != count; ++i) {
        REQUIRE(all.join(options, 1, 1000, other) == refusal::none);
        REQUIRE(other == 1);
        host::detail::handed_on one;
        while (all.inbox(other).try_recv(std::span(&one, 1)) == 0) { std::this_thread::yield(); }
        ++taken;
        all.leave(other);
    }
    over = true;
    handing.join();
    CHECK(all.inbox(1).size() == 0);
    CHECK(handed >= taken);
}

TEST_CASE("reads of a host's that are cancelled on another thread lose no octet and take none twice") {
    const std::uint32_t count = rounds(5000, 10);
    stops_elsewhere stops;
    stop_tally seen;
    threaded_pair bed;
    bed.near.start_task([&] { return ask_under_stops(bed.near.here(), bed.service, count, stops, seen); });
    bed.near.finish();
    CHECK(seen.well == count);
    CHECK(seen.wrong == 0);
    MESSAGE(seen.cancelled, " reads were cancelled with their answer on its way");
    bed.near.end();
    CHECK(bed.near.frames_are_home());
    bed.finish_far();
}

TEST_CASE("connects of a host's that are cancelled on another thread leave no connection") {
    const std::uint32_t count = rounds(5000, 10);
    stops_elsewhere stops;
    stop_tally seen;
    threaded_pair bed;
    const auto told = std::make_shared<std::promise<bool>>();
    bed.near.start_task(
        [&] { return tell(connect_under_stops(bed.near.here(), bed.service, count, stops, seen), told); });
    CHECK(told->get_future().get());
    bed.wait_until_far_is_quiet();  // while the near host lives to say what it has given up
    bed.near.finish();
    CHECK(seen.wrong == 0);
    CHECK(seen.cancelled + seen.well == count);
    MESSAGE(seen.cancelled, " of ", count, " connects were cancelled");
    bed.near.end();
    CHECK(bed.near.frames_are_home());
    bed.finish_far();
}

TEST_CASE("a host ends while coroutines wait at its streams and endpoints and other threads look on, and its peer goes on") {
    for (const host_end how : {host_end::in_its_turn, host_end::executor_stopped, host_end::tasks_cancelled}) {
        CAPTURE(static_cast<int>(how));
        for (int i = 0; i != 3; ++i) { end_in_use(how); }
    }
}

TEST_CASE("datagrams that recv() has lent are dropped on another thread, and their frames receive again") {
    const std::uint32_t count = rounds(20'000, 10);  // many more than there are frames
    std::uint32_t well = 0;
    threaded_pair bed;
    {
        handed_over<host::received_datagram> others([](host::received_datagram) {});
        bed.near.start_task([&] { return lend_to_another_thread(bed.near.here(), bed.service, count, others, well); });
        bed.near.finish();
    }
    CHECK(well == count);
    bed.near.end();
    CHECK(bed.near.frames_are_home());
    bed.finish_far();
}

TEST_CASE("a datagram that a host has lent is dropped on another thread after the host and its executor have gone") {
    std::vector<host::received_datagram> kept;
    threaded_pair bed;
    {
        std::uint32_t well = 0;
        std::mutex mutex;
        handed_over<host::received_datagram> others([&](host::received_datagram one) {
            const std::scoped_lock locked(mutex);
            kept.push_back(std::move(one));
        });
        bed.near.start_task([&] { return lend_to_another_thread(bed.near.here(), bed.service, 20, others, well); });
        bed.near.finish();
        CHECK(well == 20);
    }
    REQUIRE(kept.size() == 20);
    bed.near.end();
    CHECK_FALSE(bed.near.frames_are_home());
    std::thread([&] { kept.clear(); }).join();
    CHECK(bed.near.frames_are_home());
    bed.finish_far();
}
