// SPDX-License-Identifier: BSD-3-Clause
// `pcapng_file`: what hosts receive and send, written to a file that tcpdump and Wireshark read.
//
//     result<host::pcapng_file> into = co_await host::pcapng_file::open("/tmp/capture.pcapng");
//     if (!into) { co_return; }  // into.error().message() says why
//     here.capture_to(&into->interface("eth0"));
//     ...
//     const wait_result kept = co_await into->close();
//
// A pcapng_capture (see there) and a task in the background of the executor, which writes what has been collected, while the
// hosts go on. A slow disk holds up no frame: what finds the memory full is counted as missed, and the count is written at
// the end, by close().
//
// What fails: when the file cannot be written any more (the disk is full, say), failure() says why, nothing more is written,
// and what the hosts go on to do is missed. What stands in the file is read all the same up to the block that was cut off.
// When the executor's tasks are cancelled (executor::run(task) does that at its end) the writing rests, the next frame
// wakes it, and close() makes up for it.
//
// Move-only; owns its sinks. The executor outlives it; hosts may go before it or after it. Destroyed without close(), it
// leaves the hosts, and the rest is written in the background as long as the executor runs. Threads: that of the executor on
// which it was opened, or any while no thread runs that. In virtual time there are no files: use pcapng_capture.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/wait_result.hpp"
#include "fluxnet/runtime/host/frame_sink.hpp"
#include "fluxnet/runtime/host/pcapng_capture.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

namespace fluxnet::host {

class FLUXNET_EXPORT pcapng_file {
public:
    /// Makes the file, or empties it. Completes when it is open, on the executor that it belongs to from then on. Allocates
    /// twice pcapng_options::memory. Errors: those of file::open().
    [[nodiscard]] static task<result<pcapng_file>> open(std::string path, pcapng_options options = {});

    pcapng_file(pcapng_file&&) noexcept;
    pcapng_file& operator=(pcapng_file&&) noexcept;
    ~pcapng_file();

    /// Makes a sink for one host, which appears as an interface of that name in the file. Stays the file's. Not after
    /// close(), nor of a file that was moved from. Allocates.
    [[nodiscard]] frame_sink& interface(std::string name);

    /// Leaves the hosts, writes what is left and the statistics, and closes the file. Completes when all was taken, which
    /// does not mean that it is on the disk. Errors: failure(); operation_canceled, after which it may be called again;
    /// wrong_executor; handle_in_use, while another close() is under way; closed, when it was closed or moved away.
    /// Allocates.
    [[nodiscard]] task<wait_result> close();

    // The observers; not of a file that was moved from.

    /// Frames that the hosts received and sent, and how many of them are not in the file.
    [[nodiscard]] std::uint64_t seen() const noexcept;
    [[nodiscard]] std::uint64_t missed() const noexcept;
    /// Octets that the file has.
    [[nodiscard]] std::uint64_t written() const noexcept;
    /// Why nothing more is written; no error while all is well.
    [[nodiscard]] std::error_code failure() const noexcept;

private:
    class state;
    class writing;

    explicit pcapng_file(std::shared_ptr<state> of) noexcept;

    [[nodiscard]] static task<wait_result> drain(std::shared_ptr<state> of);
    [[nodiscard]] static task<wait_result> finish(std::shared_ptr<state> of);
    [[nodiscard]] static task<void> write_blocks(writing of);
    [[nodiscard]] static task<wait_result> close(std::shared_ptr<state> of);
    void abandon() noexcept;

    std::shared_ptr<state> state_;  // null when it was moved away
};

}  // namespace fluxnet::host
