// SPDX-License-Identifier: BSD-3-Clause
// `file`: a file on a disk, which is read and written without holding up the executor.
//
//     result<file> page = co_await file::open("/srv/index.html");
//     if (!page) { co_return; }  // page.error().message() says why
//     std::array<std::byte, 4096> bytes;
//     const io_result got = co_await page->read_at(bytes, 0);
//
// Regular files, block devices, and other devices that have positions. Pipes, terminals and sockets are refused: pipe.hpp
// and the streams are for those, and byte_source.hpp for standard streams that may be any of these. Move-only; owns its
// descriptor, which is close-on-exec.
//
// Reading and writing are requests to the kernel on io_uring. epoll cannot wait for a file: there, what lies in the page
// cache is read at once, and all else is done by the threads of offload() (offload.hpp). Opening, sync(), size() and
// truncate() are done by those threads everywhere.
//
// The kernel cannot break off a call that waits for a disk. So a transfer that is cancelled is withdrawn if it has not
// begun; if it has, the await ends when the call has returned, with what was transferred. The span is not touched
// afterwards, on either reactor. Nor may the end of the coroutine come sooner: destroying it waits for the call.
//
// A file may shrink or grow while it is read: a read ends at the end that the file has then.
//
// The file may be destroyed while it is awaited: the await ends as it would have ended, and the descriptor is closed then.
// Closing does not wait for a disk; whether all was kept there, only sync() tells.
//
// Threads: one at a time, that of the executor where it is awaited. It may go to another one while nobody awaits it.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/wait_result.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/file_transfer.hpp"
#include "fluxnet/runtime/sockets/file_options.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace fluxnet {

/// Where read() and write() of a file begin, and go on.
enum class file_position {
    own,     ///< At a position of the handle's, which begins where the descriptor stands.
    shared,  ///< Where the open file stands, as all its descriptors share that, those of other programs too.
};

class FLUXNET_EXPORT file {
public:
    class [[nodiscard]] transfer_awaiter;

    /// Opens a file. When the task is cancelled it completes at once; the file may be made or emptied all the same. Errors:
    /// invalid_option (options that exclude each other, or no file of the kinds above), operation_canceled,
    /// not_in_virtual_time, or the kernel's: ENOENT, EACCES, EEXIST, EISDIR, EMFILE, ...
    [[nodiscard]] static task<result<file>> open(std::string path, file_options options = {});

    /// Owns a descriptor of such a file, open for whatever it was opened for. Errors: invalid_option (no file of the kinds
    /// above), or the kernel's. Three system calls.
    [[nodiscard]] static result<file> adopt(descriptor of, file_position whose = file_position::own);

    /// Fills `into` with what the file has from `offset` on. Completes when it is full, or at the end of the file with fewer
    /// bytes; with end_of_stream when there are none. Any number of transfers may be under way. `into` stays valid until
    /// then; an empty one completes at once. Other errors: operation_canceled (n counts), closed (released or moved away),
    /// not_in_virtual_time, or the kernel's: EBADF (not open for that), EINVAL, EIO.
    [[nodiscard]] transfer_awaiter read_at(std::span<std::byte> into, std::uint64_t offset) noexcept;

    /// Writes `from` at `offset`, and makes the file longer where it has to. Completes when all of it was taken, which does
    /// not mean that it is on the disk: sync(). Errors: as read_at(), with n; ENOSPC, EDQUOT, EFBIG.
    [[nodiscard]] transfer_awaiter write_at(std::span<const std::byte> from, std::uint64_t offset) noexcept;

    /// As read_at() and write_at(), at position(), which moves by n. As with a stream, except that a reader and a writer
    /// have one position: one of them may be awaited at a time, a second is told handle_in_use. Where the file was opened to
    /// append, write() does not move the position.
    [[nodiscard]] transfer_awaiter read(std::span<std::byte> into) noexcept;
    [[nodiscard]] transfer_awaiter write(std::span<const std::byte> from) noexcept;

    /// Where read() and write() go on; 0 in a file that was opened, or was released or moved away, which cannot be moved.
    /// Means nothing with file_position::shared.
    [[nodiscard]] std::uint64_t position() const noexcept { return state_ == nullptr ? 0 : state_->position; }
    void seek(std::uint64_t position) noexcept {
        if (state_ != nullptr) { state_->position = position; }
    }

    /// Completes with the number of bytes in the file; 0 for devices. Errors: operation_canceled, closed,
    /// not_in_virtual_time, or the kernel's.
    [[nodiscard]] task<result<std::uint64_t>> size();

    /// Completes when what was written is on the disk, with all that is known of the file. Errors: EIO, ENOSPC, EDQUOT
    /// (bytes that had been taken are lost), EINVAL (no file that can be), operation_canceled, closed, not_in_virtual_time.
    [[nodiscard]] task<wait_result> sync();

    /// The same, but of what is known of the file only what is needed to read the bytes: not the time of the last write.
    [[nodiscard]] task<wait_result> sync_data();

    /// Cuts the file, or makes it longer by zeroes. Errors: as sync(); EINVAL when it is not open for writing.
    [[nodiscard]] task<wait_result> truncate(std::uint64_t size);

    /// The descriptor's number; it stays the file's. Negative once the file was released or moved away.
    [[nodiscard]] int fd() const noexcept { return state_ == nullptr ? -1 : state_->file.get(); }

    /// Gives the descriptor away, whose own position is position() then, unless it was shared all along. Not while the file
    /// is awaited. One system call.
    [[nodiscard]] descriptor release() noexcept;

private:
    explicit file(std::shared_ptr<detail::file_state> state) noexcept : state_(std::move(state)) {}

    std::shared_ptr<detail::file_state> state_;  // null when it was released or moved away
};

class [[nodiscard]] file::transfer_awaiter final : private detail::file_transfer {
public:
    /// `at_position`: at the file's position, whatever the request says.
    transfer_awaiter(const char* name, std::shared_ptr<detail::file_state> of, const io_request& request,
                     bool at_position) noexcept
        : file_transfer(std::move(of), request, at_position), name_(name) {}

    [[nodiscard]] bool await_ready() noexcept { return over_at_once(); }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(); });
    }

    io_result await_resume() noexcept { return end_transfer(); }

private:
    [[nodiscard]] const char* name() const noexcept override { return name_; }

    const char* const name_;
};

}  // namespace fluxnet
