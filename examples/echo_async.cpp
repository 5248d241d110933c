// SPDX-License-Identifier: BSD-3-Clause
// A host in user space: answers ARP, ping and UDP echo (port 7) on an interface, with co_await.
// Usage: echo_async --interface NAME --address IP [--queue N] [--duration SECONDS] [--mode auto|native|generic] [--quiet]
#include "examples/command_line.hpp"
#include "examples/opening_report.hpp"
#include "fluxnet/proto/echo_host.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <span>
#include <string>

using namespace fluxnet;

struct traffic {
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
};

/// The main job: await packets, turn those that want an answer into it, await room to send them.
static task<std::error_code> serve(async_sockets& sockets, proto::echo_host& host, traffic& total) {
    std::array<packet, 64> burst;
    for (;;) {
        const io_result got = co_await sockets.rx.recv(burst);
        if (got.ec) { co_return got.ec; }
        std::size_t replies = 0;
        for (std::size_t i = 0; i < got.n; ++i) {
            const auto length = host.answer(burst[i].data());
            if (length && burst[i].set_len(*length)) { burst[replies++] = std::move(burst[i]); }
        }
        const io_result put = co_await sockets.tx.send(std::span(burst).first(replies));
        total.received += got.n;
        total.sent += put.n;
        if (put.ec) { co_return put.ec; }
    }
}

static task<void> stop_on_signal(signal_set& signals, executor& on) {
    const int number = co_await signals.next();
    if (number != 0) { on.request_stop(); }
}

static task<void> stop_after(executor& on, std::chrono::nanoseconds duration) {
    const std::error_code canceled = co_await sleep_for(duration);
    if (!canceled) { on.request_stop(); }
}

static std::uint64_t sum_of_drops(const proto::echo_host::counters& count) {
    return count.frames - count.arp_replies - count.icmp_replies - count.udp_replies;
}

static task<void> print_every_second(const traffic& total, const proto::echo_host& host) {
    traffic before;
    for (;;) {
        const std::error_code canceled = co_await sleep_for(std::chrono::seconds(1));
        if (canceled) { co_return; }
        const traffic now = total;
        std::printf("rx %llu/s tx %llu/s | total rx %llu tx %llu dropped %llu\n", 0ULL + now.received - before.received,
                    0ULL + now.sent - before.sent, 0ULL + now.received, 0ULL + now.sent, 0ULL + sum_of_drops(host.count()));
        std::fflush(stdout);
        before = now;
    }
}

static void print_summary(async_sockets& sockets, const traffic& total, const proto::echo_host& host) {
    const auto& count = host.count();
    std::printf("summary: rx %llu tx %llu arp %llu icmp %llu udp %llu dropped %llu wakeups %llu\n", 0ULL + total.received,
                0ULL + total.sent, 0ULL + count.arp_replies, 0ULL + count.icmp_replies, 0ULL + count.udp_replies,
                0ULL + sum_of_drops(count), 0ULL + sockets.rx.wakeups());
    for (std::size_t i = 0; i < proto::reason_count; ++i) {
        if (count.dropped[i] == 0) { continue; }
        const std::string_view why = name(static_cast<proto::reason>(i));
        std::printf("dropped: %.*s %llu\n", static_cast<int>(why.size()), why.data(), 0ULL + count.dropped[i]);
    }
    const socket_statistics kernel = sockets.rx.socket().statistics();
    std::printf("kernel: rx_dropped %llu rx_ring_full %llu fill_ring_empty %llu tx_invalid_descs %llu tx_dropped %llu\n",
                0ULL + kernel.rx_dropped, 0ULL + kernel.rx_ring_full, 0ULL + kernel.fill_ring_empty,
                0ULL + kernel.tx_invalid_descs, 0ULL + sockets.tx.socket().dropped_by_kernel());
    const frame_census census = sockets.rx.socket().pool().census();
    std::printf("census: frames %lld sum %lld free %lld fill %lld rx %lld tx %lld completion %lld user %lld %s\n",
                0LL + census.frames, 0LL + census.sum(), 0LL + census.free, 0LL + census.fill, 0LL + census.rx,
                0LL + census.tx, 0LL + census.completion, 0LL + census.user, census.exact ? "exact" : "snapshot");
}

int main(int argc, char** argv) try {
    std::string interface;
    std::string address_text;
    std::uint32_t queue = 0;
    double seconds = 0;
    bool quiet = false;
    xdp_mode mode = xdp_mode::automatic;
    command_line options("A host in user space: answers ARP, ping and UDP echo");
    options.required("--interface", interface, "interface to answer on");
    options.required("--address", address_text, "IPv4 address to answer for");
    options.optional("--queue", queue, "receive queue");
    options.optional("--duration", seconds, "seconds to run; until a signal when 0", {0.0, 1e9});
    options.mode(mode);
    options.flag("--quiet", quiet, "no line every second");
    options.parse(argc, argv);

    const auto address = proto::ipv4_address::parse(address_text);
    if (!address) {
        std::fprintf(stderr, "check --address '%s': not an IPv4 address; use one like 192.0.2.1\n", address_text.c_str());
        return 1;
    }
    signal_set signals{SIGINT, SIGTERM};  // before anybody can learn that there is something to stop
    executor loop;
    auto opened = open_async(loop, builder(interface).queue(queue).mode(mode));
    if (!opened) {
        std::fprintf(stderr, "%s\n", opened.error().message().c_str());
        return 1;
    }
    async_sockets sockets = std::move(*opened);
    const interface_info& port = sockets.rx.socket().interface();
    proto::echo_host host(proto::mac_address(port.mac_address), *address);
    std::printf("reactor: %.*s\n", static_cast<int>(loop.reactor_name().size()), loop.reactor_name().data());
    print_opening_report(sockets.refusals, sockets.notes);
    std::printf("answering for %s on %s queue %u: %s XDP, %s\n", address_text.c_str(), interface.c_str(), queue,
                name(sockets.rx.socket().redirect()->mode()), sockets.rx.socket().zero_copy() ? "zero-copy" : "copy");
    std::fflush(stdout);

    traffic total;
    std::error_code ended;
    loop.spawn([&]() -> task<void> {
        ended = co_await serve(sockets, host, total);
        loop.request_stop();
    });
    loop.spawn(stop_on_signal(signals, loop));
    if (seconds > 0) { loop.spawn(stop_after(loop, std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9)))); }
    if (!quiet) { loop.spawn(print_every_second(total, host)); }
    loop.run();

    sockets.tx.socket().drain(std::chrono::milliseconds(200));
    print_summary(sockets, total, host);
    if (ended == errc::operation_canceled) { return 0; }
    std::fprintf(stderr, "stopped on %s: %s\n", interface.c_str(), ended.message().c_str());
    return 1;
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
