// SPDX-License-Identifier: BSD-3-Clause
// `file_transfer`: the common part of the awaiters that read and write files.
//
// Lies in the coroutine's frame; used on the executor's thread. Goes one of three ways:
// - Where the reactor serves files it is a completion operation, submitted again as long as the kernel transfers less than
//   was asked for, and not nothing.
// - Elsewhere it is made at once, by calls that do not wait (RWF_NOWAIT), when they transfer all of it.
// - What is left is a job for the pool of offload(). So is what io_uring answers EAGAIN to: a descriptor with O_NONBLOCK of
//   a file that it could only read by waiting.
//
// The kernel and the pool's thread use the caller's memory. A cancelled transfer ends when both have let go of it, and so
// does the destructor. Each transfer, and the pool's job, keeps the descriptor open.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/reactor/io_operation.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/offload_pool.hpp"
#include "fluxnet/runtime/sockets/detail/transfer.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

namespace fluxnet::detail {

/// An open file, as its handle and the awaits on it share it. Changed on the executor's thread only.
struct file_state {
    file_state(descriptor of, std::uint64_t at, bool to_end) noexcept : file(std::move(of)), appends(to_end), position(at) {}

    descriptor file;
    const bool appends;
    std::uint64_t position;        // where read() and write() go on
    bool shares_position = false;  // they go on at the open file's own in its place
    bool in_use = false;           // by one of these
};

/// The rest of a transfer, made by a thread that may wait. The results may be read once the job has finished.
class FLUXNET_EXPORT file_call final : public offload_job {
public:
    file_call(std::shared_ptr<file_state> of, const io_request& rest) noexcept : file_(std::move(of)), rest_(rest) {}

    void run() noexcept override;

    std::size_t n = 0;
    int number = 0;  ///< An errno, when it ended with one.

private:
    const std::shared_ptr<file_state> file_;
    io_request rest_;
};

class FLUXNET_EXPORT file_transfer : public transfer {
protected:
    /// `at_position`: the request's offset is the file's position when the transfer starts.
    file_transfer(std::shared_ptr<file_state> of, const io_request& request, bool at_position) noexcept
        : file_(std::move(of)), rest_(request), at_position_(at_position) {}
    ~file_transfer();

    /// The body of await_ready().
    [[nodiscard]] bool over_at_once() noexcept;
    void start();
    [[nodiscard]] io_result end_transfer() noexcept;

private:
    void on_result(int result, unsigned flags) noexcept override;
    void cancel() noexcept override;
    [[nodiscard]] bool try_at_once() noexcept;
    void hand_to_pool() noexcept;
    void leave() noexcept;

    std::shared_ptr<file_state> file_;  // null when the handle is empty
    io_request rest_;                   // of the transfer
    const bool at_position_;
    bool uses_position_ = false;  // and is noted in the file's state
    bool stopping_ = false;
    std::size_t n_ = 0;
    std::error_code refused_ = no_error;  // without waiting
    offload_pool* pool_ = nullptr;        // once it has the job
    std::shared_ptr<file_call> job_;
};

}  // namespace fluxnet::detail
