// SPDX-License-Identifier: BSD-3-Clause
// `pcapng_file`: what hosts receive and send, written to a file that tcpdump and Wireshark read.
//
//     const file_options fresh{.read = false, .write = true, .create = true, .truncate = true};
//     host::pcapng_file capture(loop, (co_await file::open("/tmp/capture.pcapng", fresh)).value());
//     here.capture_to(&capture.interface("eth0"));
//     ...
//     if (co_await capture.close()) { co_return; }  // cancelled
//     if (capture.failure()) { ... }                // what is missing, and why
//
// A pcapng_capture (see there) and a task in the background of the executor, which writes what has been collected while the
// hosts go on. A slow disk holds up no frame: what finds the memory full is counted as missed, and the count is written at
// the end, by close().
//
// What fails: when the file cannot be written any more (the disk is full, say), failure() says why, nothing more is written,
// and what the hosts go on to do is missed. What stands in the file can be read up to the block that was cut off. When the
// executor's tasks are cancelled (executor::run(task) does that at its end) the writing rests; the next frame, or close(),
// wakes it, and it goes on where it was.
//
// Move-only; owns its sinks. The executor outlives it; hosts may go before it or after it. Destroyed without close(), it
// leaves the hosts, and the rest is written in the background as long as the executor runs. Threads: that of the executor,
// or any while no thread runs that. In virtual time no file can be written: pcapng_capture is for that.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/host/frame_sink.hpp"
#include "fluxnet/runtime/host/pcapng_capture.hpp"
#include "fluxnet/runtime/sockets/file.hpp"
#include "fluxnet/runtime/sync/event.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

namespace fluxnet::host {

class FLUXNET_EXPORT pcapng_file {
public:
    /// Writes into a file that is open for writing, from its beginning on; it should be empty. Allocates twice
    /// pcapng_options::memory, and a task.
    pcapng_file(executor& on, file into, const pcapng_options& options = {});
    pcapng_file(pcapng_file&&) noexcept;
    pcapng_file& operator=(pcapng_file&&) noexcept;
    ~pcapng_file();

    // The rest is not for one that was moved from.

    /// Makes a sink for one host, which appears as an interface of that name in the file. Stays the capture's. Not after
    /// close(). Allocates.
    [[nodiscard]] frame_sink& interface(std::string name);

    /// Leaves the hosts, has the rest and the statistics written, and closes the file. The await completes when all was
    /// taken, which does not mean that it is on the disk, or when there is a failure(); at once if that was so before; with
    /// operation_canceled when the task is cancelled first. Any number of coroutines of the executor may await it; the
    /// capture outlives that.
    [[nodiscard]] event::wait_awaiter close() noexcept;

    /// Frames that the hosts received and sent, and how many of them found no room in the memory.
    [[nodiscard]] std::uint64_t seen() const noexcept;
    [[nodiscard]] std::uint64_t missed() const noexcept;
    /// Octets that the file has.
    [[nodiscard]] std::uint64_t written() const noexcept;
    /// Why nothing more is written; no error while all is well. The kernel's (ENOSPC, EDQUOT, EFBIG, EBADF, EIO),
    /// out_of_memory (none for the task), not_in_virtual_time.
    [[nodiscard]] std::error_code failure() const noexcept;

private:
    class state;

    void abandon() noexcept;

    std::shared_ptr<state> state_;  // null when it was moved away
};

}  // namespace fluxnet::host
