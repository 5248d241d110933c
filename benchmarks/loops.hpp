// SPDX-License-Identifier: BSD-3-Clause
// The loops that the benchmark compares, one function each: receive 64 packets, look at each (touch()), give the frames back
// to the kernel, and again, until the traffic ends.
#pragma once

#include "benchmarks/traffic.hpp"

namespace benchmark {

/// benchmarks/by_hand.c, through a list of free frames and without one.
void run_by_hand(traffic& from);
void run_by_hand_direct(traffic& from);

/// The same over raw_socket and its guards.
void run_raw(traffic& from);
void run_raw_direct(traffic& from);

/// rx::try_recv(), whose packets are dropped by the next call, or one by one by reset().
void run_system(traffic& from);
void run_system_reset(traffic& from);

/// engine::run(), turns included, with a callback for batches and one for packets.
void run_engine(traffic& from);
void run_engine_packets(traffic& from);

/// co_await async_rx::recv(), whose packets are dropped by the next one; the executor's turns included.
void run_coroutine(traffic& from);

/// The same by batches of 256.
void run_coroutine_large(traffic& from);

/// As run_coroutine() on an executor that an epoll loop of the application's own drives by poll(), instead of run().
void run_coroutine_driven(traffic& from);

/// asio::port::async_receive() on an io_context, with a handler that begins the next one; the executor of the I/O objects is
/// any_io_executor, which is Asio's default, or the io_context's own. Large: by batches of 256.
void run_port(traffic& from);
void run_port_large(traffic& from);
void run_port_concrete(traffic& from);

}  // namespace benchmark
