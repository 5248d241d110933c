// SPDX-License-Identifier: BSD-3-Clause
// `byte_source`, `byte_sink`: standard input and output, whatever they are: a pipe, a terminal, a socket, a file, /dev/null.
//
//     byte_source input = byte_source::duplicate(STDIN_FILENO).value();  // prog < file, ... | prog, prog
//     byte_sink output = byte_sink::duplicate(STDOUT_FILENO).value();
//     std::array<std::byte, 4096> bytes;
//     for (;;) {
//         const io_result got = co_await input.read(bytes);
//         if (got.ec) { co_return; }  // errc::end_of_stream: that was all
//         const io_result sent = co_await output.write(std::span(bytes).first(got.n));
//         if (sent.ec) { co_return; }
//     }
//
// A file on a disk, or a block device, is read and written as a `file` (file.hpp), by the kernel or by a thread that may
// wait for the disk; all else as the end of a pipe (pipe.hpp). A file goes on where the open file stands, which all who have
// it share: the programs of a shell script that write to one file, one after the other, do not write over each other.
//
// Move-only; each owns its descriptor, and an await on one that was moved from or released ends with `closed`.
//
// Threads: one at a time, that of the executor where it is awaited. It may go to another while nobody awaits it.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/file.hpp"
#include "fluxnet/runtime/sockets/pipe.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <cstddef>
#include <span>
#include <utility>
#include <variant>

namespace fluxnet {

class FLUXNET_EXPORT byte_source {
public:
    /// Owns a descriptor that can be read. Errors: invalid_option (a directory, or not open for reading), or the kernel's:
    /// EBADF (a standard stream that is closed).
    [[nodiscard]] static result<byte_source> adopt(descriptor of);

    /// The same with a duplicate of `fd`, which stays the caller's: STDIN_FILENO.
    [[nodiscard]] static result<byte_source> duplicate(int fd);

    /// Completes with what there is, n >= 1 bytes; with end_of_stream when there is no more, and none comes. `into` stays in
    /// place until then, and so does the source, or it is destroyed; an empty span completes at once. Errors: as
    /// pipe_reader::read() and file::read().
    [[nodiscard]] task<io_result> read(std::span<std::byte> into);

    /// The descriptor's number; it stays the source's. Negative once it was given away or moved.
    [[nodiscard]] int fd() const noexcept;

    /// Gives the descriptor away. Not while a file is read; an await under way on anything else ends with `closed`.
    [[nodiscard]] descriptor release() noexcept;

private:
    using means = std::variant<pipe_reader, file>;

    explicit byte_source(means of) noexcept : of_(std::move(of)) {}

    means of_;
};

class FLUXNET_EXPORT byte_sink {
public:
    /// Owns a descriptor that can be written to. Errors: as byte_source::adopt().
    [[nodiscard]] static result<byte_sink> adopt(descriptor of);

    /// The same with a duplicate of `fd`, which stays the caller's: STDOUT_FILENO.
    [[nodiscard]] static result<byte_sink> duplicate(int fd);

    /// Completes when all of `from` was taken, or with an error; n tells how much was. The sink, and `from`, stay in place
    /// until then. Errors: as pipe_writer::write() and file::write().
    [[nodiscard]] task<io_result> write(std::span<const std::byte> from);

    /// The descriptor's number; it stays the sink's. Negative once it was given away or moved.
    [[nodiscard]] int fd() const noexcept;

    /// Gives the descriptor away. Not while a file is written; an await under way on anything else ends with `closed`.
    [[nodiscard]] descriptor release() noexcept;

private:
    using means = std::variant<pipe_writer, file>;

    explicit byte_sink(means of) noexcept : of_(std::move(of)) {}

    means of_;
};

}  // namespace fluxnet
