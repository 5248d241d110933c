// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/metrics.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <limits>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>

using namespace fluxnet;
using namespace std::chrono_literals;

namespace {

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("counters are written as Prometheus reads them") {
    simulated_wire wire;
    executor loop;
    async_sockets left = open_async(loop, wire.socket_on(simulated_wire::end::left)).value();
    async_sockets right = open_async(loop, wire.socket_on(simulated_wire::end::right)).value();
    std::string text;
    loop.spawn([&]() -> task<void> {
        std::array<packet, 10> burst;
        for (int i = 0; i < 3; ++i) {
            CHECK(left.tx.try_allocate(burst) == 10);
            for (packet& one : burst) { CHECK(one.set_len(60)); }
            static_cast<void>(co_await left.tx.send(burst));
            static_cast<void>(co_await sleep_for(1ms));
        }
    });
    loop.spawn([&]() -> task<void> {
        std::array<packet, 64> burst;
        std::size_t received = 0;
        while (received < 30) {
            const io_result got = co_await right.rx.recv(burst);
            received += got.n;
        }
        metrics all;
        all.add("main", loop);
        all.add("left", left.rx);
        all.add("right", right.rx);
        all.add("left", left.tx);
        all.add("a \"quoted\"\nname\\", right.rx.socket().pool());
        text = all.text();
    });
    loop.run();
    CAPTURE(text);
    CHECK(contains(text, "# TYPE fluxnet_executor_turns_total counter\nfluxnet_executor_turns_total{executor=\"main\"} "));
    CHECK(contains(text,
                   "fluxnet_rx_packets_total{socket=\"left\"} 0\n"
                   "fluxnet_rx_packets_total{socket=\"right\"} 30\n"));
    CHECK(contains(text, "fluxnet_rx_kernel_drops_total{socket=\"right\",reason=\"fill_ring_empty\"} 0\n"));
    CHECK(contains(text, "fluxnet_tx_in_flight{socket=\"left\"} "));
    CHECK(contains(text, "fluxnet_frames{umem=\"a \\\"quoted\\\"\\nname\\\\\",state=\"user\"} 10\n"));
    // Every line is a comment or a sample, and no family is begun twice.
    const std::regex sample(R"([a-z_]+\{[a-z]+="([^"\\]|\\.)*"(,[a-z]+="[^"]*")?\} -?[0-9.e+-]+)");
    const std::regex comment(R"(# (HELP|TYPE) [a-z_]+ .+)");
    std::istringstream lines(text);
    std::string line;
    std::string families;
    while (std::getline(lines, line)) {
        const bool well_formed = std::regex_match(line, sample) || std::regex_match(line, comment);
        CHECK_MESSAGE(well_formed, line);
        if (line.starts_with("# TYPE")) {
            CHECK_FALSE(contains(families, line));
            families += line + "\n";
        }
    }
}

TEST_CASE("an engine's ports are counted by what became of their packets") {
    simulated_wire wire;
    auto far = wire.socket_on(simulated_wire::end::left).build_system().value();
    auto loop = open_engine(wire.socket_on(simulated_wire::end::right)).value();
    std::array<packet, 6> burst;
    REQUIRE(far.tx.allocate(burst) == 6);
    for (packet& one : burst) { REQUIRE(one.set_len(60)); }
    REQUIRE(far.tx.try_send(burst) == 6);
    far.tx.flush();
    CHECK_FALSE(loop->run([&](packet_batch& batch) {
        batch[0].send();
        batch[1].send(9);
        static_cast<void>(batch.extract(2));
        loop->stop();
    }));
    metrics all;
    all.add("0", loop->port(0));
    CHECK(contains(all.text(), "fluxnet_port_packets_total{port=\"0\",outcome=\"recycled\"} 4\n"));
    CHECK(contains(all.text(), "fluxnet_port_packets_total{port=\"0\",outcome=\"sent\"} 1\n"));
    CHECK(contains(all.text(), "fluxnet_port_packets_total{port=\"0\",outcome=\"extracted\"} 1\n"));
    CHECK(contains(all.text(), "fluxnet_port_drops_total{port=\"0\",reason=\"refused\"} 1\n"));
}

TEST_CASE("a program's own counters and gauges stand beside those of the library") {
    metrics all;
    all.add_counter("orders_total", "Orders \\ taken,\nby side.", 18'446'744'073'709'551'615U, {{"side", "b\"u\ny"}});
    all.add_gauge("room:temperature_celsius", "Now.", -1.5);
    all.add_counter("orders_total", "Not looked at.", 2, {{"side", "sell"}, {"venue", "\xc3\xa4"}});
    all.add_gauge("ratio", "", 0.1);
    all.add_gauge("limits", "", std::numeric_limits<double>::infinity(), {{"which", "highest"}});
    all.add_gauge("limits", "", -std::numeric_limits<double>::infinity(), {{"which", "lowest"}});
    all.add_gauge("limits", "", std::numeric_limits<double>::quiet_NaN(), {{"which", "none"}});
    CHECK(all.text() ==
          "# HELP orders_total Orders \\\\ taken,\\nby side.\n"
          "# TYPE orders_total counter\n"
          "orders_total{side=\"b\\\"u\\ny\"} 18446744073709551615\n"
          "orders_total{side=\"sell\",venue=\"\xc3\xa4\"} 2\n"
          "# HELP room:temperature_celsius Now.\n"
          "# TYPE room:temperature_celsius gauge\n"
          "room:temperature_celsius -1.5\n"
          "# HELP ratio \n"
          "# TYPE ratio gauge\n"
          "ratio 0.1\n"
          "# HELP limits \n"
          "# TYPE limits gauge\n"
          "limits{which=\"highest\"} +Inf\n"
          "limits{which=\"lowest\"} -Inf\n"
          "limits{which=\"none\"} NaN\n");
}

TEST_CASE("what would make Prometheus refuse the page is refused, or written otherwise") {
    metrics all;
    all.add_counter("seen_total", "h", 1, {{"side", "left"}, {"kind", "a"}});
    CHECK_THROWS_AS(all.add_counter("seen_total", "h", 2, {{"kind", "a"}, {"side", "left"}}), std::invalid_argument);
    CHECK_THROWS_AS(all.add_counter("seen_total", "h", 2, {{"side", "left"}, {"side", "right"}}), std::invalid_argument);
    CHECK_THROWS_AS(all.add_counter("seen_total", "h", 2, {{"__name__", "x"}}), std::invalid_argument);
    all.add_counter("seen_total", "h", 3, {{"side", "a\xff\xc3(\xed\xa0\x80\xe2\x82\xac"}});
    const std::string text = all.text();
    CHECK(text.find("seen_total{side=\"left\",kind=\"a\"} 1\n") != text.npos);
    CHECK(text.find("\"a\ufffd\ufffd(\ufffd\ufffd\ufffd\u20ac\"} 3\n") != text.npos);
    CHECK(text.find(" 2\n") == text.npos);
}

TEST_CASE("names that Prometheus would not read are refused, and what they were given with is not there") {
    metrics all;
    const auto refused = [](auto what) -> std::string {
        try {
            what();
            return "taken";
        } catch (const std::invalid_argument& wrong) { return wrong.what(); }
    };
    for (const char* name : {"", "1st", "with space", "tail\n", "m\xc3\xa4r", "a-b"}) {
        CHECK(contains(refused([&] { all.add_counter(name, "", 1); }), "no name of a family"));
        CHECK(contains(refused([&] { all.add_gauge("fine", "", 1, {{name, "x"}}); }), "no name of a label of fine"));
    }
    CHECK(contains(refused([&] { all.add_gauge("fine", "", 1, {{"a:b", "x"}}); }), "'a:b'"));
    CHECK(all.text().empty());
    all.add_counter("both", "", 1);
    CHECK(contains(refused([&] { all.add_gauge("both", "", 1); }), "both is a counter and a gauge"));
    executor loop;
    metrics other;
    other.add_gauge("fluxnet_executor_turns_total", "", 1);
    CHECK(contains(refused([&] { other.add("main", loop); }), "is a counter and a gauge"));
}
