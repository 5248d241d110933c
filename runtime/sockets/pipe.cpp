// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/pipe.hpp"

#include "fluxnet/runtime/sockets/detail/duplicate.hpp"
#include "fluxnet/runtime/sockets/detail/file_error.hpp"
#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <cerrno>
#include <string>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fluxnet {
namespace {

constexpr int calls_at_once = 16;  // of one write, for a reader that is as fast as we are

/// Makes sure that calls on a terminal do not wait. `access`: O_RDONLY or O_WRONLY.
result<descriptor> without_waiting(descriptor terminal, int flags, int access, const std::string& step) {
    if ((flags & O_NONBLOCK) != 0) { return terminal; }
    unsigned number = 0;
    // To open the master of a pseudo-terminal would make another one.
    if (::ioctl(terminal.get(), TIOCGPTN, &number) == 0) {
        if (::fcntl(terminal.get(), F_SETFL, flags | O_NONBLOCK) != 0) { return detail::file_error(errno, step); }
        return terminal;
    }
    const std::string path = "/proc/self/fd/" + std::to_string(terminal.get());
    descriptor opened(detail::above_streams(::open(path.c_str(), access | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)));
    if (opened) { return opened; }
    error why = detail::file_error(errno, step + ": open the terminal anew, as " + path);
    why.remedy = "open the terminal with O_NONBLOCK and adopt that";
    return why;
}

/// The descriptor, if it can be read or written like a pipe. `number`: what the user calls it. `access`: O_RDONLY or
/// O_WRONLY.
result<descriptor> like_pipe(descriptor of, int number, int access) {
    const std::string step = "adopt descriptor " + std::to_string(number) +
                             (access == O_RDONLY ? " as the reading end of a pipe" : " as the writing end of a pipe");
    struct stat about {};
    if (::fstat(of.get(), &about) != 0) { return detail::file_error(errno, step); }
    if (S_ISREG(about.st_mode) || S_ISBLK(about.st_mode) || S_ISDIR(about.st_mode)) {
        return make_error(errc::invalid_option, step, std::string("it is ") + detail::kind_of_file(about.st_mode),
                          S_ISDIR(about.st_mode) ? "name a file in it"
                          : access == O_RDONLY   ? "use byte_source, which reads files and pipes, or file::adopt()"
                                                 : "use byte_sink, which writes to files and pipes, or file::adopt()");
    }
    const int flags = ::fcntl(of.get(), F_GETFL);
    if (flags < 0) { return detail::file_error(errno, step); }
    const int may = flags & O_ACCMODE;
    if (may != access && may != O_RDWR) {
        return make_error(errc::invalid_option, step, may == O_WRONLY ? "it can only be written to" : "it can only be read",
                          "give the other end of the pipe");
    }
    if (::isatty(of.get()) == 0) { return of; }
    return without_waiting(std::move(of), flags, access, step);
}

/// Takes the descriptor away from awaits that are under way; there is none in an end that was moved from.
descriptor take_from(detail::socket_state* state) noexcept {
    if (state == nullptr) { return {}; }
    if (state->reader != nullptr) { std::exchange(state->reader, nullptr)->lose_socket(); }
    if (state->writer != nullptr) { std::exchange(state->writer, nullptr)->lose_socket(); }
    return state->release();
}

}  // namespace

result<pipe_reader> pipe_reader::adopt(descriptor of) {
    const int number = of.get();
    result<descriptor> fit = like_pipe(std::move(of), number, O_RDONLY);
    if (!fit) { return fit.error(); }
    return pipe_reader(std::move(*fit));
}

result<pipe_reader> pipe_reader::duplicate(int fd) {
    result<descriptor> copy = detail::duplicate_of(fd);
    if (!copy) { return copy.error(); }
    result<descriptor> fit = like_pipe(std::move(*copy), fd, O_RDONLY);
    if (!fit) { return fit.error(); }
    return pipe_reader(std::move(*fit));
}

pipe_reader::read_awaiter pipe_reader::read(std::span<std::byte> into) noexcept {
    return {state_.get(), into};
}

descriptor pipe_reader::release() noexcept {
    return take_from(state_.get());
}

int pipe_reader::read_awaiter::attempt() noexcept {
    const int result = read_now(into_);
    if (result < 0) { return result; }
    n_ = static_cast<std::size_t>(result);
    return 0;
}

result<pipe_writer> pipe_writer::adopt(descriptor of) {
    const int number = of.get();
    result<descriptor> fit = like_pipe(std::move(of), number, O_WRONLY);
    if (!fit) { return fit.error(); }
    return pipe_writer(std::move(*fit));
}

result<pipe_writer> pipe_writer::duplicate(int fd) {
    result<descriptor> copy = detail::duplicate_of(fd);
    if (!copy) { return copy.error(); }
    result<descriptor> fit = like_pipe(std::move(*copy), fd, O_WRONLY);
    if (!fit) { return fit.error(); }
    return pipe_writer(std::move(*fit));
}

pipe_writer::write_awaiter pipe_writer::write(std::span<const std::byte> from) noexcept {
    return {state_.get(), from};
}

kernel_stream::shutdown_awaiter pipe_writer::shutdown_write() noexcept {
    if (state_ == nullptr) { return kernel_stream::shutdown_awaiter(errc::closed); }
    take_from(state_.get()).reset();
    return kernel_stream::shutdown_awaiter(no_error);
}

descriptor pipe_writer::release() noexcept {
    return take_from(state_.get());
}

int pipe_writer::write_awaiter::attempt() noexcept {
    for (int calls = 0; n_ != from_.size(); ++calls) {
        if (calls == calls_at_once) { return -EAGAIN; }  // the others first
        const int result = write_now(from_.subspan(n_));
        if (result < 0) { return result; }
        n_ += static_cast<std::size_t>(result);
    }
    return 0;
}

result<std::pair<pipe_reader, pipe_writer>> make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) { return detail::file_error(errno, "make a pipe"); }
    descriptor reading(detail::above_streams(ends[0]));
    const int refusal = errno;
    descriptor writing(detail::above_streams(ends[1]));
    if (!reading || !writing) { return detail::file_error(reading ? errno : refusal, "make a pipe"); }
    return std::pair(pipe_reader(std::move(reading)), pipe_writer(std::move(writing)));
}

}  // namespace fluxnet
