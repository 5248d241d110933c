// SPDX-License-Identifier: BSD-3-Clause
#include "benchmarks/burst_each_turn.hpp"
#include "benchmarks/loops.hpp"
#include "fluxnet/runtime/asio/execution.hpp"
#include "fluxnet/runtime/asio/port.hpp"

#include <boost/asio/io_context.hpp>

#include <array>
#include <span>
#include <utility>

namespace benchmark {
namespace {

namespace net = boost::asio;

/// Receives by handlers, each of which begins the next reception.
template <class Executor, std::size_t Batch>
class port_program {
public:
    explicit port_program(traffic& from)
        : on_(context_),
          bursts_(
              on_.loop(), from, [this] { context_.stop(); }, [this] { return port_.rx().socket().available() == 0; }),
          port_(asio::basic_port<Executor>::open(on_, from.receiver()).value()) {
        receive();
    }

    void run() {
        context_.restart();
        on_.wake();
        context_.run();
    }

    void check(traffic& from) {
        for (packet& one : packets_) { one.reset(); }
        from.check(received_, sum_);
        const frame_census census = port_.rx().socket().pool().census();
        require(census.exact && census.sum() == census.frames && census.user == 0, "frames were lost");
    }

private:
    void receive() {
        port_.async_receive(packets_, [this](const boost::system::error_code& code, std::size_t count) {
            if (code) { return; }
            sum_ += touch_all(std::span(packets_).first(count));
            received_ += count;
            receive();
        });
    }

    net::io_context context_{1};
    asio::basic_execution<Executor> on_;
    burst_each_turn bursts_;
    asio::basic_port<Executor> port_;
    std::array<packet, Batch> packets_;
    std::uint64_t received_ = 0;
    std::uint64_t sum_ = 0;
};

template <class Executor, std::size_t Batch = traffic::batch>
void drive_port(traffic& from) {
    port_program<Executor, Batch> program(from);
    from.run([&] { program.run(); });
    program.check(from);
}

}  // namespace

void run_port(traffic& from) {
    drive_port<net::any_io_executor>(from);
}

void run_port_large(traffic& from) {
    drive_port<net::any_io_executor, traffic::large_batch>(from);
}

void run_port_concrete(traffic& from) {
    drive_port<net::io_context::executor_type>(from);
}

}  // namespace benchmark
