// SPDX-License-Identifier: BSD-3-Clause
// Packets inside a program of Boost.Asio's: one io_context runs a packet coroutine beside an HTTP and WebSocket server by
// Boost.Beast, whose page shows packet rates, drop reasons, frames and rings as they change. Ends at SIGINT or SIGTERM.
// Usage: asio_embed [--port N] [--address IP] [--connections N] [--interval SECONDS] [--duration SECONDS]
//                   [--interface NAME --host IP [--queue N] [--mode auto|native|generic]]
// Without --interface the packets come from a client at the other end of a simulated wire, which corrupts one in a hundred.
#include "examples/asio_embed/feed.hpp"
#include "examples/asio_embed/packet_host.hpp"
#include "examples/asio_embed/sample_text.hpp"
#include "examples/asio_embed/server.hpp"
#include "examples/command_line.hpp"
#include "examples/opening_report.hpp"
#include "examples/raw/generator.hpp"
#include "fluxnet/runtime/asio/async_run.hpp"
#include "fluxnet/runtime/asio/execution.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/simulation/wire_pump.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>

using namespace fluxnet;
using namespace embed_example;

namespace {

struct choices {
    std::string address = "127.0.0.1";
    std::uint16_t port = 9200;
    server_limits server;
    double interval = 0.5;
    double duration = 0;
    std::string interface;
    std::string host;
    std::uint32_t queue = 0;
    xdp_mode mode = xdp_mode::automatic;
};

choices read_choices(int argc, char** argv) {
    choices made;
    command_line options("Shows packets as they pass, from a program of Boost.Asio's");
    options.optional("--port", made.port, "port to listen on; 0 takes a free one");
    options.optional("--address", made.address, "address to listen on");
    options.optional("--connections", made.server.connections, "connections at a time", {1, 100'000});
    options.optional("--interval", made.interval, "seconds between two samples", {0.001, 60});
    options.optional("--duration", made.duration, "seconds to run; until a signal when 0", {0, 1e9});
    options.optional("--interface", made.interface, "interface whose packets are answered; it is the program's own then");
    options.optional("--host", made.host, "IPv4 address that packets are answered for");
    options.optional("--queue", made.queue, "receive queue");
    options.mode(made.mode);
    options.parse(argc, argv);
    return made;
}

std::chrono::nanoseconds seconds(double number) {
    return std::chrono::nanoseconds(static_cast<std::int64_t>(number * 1e9));
}

result<net::ip::tcp::acceptor> listen(const net::any_io_executor& on, const net::ip::tcp::endpoint& at) {
    net::ip::tcp::acceptor door(on);
    boost::system::error_code failed;
    door.open(at.protocol(), failed);
    if (!failed) { door.set_option(net::socket_base::reuse_address(true), failed); }
    if (!failed) { door.bind(at, failed); }
    if (!failed) { door.listen(net::socket_base::max_listen_connections, failed); }
    if (!failed) { return door; }
    return error{failed, "listen on " + at.address().to_string() + " port " + std::to_string(at.port()),
                 errno_text(failed.value()),
                 "choose another --port, from 1024 on where the program is not root, or 0 for a free one; and an --address "
                 "of this host (ip address shows them)"};
}

/// The other party on a simulated wire: a tide of some thousand requests a second.
task<void> send_requests(raw_example::generator& client) {
    for (unsigned round = 0;; ++round) {
        const wait_result canceled = co_await sleep_for(std::chrono::milliseconds(10));
        client.collect();
        if (canceled) { co_return; }
        client.send(static_cast<std::uint64_t>(32 + 24 * std::sin(round / 160.0)));
    }
}

/// Everything but the packets, in the strand of their execution.
struct parts {
    parts(const net::any_io_executor& on, net::ip::tcp::acceptor door, const choices& made)
        : signals(on, SIGINT, SIGTERM), limit(on), clock(on), frames(std::make_shared<feed>()),
          pages(std::make_shared<server>(std::move(door), frames, made.server)) {}

    net::signal_set signals;
    net::steady_timer limit;  // of the run
    net::steady_timer clock;  // of samples
    const std::shared_ptr<feed> frames;
    const std::shared_ptr<server> pages;
    bool ending = false;
    boost::system::error_code packet_failure;
    boost::system::error_code server_failure;
};

/// Has everything come to its end, which leaves the context without work.
void end(parts& all, asio::execution& packets) {
    all.ending = true;
    all.pages->end();
    packets.loop().request_stop();
    all.signals.cancel();
    all.limit.cancel();
    all.clock.cancel();
}

net::awaitable<void> publish(parts& all, packet_host& host, std::string source, std::chrono::nanoseconds interval) {
    const auto begin = std::chrono::steady_clock::now();
    all.clock.expires_at(begin);
    for (;;) {
        boost::system::error_code canceled;
        co_await all.clock.async_wait(net::redirect_error(net::use_awaitable, canceled));
        if (all.ending) { co_return; }
        const auto now = std::chrono::steady_clock::now();
        all.clock.expires_at(now + interval);
        if (all.frames->count().viewers == 0) { continue; }
        const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(now - begin);
        all.frames->publish(sample_text(host.sample(), all.frames->count(), source, age));
    }
}

void start(parts& all, asio::execution& packets, packet_host& host, const choices& made) {
    const auto strand = packets.strand();
    all.signals.async_wait([&](const boost::system::error_code& canceled, int) {
        if (!canceled) { end(all, packets); }
    });
    if (made.duration > 0) {
        all.limit.expires_after(seconds(made.duration));
        all.limit.async_wait([&](const boost::system::error_code& canceled) {
            if (!canceled) { end(all, packets); }
        });
    }
    net::co_spawn(strand, host.answer(), [&](const std::exception_ptr& thrown, boost::system::error_code ended) {
        if (ended != net::error::operation_aborted) { all.packet_failure = ended; }
        end(all, packets);
        if (thrown) { std::rethrow_exception(thrown); }
    });
    net::co_spawn(strand, server::serve(all.pages), [&](const std::exception_ptr& thrown, boost::system::error_code ended) {
        all.server_failure = ended;
        end(all, packets);
        if (thrown) { std::rethrow_exception(thrown); }
    });
    std::string source = made.interface.empty() ? "simulated wire" : host.source();
    net::co_spawn(strand, publish(all, host, std::move(source), seconds(made.interval)),
                  [&](const std::exception_ptr& thrown) {
                      if (thrown) { std::rethrow_exception(thrown); }
                  });
}

int report(const parts& all, packet_host& host, const choices& made) {
    const server_counts& served = all.pages->count();
    const feed::counts& viewed = all.frames->count();
    const packet_sample last = host.sample();
    std::printf("served: connections %llu answers %llu refused %llu viewers %llu frames %llu skipped %llu\n",
                0ULL + served.connections, 0ULL + served.answers, 0ULL + served.refusals, 0ULL + viewed.viewed,
                0ULL + viewed.frames, 0ULL + viewed.skipped);
    std::printf("packets: rx %llu tx %llu arp %llu icmp %llu udp %llu\n", 0ULL + last.received.packets,
                0ULL + last.sent.packets, 0ULL + last.host.arp_replies, 0ULL + last.host.icmp_replies,
                0ULL + last.host.udp_replies);
    std::printf("census: frames %lld sum %lld user %lld %s\n", 0LL + last.frames.frames, 0LL + last.frames.sum(),
                0LL + last.frames.user, last.frames.exact ? "exact" : "snapshot");
    if (all.packet_failure) {
        std::fprintf(stderr, "stopped on %s: %s; see that the interface is there and no other XDP program took its place\n",
                     made.interface.c_str(), all.packet_failure.message().c_str());
    }
    if (all.server_failure) {
        std::fprintf(stderr, "stopped serving: accept a connection: %s\n", all.server_failure.message().c_str());
    }
    return all.packet_failure || all.server_failure ? 1 : 0;
}

int run(const choices& made, const net::ip::address& address, std::optional<proto::ipv4_address> answered) {
    std::optional<simulated_wire> wire;
    net::io_context context(1);
    asio::execution packets(context);
    std::optional<wire_pump> pump;
    if (made.interface.empty()) {
        wire_options options;
        options.to_left.corruption = 0.01;
        pump.emplace(packets.loop(), wire.emplace(options));
    }
    const net::any_io_executor strand = packets.strand();
    result<net::ip::tcp::acceptor> door = listen(strand, {address, made.port});
    if (!door) { return std::fprintf(stderr, "%s\n", door.error().message().c_str()), 1; }
    const net::ip::tcp::endpoint place = door->local_endpoint();
    std::ostringstream url;  // with the brackets that an address of IPv6 needs
    url << "http://" << place << "/";
    parts all(strand, std::move(*door), made);  // before anybody can learn that there is something to stop

    const builder options =
        wire ? wire->socket_on(simulated_wire::end::left) : builder(made.interface).queue(made.queue).mode(made.mode);
    auto opened = open_async(packets.loop(), options);
    if (!opened) { return std::fprintf(stderr, "%s\n", opened.error().message().c_str()), 1; }
    print_opening_report(opened->refusals, opened->notes);
    packet_host host(asio::port(packets, std::move(*opened)), answered.value_or(raw_example::example_ip), options);
    std::optional<raw_example::generator> client;
    if (wire) {
        client.emplace(*wire, simulated_wire::end::right, 1, host.host().hardware());
        asio::async_run(packets, send_requests(*client), net::detached);
    }
    start(all, packets, host, made);
    std::printf("listening on %u: open %s\n", unsigned{place.port()}, url.str().c_str());
    std::fflush(stdout);
    context.run();

    host.drain();
    return report(all, host, made);
}

}  // namespace

int main(int argc, char** argv) try {
    const choices made = read_choices(argc, argv);
    boost::system::error_code unreadable;
    const net::ip::address address = net::ip::make_address(made.address, unreadable);
    if (unreadable) {
        std::fprintf(stderr, "check --address '%s': not an IP address; use one like 127.0.0.1 or ::1\n",
                     made.address.c_str());
        return 2;
    }
    const auto host = proto::ipv4_address::parse(made.host);
    if (made.interface.empty() ? !made.host.empty() : !host) {
        std::fprintf(stderr, "check --interface '%s' and --host '%s': give both, and an IPv4 address such as 192.0.2.1\n",
                     made.interface.c_str(), made.host.c_str());
        return 2;
    }
    return run(made, address, host);
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
