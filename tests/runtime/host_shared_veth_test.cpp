// SPDX-License-Identifier: BSD-3-Clause
// An ip_host that has ports of the kernel's own addresses, with the kernel's stack on the same interface and at the other
// end.
#include "fluxnet/runtime/host/host_filter.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"
#include "tests/runtime/host_testbed.hpp"
#include "tests/support/capabilities.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <linux/capability.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

constexpr port_range to_choose(61'000, 61'099);

/// The addresses of the kernel beside a host_testbed's host.
const char* shared_text(bool v4) {
    return v4 ? "10.77.0.5" : "fd77::5";
}

host::host_options shared_options() {
    host::host_options options;
    options.addresses = {{ip("10.77.0.5"), 24}, {ip("fd77::5"), 64}};
    options.only_ports = host::host_ports{.tcp = {80}, .udp = {7}, .chosen = to_choose};
    return options;
}

template <class Listener>
task<void> answer_one(Listener& door, char name) {
    auto peer = co_await door.accept();
    REQUIRE(peer.has_value());
    const io_result sent = co_await peer->write(std::as_bytes(std::span(&name, 1)));
    CHECK_FALSE(sent.ec);
    std::array<std::byte, 1> end;
    const io_result got = co_await peer->read(end);
    CHECK(got.ec == errc::end_of_stream);
}

/// Tells each caller its name, until the listener goes.
task<void> answer_all(host::tcp_listener& door, char name) {
    for (;;) {
        auto peer = co_await door.accept();
        if (!peer) { co_return; }
        const io_result sent = co_await peer->write(std::as_bytes(std::span(&name, 1)));
        CHECK_FALSE(sent.ec);
        peer->close();
    }
}

/// Which server answers there; '-': none does.
template <class Connect>
task<char> who_answers(Connect connect) {
    auto dialling = connect();
    auto peer = co_await dialling;
    if (!peer) {
        CHECK(peer.error().code == std::errc::connection_refused);
        co_return '-';
    }
    char name = '?';
    const io_result got = co_await peer->read(std::as_writable_bytes(std::span(&name, 1)));
    CHECK_FALSE(got.ec);
    co_return name;
}

template <class Socket>
task<void> echo_one(Socket& socket) {
    std::array<std::byte, 2000> room;
    const datagram_result got = co_await socket.recv_from(room);
    REQUIRE_FALSE(got.ec);
    const io_result sent = co_await socket.send_to(std::span(room).first(got.n), got.from);
    CHECK_FALSE(sent.ec);
}

template <class Socket>
task<proto::ip_endpoint> ask_one(Socket& socket, proto::ip_endpoint to) {
    std::array<std::byte, 1000> octets{};
    const io_result sent = co_await socket.send_to(octets, to);
    CHECK_FALSE(sent.ec);
    const datagram_result got = co_await socket.recv_from(octets);
    CHECK_FALSE(got.ec);
    CHECK(got.n == octets.size());
    co_return got.from;
}

/// Why a host cannot connect there.
task<error> why_not_connected(host::ip_host& from, proto::ip_endpoint to, host::tcp_options options = {}) {
    auto made = co_await from.connect(to, options);
    co_return made ? error() : made.error();
}

template <class T>
T run(executor& loop, task<T> work) {
    return loop.run(std::move(work));
}

/// Ends when that is so, or after a time that only a failure takes.
template <class Condition>
task<void> until(Condition is_so) {
    const fluxnet::test::deadline limit = 60s;
    while (!is_so() && !limit.passed()) { static_cast<void>(co_await sleep_for(2ms)); }
}

bool has_come_from(std::uint16_t port, port_range range) {
    return range.first <= port && port <= range.last;
}

/// An interface with addresses of the kernel's, where hosts are tried to be opened.
struct interface_of_kernel {
    interface_of_kernel() {
        const finished done = bed.run(side::host, {"sh", "-ec", "ip address add 10.77.0.5/24 dev flux0"}, 10s);
        REQUIRE_MESSAGE(done.success(), done.output);
    }

    [[nodiscard]] static host::host_options options() {
        host::host_options wanted;
        wanted.addresses = {{ip("10.77.0.5"), 24}};
        wanted.only_ports = host::host_ports{.tcp = {80}, .udp = {7}, .chosen = to_choose};
        return wanted;
    }

    result<host::ip_host> open(const host::host_options& options, const std::optional<packet_filter>& filter = {}) {
        builder sockets = builder(bed.name(side::host)).frames(512).tx_frames(64);
        if (filter) { sockets.only(*filter); }
        auto opened = open_async(loop, sockets).value();
        return host::ip_host::open(loop, std::move(opened.rx), std::move(opened.tx), options);
    }
    result<host::ip_host> open_filtered(const host::host_options& options) {
        return open(options, host::filter_for(options));
    }

    testbed bed;
    network_namespace::scoped_enter inside{bed.host()};
    executor loop;
};

void check_refusal(const result<host::ip_host>& tried, std::error_code code, std::string_view cause) {
    REQUIRE_FALSE(tried.has_value());
    CHECK(tried.error().code == code);
    const std::string said = tried.error().message();
    CHECK_MESSAGE(said.find(cause) != std::string::npos, said);
}

}  // namespace

TEST_CASE("the filter of a host that has ports of an address takes these and nothing else") {
    host::host_options options = shared_options();
    const packet_filter filter = host::filter_for(options);
    REQUIRE(filter.validate().has_value());
    CHECK(filter.rules().size() == 8);
    for (const filter_rule& rule : filter.rules()) {
        CHECK(rule.protocol.has_value());
        CHECK(rule.destination_ports.has_value());
        CHECK(rule.destination.has_value());
        CHECK(rule.verdict == filter_verdict::redirect);
    }
}

TEST_CASE("a host and the kernel share an address by ports") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    host_testbed bed(shared_options(), xdp_mode::automatic, true);
    for (const bool v4 : {true, false}) {
        CAPTURE(v4);
        const proto::ip_address shared = ip(shared_text(v4));
        bed.ping(shared_text(v4), 20, "56");
        tcp_listener kernels = tcp_listener::listen({shared, 22}).value();
        host::tcp_listener ours = bed.here->listen({shared, 80}).value();
        host::udp_endpoint echo = bed.here->open_udp({shared, 7}).value();
        udp_socket asker = bed.kernel_socket(v4);
        std::string answered;
        bed.loop.spawn(answer_one(kernels, 'k'));
        bed.loop.spawn(answer_one(ours, 'h'));
        bed.loop.spawn(echo_one(echo));
        run(bed.loop, [](host_testbed& there, proto::ip_address at, udp_socket& from, std::string& heard) -> task<void> {
            for (const std::uint16_t port : {std::uint16_t{22}, std::uint16_t{80}, std::uint16_t{81}}) {
                heard += co_await who_answers([&] {
                    const network_namespace::scoped_enter inside(there.bed.peer());
                    return tcp_stream::connect({at, port});
                });
            }
            const proto::ip_endpoint service{at, 7};
            const proto::ip_endpoint from_there = co_await ask_one(from, service);
            CHECK(from_there == service);
        }(bed, shared, asker, answered));
        CHECK(answered == "kh-");
        bed.ping(shared_text(v4), 5, "4000");  // in fragments
    }
    const auto& counts = bed.here->counters();
    CHECK(counts.echoes == 0);
    CHECK(counts.arp == 0);
    CHECK(counts.ndp == 0);
    CHECK(counts.claims_sent == 0);
    // The last segments of the peers may still be on their way.
    run(bed.loop, until([&] { return bed.redirect->count().redirected == counts.frames; }));
    CHECK(bed.redirect->count().redirected == counts.frames);
}

TEST_CASE("a host that shares addresses calls from the ports that it may choose, over neighbours of the kernel's") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const bool v4 : {true, false}) {
        CAPTURE(v4);
        host_testbed bed(shared_options(), xdp_mode::automatic, true);
        tcp_listener door = bed.bed.peer().call([v4] { return tcp_listener::listen({ip(peer_text(v4)), 0}).value(); });
        udp_socket theirs = bed.kernel_socket(v4);
        host::udp_endpoint ours = bed.here->open_udp({ip(shared_text(v4)), 0}).value();
        CHECK(has_come_from(ours.local_endpoint().port, to_choose));
        // Nobody has asked for the neighbour yet; then its link address changes, which only the kernel is told.
        for (const char* const changed : {"", "ip link set peer0 address 02:00:00:00:77:77"}) {
            CAPTURE(changed);
            bed.shell(side::peer, changed);
            bed.shell(side::host,
                      *changed == 0 ? "" : "ip neigh flush dev flux0; ping -c 1 -w 10 10.77.0.2; ping -c 1 -w 10 fd77::2");
            bed.loop.spawn(answer_one(door, 'k'));
            const char name = run(bed.loop, who_answers([&] { return bed.here->connect(door.local_endpoint()); }));
            CHECK(name == 'k');
            bed.loop.spawn(echo_one(theirs));
            const proto::ip_endpoint from = run(bed.loop, ask_one(ours, theirs.local_endpoint()));
            CHECK(from == theirs.local_endpoint());
        }
        const auto known = bed.here->neighbour(ip(peer_text(v4)));
        CHECK(known.hardware == proto::mac_address({2, 0, 0, 0, 0x77, 0x77}));
        CHECK(bed.here->counters().questions_sent > 0);
        CHECK(bed.here->counters().arp == 0);
        CHECK(bed.here->counters().ndp == 0);
    }
}

TEST_CASE("a host leaves as they are the neighbours that somebody has given the kernel for good") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    host_testbed bed(shared_options(), xdp_mode::automatic, true);
    const std::string hardware = proto::mac_address(testbed::mac(side::peer)).to_string();
    const std::string for_good = " lladdr " + hardware + " nud permanent dev flux0; ";
    bed.shell(side::host, "ip neigh replace 10.77.0.2" + for_good + "ip neigh replace fd77::2" + for_good);
    for (const bool v4 : {true, false}) {
        CAPTURE(v4);
        tcp_listener door = bed.bed.peer().call([v4] { return tcp_listener::listen({ip(peer_text(v4)), 0}).value(); });
        bed.loop.spawn(answer_one(door, 'k'));
        const char name = run(bed.loop, who_answers([&] { return bed.here->connect(door.local_endpoint()); }));
        CHECK(name == 'k');
        bed.shell(side::host, std::string("ip neigh show ") + peer_text(v4) + " dev flux0 | grep PERMANENT");
    }
}

TEST_CASE("a host has nothing of a shared address but its ports, whatever its filter becomes") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    host_testbed bed(shared_options(), xdp_mode::automatic, true);
    bed.ping(shared_text(true), 1, "56");
    REQUIRE(bed.redirect->set_filter(packet_filter::everything()).has_value());
    udp_socket theirs = bed.kernel_socket(true);
    bed.shell(
        side::peer,
        "ping -c 3 -i 0.01 -w 1 10.77.0.5 && exit 1; ip neigh flush dev peer0; ping -c 1 -w 1 10.77.0.5 && exit 1 || true");
    std::array<std::byte, 10> octets{};
    run(bed.loop, [](udp_socket& from, std::span<const std::byte> what, host_testbed& there) -> task<void> {
        const proto::ip_endpoint to{ip(shared_text(true)), 9};
        const io_result sent = co_await from.send_to(what, to);
        static_cast<void>(sent);
        co_await until([&] { return there.here->counters().frames >= 4; });
    }(theirs, octets, bed));
    const auto& counts = bed.here->counters();
    CHECK(counts.frames >= 4);
    CHECK(counts.echoes == 0);
    CHECK(counts.arp == 0);
    CHECK(counts.answers_sent == 0);
}

TEST_CASE("a host that shares addresses is told that a neighbour does not answer the kernel") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    host_testbed bed(shared_options(), xdp_mode::automatic, true);
    for (const char* const nobody : {"10.77.0.99", "fd77::99"}) {
        const proto::ip_endpoint peer{ip(nobody), 80};
        const std::error_code told = run(bed.loop, why_not_connected(*bed.here, peer)).code;
        CHECK(told == std::errc::host_unreachable);
    }
}

TEST_CASE("a host that shares addresses has no other ports") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    host_testbed bed(shared_options(), xdp_mode::automatic, true);
    const proto::ip_address shared = ip(shared_text(true));
    const auto unlisted = std::make_error_code(std::errc::address_not_available);
    CHECK(bed.here->listen({shared, 7}).error().code == unlisted);
    CHECK(bed.here->open_udp({shared, 80}).error().code == unlisted);
    CHECK(bed.here->listen({shared, 61'100}).error().code == unlisted);
    CHECK(has_come_from(bed.here->listen({shared, 0}).value().local_endpoint().port, to_choose));
    CHECK(bed.here->listen({shared, 61'007}).has_value());
    host::tcp_options from;
    from.from = proto::ip_endpoint{shared, 4000};
    const proto::ip_endpoint peer{ip(peer_text(true)), 80};
    CHECK(run(bed.loop, why_not_connected(*bed.here, peer, from)).code == unlisted);
}

TEST_CASE("a host that may choose no port neither calls nor opens one that is chosen") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    host::host_options options = shared_options();
    options.only_ports->chosen.reset();
    host_testbed bed(options, xdp_mode::automatic, true);
    CHECK(bed.here->listen({ip(shared_text(true)), 0}).error().code == std::errc::address_not_available);
    CHECK(bed.here->open_udp({ip(shared_text(true)), 0}).error().code == std::errc::address_not_available);
    const proto::ip_endpoint peer{ip(peer_text(true)), 80};
    const std::string said = run(bed.loop, why_not_connected(*bed.here, peer)).message();
    CHECK_MESSAGE(said.find("host_options::only_ports") != std::string::npos, said);
}

TEST_CASE("a host holds its ports of a shared address against the kernel's programs, as long as it is open") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    interface_of_kernel link;
    {
        const host::ip_host here = link.open_filtered(interface_of_kernel::options()).value();
        CHECK(tcp_listener::listen({ip("10.77.0.5"), 80}).error().code == std::errc::address_in_use);
        CHECK(udp_socket::bind({ip("0.0.0.0"), 7}).error().code == std::errc::address_in_use);
        CHECK(udp_socket::bind({ip("10.77.0.5"), 80}).has_value());
    }
    const tcp_listener kernels = tcp_listener::listen({ip("10.77.0.5"), 80}).value();
    check_refusal(link.open_filtered(interface_of_kernel::options()), std::make_error_code(std::errc::address_in_use),
                  "TCP at 10.77.0.5:80: a program of this machine has the port");
}

TEST_CASE("what cannot be shared with the kernel is refused") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    interface_of_kernel link;
    const auto invalid = make_error_code(errc::invalid_option);
    const auto with = [](auto change) {
        host::host_options options = interface_of_kernel::options();
        change(options, *options.only_ports);
        return options;
    };
    const auto check = [&](std::string_view cause, auto change) {
        const host::host_options options = with(change);
        check_refusal(link.open_filtered(options), invalid, cause);
    };
    using options_type = host::host_options;
    using ports_type = host::host_ports;
    check("given no port", [](options_type&, ports_type& ports) { ports = {}; });
    check("TCP port 80 twice", [](options_type&, ports_type& ports) { ports.tcp = {80, 81, 80}; });
    check("among those to be chosen", [](options_type&, ports_type& ports) { ports.udp = {61'099}; });
    check("link address", [](options_type& options, ports_type&) {
        options.hardware = proto::mac_address({2, 0, 0, 0, 0, 9});
    });
    check("the kernel chooses too, 60999 for one",
          [](options_type&, ports_type& ports) { ports.chosen = port_range(60'999, 61'010); });
    check("the kernel chooses too", [](options_type&, ports_type& ports) { ports = {{1}, {}, port_range(2, 65'535)}; });
    const host::host_options fine = interface_of_kernel::options();
    check_refusal(link.open(with([](options_type&, ports_type& ports) { ports.tcp = {0}; }), host::filter_for(fine)),
                  invalid, "TCP port 0");
    check_refusal(
        link.open(with([](options_type&, ports_type& ports) { ports.chosen = port_range(9, 8); }), host::filter_for(fine)),
        invalid, "9 to 8");
    check_refusal(link.open(fine), invalid, "no filter");
    check_refusal(link.open(fine, packet_filter{filter_rule::tcp_to(80)}), invalid, "does not give it its ports");
    check_refusal(link.open(with([](options_type&, ports_type& ports) {
                                for (std::uint16_t port = 1; port != 64; ++port) { ports.tcp.push_back(1000 + port); }
                            }),
                            host::filter_for(fine)),
                  invalid, "67");
    check_refusal(link.open_filtered(with([](options_type& options, ports_type&) {
        options.addresses = {{ip("10.77.0.6"), 24}};
    })),
                  std::make_error_code(std::errc::address_not_available), "the kernel does not have this address");
    check_refusal(link.open(fine, host::filter_for(fine).add({.protocol = 1})), invalid, "takes more from the kernel");
    check_refusal(link.open(fine, packet_filter::everything()), invalid, "takes more from the kernel");
    const host::host_options only_calls = with([](options_type& options, ports_type& ports) {
        options.addresses = {{ip("10.77.0.6"), 24}};
        ports = {};
        ports.chosen = to_choose;
    });
    check_refusal(link.open_filtered(only_calls), std::make_error_code(std::errc::address_not_available),
                  "the kernel does not have this address");
    // The remedy for the ports that the kernel chooses too.
    const finished done =
        link.bed.run(side::host, {"sh", "-ec", "echo 60999-61010 >/proc/sys/net/ipv4/ip_local_reserved_ports"}, 10s);
    REQUIRE_MESSAGE(done.success(), done.output);
    CHECK(link.open_filtered(with([](options_type&, ports_type& ports) { ports.chosen = port_range(60'999, 61'010); }))
              .has_value());
    CHECK(link.open_filtered(fine).has_value());
}

TEST_CASE("what a thread is not permitted that shares an address with the kernel is refused by name") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    interface_of_kernel link;
    const auto without = [&](int capability) {
        return link.bed.host().call([&] {
            const host::host_options options = interface_of_kernel::options();
            executor loop;
            auto opened = open_async(loop, builder(link.bed.name(side::host)).only(host::filter_for(options))).value();
            drop_capability(capability);  // of this thread alone, which ends with this
            return host::ip_host::open(loop, std::move(opened.rx), std::move(opened.tx), options).error();
        });
    };
    const error no_admin = without(CAP_NET_ADMIN);
    CHECK(no_admin.code == errc::permission_denied);
    CHECK(no_admin.remedy == "grant CAP_NET_ADMIN");
    const error no_low_ports = without(CAP_NET_BIND_SERVICE);
    CHECK(no_low_ports.code == errc::permission_denied);
    CHECK_MESSAGE(no_low_ports.remedy.find("CAP_NET_BIND_SERVICE") != std::string::npos, no_low_ports.message());
    // Nothing is held by those that failed.
    CHECK(tcp_listener::listen({ip("10.77.0.5"), 80}).has_value());
}

TEST_CASE("hosts on two queues share an address with the kernel") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed{{.queues = 2}};
    const network_namespace::scoped_enter inside(bed.host());
    const finished done = bed.run(side::host, {"sh", "-ec", "ip address add 10.77.0.5/24 dev flux0"}, 10s);
    REQUIRE_MESSAGE(done.success(), done.output);
    host::host_options options = interface_of_kernel::options();
    options.queues = host::host_queues(2);
    executor loop;
    std::vector<host::ip_host> here;
    const auto open = [&](std::vector<system_sockets>& sockets, std::size_t which, const host::host_options& wanted) {
        return host::ip_host::open(loop, async_rx(loop, std::move(sockets[which].rx)),
                                   async_tx(loop, std::move(sockets[which].tx)), wanted);
    };
    {
        auto sockets =
            builder(bed.name(side::host)).frames(512).tx_frames(64).only(host::filter_for(options)).build_queues(2).value();
        here.push_back(open(sockets, 0, options).value());
        here.push_back(open(sockets, 1, options).value());
    }
    std::vector<host::tcp_listener> doors;
    for (host::ip_host& one : here) { doors.push_back(one.listen({ip("10.77.0.5"), 80}).value()); }
    CHECK(tcp_listener::listen({ip("10.77.0.5"), 80}).error().code == std::errc::address_in_use);
    constexpr int calls = 20;
    int answered = 0;
    for (host::tcp_listener& door : doors) { loop.spawn_background(answer_all(door, 'h')); }
    run(loop, [](testbed& there, int& so_far) -> task<void> {
        for (int i = 0; i != calls; ++i) {
            const char name = co_await who_answers([&] {
                const network_namespace::scoped_enter at_peer(there.peer());
                return tcp_stream::connect({ip("10.77.0.5"), 80});
            });
            so_far += name == 'h' ? 1 : 0;
        }
    }(bed, answered));
    CHECK(answered == calls);
    doors.clear();
    here.pop_back();
    CHECK(tcp_listener::listen({ip("10.77.0.5"), 80}).error().code == std::errc::address_in_use);
    here.clear();
    CHECK(tcp_listener::listen({ip("10.77.0.5"), 80}).has_value());
}
