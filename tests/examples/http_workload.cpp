// SPDX-License-Identifier: BSD-3-Clause
#include "tests/examples/http_workload.hpp"

#include "examples/http_counters/counters.hpp"
#include "examples/http_counters/packet_program.hpp"
#include "examples/raw/generator.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/simulation/memory_network.hpp"
#include "tests/examples/http_answers.hpp"
#include "tests/runtime/drawn_network.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace fluxnet::test {
namespace {

using namespace http_example;
using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds http_duration = 250ms;
constexpr std::size_t http_clients = 6;
constexpr std::array<std::size_t, 4> http_buffers{200, 1000, 5000, 65'536};

/// A request, and what is to come back.
struct exchange {
    std::string request;
    unsigned status = 200;
    bool head = false;
    bool is_last = false;  ///< The server ends the connection after it.
    enum class content { any, live_page, metrics, big } body = content::any;
};

[[nodiscard]] const std::string& big_body() {
    static const std::string made = [] {
        std::string text;
        for (int line = 0; text.size() < 20'000; ++line) { text += std::to_string(line * 7919) + '\n'; }
        return text;
    }();
    return made;
}

[[nodiscard]] exchange draw_exchange(dice& chance) {
    using content = exchange::content;
    const std::string end = " HTTP/1.1\r\nHost: a\r\n";
    switch (chance.below(16)) {
        case 0: return {"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200, true, false, content::any};
        case 1: return {"HEAD /big" + end + "\r\n", 200, true, false, content::any};
        case 2: return {"GET /nothing" + end + "\r\n", 404, false, false, content::any};
        case 3: return {"POST /" + end + "Content-Length: 5\r\n\r\nhello", 405, false, false, content::any};
        case 4:
            return {"PUT /" + end +
                        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10;a=b\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\n",
                    405, false, false, content::any};
        case 5: return {"GET /broken" + end + "\r\n", 500, false, false, content::any};
        case 6: return {"GET http://a.example/metrics?x" + end + "\r\n", 200, false, false, content::metrics};
        case 7:
        case 8: return {"\r\nGET /big" + end + "\r\n", 200, false, false, content::big};
        case 9: return {"GET /" + end + "\r\n", 200, false, false, content::live_page};
        default: return {"GET /metrics" + end + "Accept: */*\r\n\r\n", 200, false, false, content::metrics};
    }
}

/// One after which the connection cannot go on.
[[nodiscard]] exchange draw_last(dice& chance) {
    using content = exchange::content;
    switch (chance.below(8)) {
        case 0:
            return {"GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(9000, 'x') + "\r\n\r\n", 431, false, true,
                    content::any};
        case 1: return {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\nx", 413, false, true, content::any};
        case 2: return {"nonsense\r\n\r\n", 400, false, true, content::any};
        case 3: return {"GET / HTTP/1.1\r\n\r\n", 400, false, true, content::any};
        case 4: return {"GET / HTTP/2.0\r\n\r\n", 505, false, true, content::any};
        case 5: return {"GET /big HTTP/1.0\r\n\r\n", 200, false, true, content::big};
        default:
            return {"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, false, true, content::metrics};
    }
}

class http_stage {
public:
    http_stage(std::uint64_t seed, wake_order order)
        : chance_(seed), gentle_(chance_.one_in(2)), clock_(seed, order), loop_(clock_),
          net_(loop_, draw_network(chance_, seed, http_buffers)),
          packets_(open_async(loop_, wire_.socket_on(simulated_wire::end::left)).value(), raw_example::example_ip),
          far_end_(wire_, simulated_wire::end::right, 1, packets_.host().hardware()) {
        clock_.attach(wire_);
    }

    http_outcome play() {
        try {
            loop_.run(act());
        } catch (const std::exception& failure) { problem(failure.what()); }
        expect(loop_.tasks().empty(), "a task is left");
        const frame_census census = packets_.census();
        expect(census.exact && census.sum() == census.frames && census.user == 0, "a frame is missing");
        expect(result_.answers <= result_.written, "clients had more answers than servers wrote");
        result_.packets = packets_.host().count().udp_replies;
        result_.digest = clock_.digest() ^ (net_.digest() * 3);
        result_.elapsed = clock_.elapsed();
        return std::move(result_);
    }

private:
    void problem(const std::string& text) { result_.problems += text + '\n'; }
    void expect(bool holds, const char* text) {
        if (!holds) { problem(text); }
    }

    [[nodiscard]] static proto::ip_endpoint place() { return {proto::ipv4_address(192, 0, 2, 1), 80}; }

    task<void> act() {
        const auto until = loop_.now() + http_duration;
        loop_.spawn_background(send_packets());
        loop_.spawn_background(answer_packets());
        {
            scope all;
            all.spawn(keep_serving(until));
            for (std::size_t i = 0; i != http_clients; ++i) { all.spawn(keep_calling(until)); }
            static_cast<void>(co_await all.join());
        }
        // And it all works still.
        gentle_ = true;
        chaos_ = false;
        scope server;
        server.spawn(serve_for(100s, true));
        static_cast<void>(co_await sleep_for(1ms));
        const std::uint64_t before = result_.completed;
        for (int i = 0; i != 2; ++i) { co_await session(); }
        expect(result_.completed == before + 2, "undisturbed sessions do not come to their end");
        server.request_stop();
        static_cast<void>(co_await server.join());
    }

    task<void> send_packets() {
        for (;;) {
            const wait_result canceled = co_await sleep_for(5ms);
            far_end_.collect();
            if (canceled) { co_return; }
            far_end_.send(4);
        }
    }

    task<void> answer_packets() { static_cast<void>(co_await packets_.answer()); }

    // The server.

    [[nodiscard]] server_options draw_server() {
        server_options options;
        options.wall_clock = nullptr;
        if (gentle_) {
            options.idle = options.request = options.response = options.linger = options.grace = 1h;
            return options;
        }
        options.connections = static_cast<std::uint32_t>(1 + chance_.below(http_clients));
        options.idle = chance_.ticks(10, 200);
        options.request = chance_.ticks(10, 200);
        options.response = chance_.ticks(10, 200);
        options.linger = chance_.ticks(1, 50);
        options.grace = chance_.ticks(1, 100);
        return options;
    }

    task<void> keep_serving(executor::time_point until) {
        while (loop_.now() < until) {
            co_await serve_for(std::min(chance_.ticks(100, 800), until - loop_.now()), gentle_ || chance_.one_in(2));
            if (chance_.one_in(2)) { static_cast<void>(co_await sleep_for(chance_.ticks(1, 40))); }
        }
    }

    /// For that time, then to its own end, or until it is cancelled.
    task<void> serve_for(std::chrono::nanoseconds time, bool to_its_end) {
        counters counted;
        http_server server(
            [&counted](std::string_view path) -> std::optional<page> {
                if (path == "/big") { return page{"text/plain", big_body()}; }
                if (path == "/broken") { throw std::runtime_error("broken"); }
                return counted.page_at(path);
            },
            draw_server());
        counted = {&loop_, [this](metrics& all) { packets_.add_to(all); }, &server};
        std::error_code failure;
        bool has_ended = false;
        scope serving;
        serving.spawn([&]() -> task<void> {
            failure = co_await server.serve(net_.listen(place(), 8).value());
            has_ended = true;
        });
        is_open_ = true;
        const wait_result canceled = co_await sleep_for(time);
        expect(!has_ended, "a server ended by itself");
        is_open_ = false;
        ++epoch_;
        if (to_its_end && !canceled) {
            server.end();
        } else {
            serving.request_stop();
        }
        static_cast<void>(co_await serving.join());
        expect(!failure || failure == errc::operation_canceled, "a server failed");
        expect(server.counts().open == 0, "a connection is left");
        for (const auto& [status, count] : server.counts().answers) { result_.written += count; }
        result_.dismissed += server.counts().dismissed;
        expect(!gentle_ || server.counts().dismissed == 0, "a server without limits dismissed a connection");
    }

    // The clients.

    task<void> keep_calling(executor::time_point until) {
        while (loop_.now() < until) {
            const std::chrono::nanoseconds limit = chance_.one_in(3) ? chance_.ticks(1, 200) : 1h;
            const timed<void> ended = co_await timeout(limit, session());
            if (ended.expired) { ++result_.cancels; }
            static_cast<void>(co_await sleep_for(chance_.ticks(1, 20)));
        }
    }

    [[nodiscard]] std::vector<exchange> draw_session() {
        std::vector<exchange> asked(1 + chance_.below(5));
        for (exchange& each : asked) { each = draw_exchange(chance_); }
        if (chance_.one_in(2)) { asked.push_back(draw_last(chance_)); }
        return asked;
    }

    task<void> session() {
        const std::uint64_t epoch = epoch_;
        const bool was_open = is_open_;
        result<memory_stream> made = co_await net_.connect(place());
        if (!made) {
            if (made.error().code != errc::operation_canceled) { ++result_.refused; }
            co_return;
        }
        ++result_.sessions;
        memory_stream peer = std::move(*made);
        const std::vector<exchange> asked = draw_session();
        const std::size_t enough =
            chaos_ && chance_.one_in(6) ? chance_.below(asked.size()) : asked.size();  // then it closes
        http_answers came;
        std::size_t answered = 0;
        {
            scope sending;
            sending.spawn(send_all(peer, asked));
            answered = co_await read_all(peer, asked, enough, came);
            sending.request_stop();
            static_cast<void>(co_await sending.join());
        }
        const wait_result stopped = co_await sleep_for(0ns);  // tells whether the session was cancelled
        if (answered == asked.size()) {
            ++result_.completed;
            co_return;
        }
        if (stopped || enough != asked.size()) { co_return; }
        ++result_.broken;
        if (!came.rest().empty()) { ++result_.halves; }
        if (!gentle_) { co_return; }
        expect(came.rest().empty(), "a server without limits left an answer unfinished");
        expect(epoch_ != epoch || !was_open || !is_open_, "a session that nobody disturbed did not come to its end");
    }

    /// Sends requests in pieces. The client may end its side behind them.
    task<void> send_all(memory_stream& peer, const std::vector<exchange>& asked) {
        std::string all;
        for (const exchange& each : asked) { all += each.request; }
        const std::uint64_t piece = std::uint64_t{1} << (3 + chance_.below(10));
        for (std::size_t at = 0; at != all.size();) {
            const std::size_t size = std::min<std::size_t>(all.size() - at, 1 + chance_.below(piece));
            const io_result put = co_await peer.write(std::as_bytes(std::span(all).subspan(at, size)));
            if (put.ec) { co_return; }
            at += size;
            if (chance_.one_in(4)) {
                const wait_result slept = co_await sleep_for(chance_.ticks(1, 10));
                if (slept) { co_return; }
            }
        }
        if (chance_.one_in(3)) { static_cast<void>(co_await peer.shutdown_write()); }
    }

    /// Reads answers until there are enough, or no more; returns how many came.
    task<std::size_t> read_all(memory_stream& peer, const std::vector<exchange>& asked, std::size_t enough,
                               http_answers& came) {
        std::vector<std::byte> room(1 + chance_.below(4000));
        std::size_t answered = 0;
        while (answered < enough || (answered == asked.size() && asked.back().is_last)) {
            const io_result got = co_await peer.read(room);
            came.received(std::span(room).first(got.n));
            if (got.n != 0 && answered == asked.size()) { problem("something comes behind the last answer"); }
            while (answered < asked.size()) {
                const std::optional<http_answer> next = came.next(asked[answered].head);
                if (!next) { break; }
                ++result_.answers;
                if (next->status == 408) {
                    ++result_.late;
                    expect(!gentle_, "a server without limits found a request late");
                    break;
                }
                check(asked[answered], *next);
                ++answered;
            }
            if (got.ec) { break; }
            if (chance_.one_in(8)) { static_cast<void>(co_await sleep_for(chance_.ticks(1, 10))); }
        }
        co_return answered;
    }

    void check(const exchange& asked, const http_answer& came) {
        if (came.status != asked.status) {
            problem("status " + std::to_string(came.status) + " for " + asked.request.substr(0, 40));
        }
        if (asked.is_last) { expect(came.header.find("keep-alive") == std::string::npos, "the last answer promises more"); }
        switch (asked.body) {
            case exchange::content::any: break;
            case exchange::content::big: expect(came.body == big_body(), "a page is not what it must be"); break;
            case exchange::content::live_page:
                expect(came.body.ends_with("</html>\n"), "the page does not come to its end");
                break;
            case exchange::content::metrics:
                expect(came.body.find("# TYPE http_connections_total counter\n") != std::string::npos &&
                           came.body.back() == '\n',
                       "the counters do not come to their end");
                break;
        }
    }

    http_outcome result_;
    dice chance_;
    bool gentle_;  // the server's limits are far away
    simulated_wire wire_;
    virtual_clock clock_;
    executor loop_;
    memory_network net_;
    packet_program packets_;
    raw_example::generator far_end_;
    std::uint64_t epoch_ = 0;  // how often a server was ended
    bool is_open_ = false;
    bool chaos_ = true;  // clients may close in the middle
};

}  // namespace

http_outcome http_workload(std::uint64_t seed, wake_order order) {
    return http_stage(seed, order).play();
}

}  // namespace fluxnet::test
