// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/byte_source.hpp"

#include "fluxnet/runtime/sockets/detail/duplicate.hpp"
#include "fluxnet/runtime/sockets/detail/file_error.hpp"

#include <cerrno>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>

namespace fluxnet {
namespace {

/// The same refusal, told of the step that the user has asked for.
error at_step(const std::string& step, error why) {
    why.step = step;
    return why;
}

/// What `of` is read or written as. `number`: what the user calls it. `access`: O_RDONLY or O_WRONLY.
template <class Pipe>
result<std::variant<Pipe, file>> means_for(descriptor of, int number, int access) {
    const std::string step =
        (access == O_RDONLY ? "read from descriptor " : "write to descriptor ") + std::to_string(number);
    struct stat about {};
    const int flags = ::fcntl(of.get(), F_GETFL);
    if (flags < 0 || ::fstat(of.get(), &about) != 0) { return detail::file_error(errno, step); }
    if (!S_ISREG(about.st_mode) && !S_ISBLK(about.st_mode)) {
        result<Pipe> adopted = Pipe::adopt(std::move(of));
        if (adopted) { return std::move(*adopted); }
        return at_step(step, std::move(adopted).error());
    }
    if ((flags & O_ACCMODE) != access && (flags & O_ACCMODE) != O_RDWR) {
        const bool reads = access == O_RDONLY;
        return make_error(errc::invalid_option, step, reads ? "it can only be written to" : "it can only be read",
                          reads ? "open it for reading: prog < file" : "open it for writing: prog > file");
    }
    result<file> adopted = file::adopt(std::move(of), file_position::shared);
    if (adopted) { return std::move(*adopted); }
    return at_step(step, std::move(adopted).error());
}

template <class Pipe>
result<std::variant<Pipe, file>> means_for_duplicate(int fd, int access) {
    result<descriptor> copy = detail::duplicate_of(fd);
    if (!copy) { return std::move(copy).error(); }
    return means_for<Pipe>(std::move(*copy), fd, access);
}

}  // namespace

result<byte_source> byte_source::adopt(descriptor of) {
    const int number = of.get();
    auto found = means_for<pipe_reader>(std::move(of), number, O_RDONLY);
    if (!found) { return std::move(found).error(); }
    return byte_source(std::move(*found));
}

result<byte_source> byte_source::duplicate(int fd) {
    auto found = means_for_duplicate<pipe_reader>(fd, O_RDONLY);
    if (!found) { return std::move(found).error(); }
    return byte_source(std::move(*found));
}

task<io_result> byte_source::read(std::span<std::byte> into) {
    if (file* const disk = std::get_if<file>(&of_)) {
        const io_result got = co_await disk->read(into);
        co_return got;
    }
    const io_result got = co_await std::get<pipe_reader>(of_).read(into);
    co_return got;
}

int byte_source::fd() const noexcept {
    return std::visit([](const auto& of) { return of.fd(); }, of_);
}

descriptor byte_source::release() noexcept {
    return std::visit([](auto& of) { return of.release(); }, of_);
}

result<byte_sink> byte_sink::adopt(descriptor of) {
    const int number = of.get();
    auto found = means_for<pipe_writer>(std::move(of), number, O_WRONLY);
    if (!found) { return std::move(found).error(); }
    return byte_sink(std::move(*found));
}

result<byte_sink> byte_sink::duplicate(int fd) {
    auto found = means_for_duplicate<pipe_writer>(fd, O_WRONLY);
    if (!found) { return std::move(found).error(); }
    return byte_sink(std::move(*found));
}

task<io_result> byte_sink::write(std::span<const std::byte> from) {
    if (file* const disk = std::get_if<file>(&of_)) {
        const io_result sent = co_await disk->write(from);
        co_return sent;
    }
    const io_result sent = co_await std::get<pipe_writer>(of_).write(from);
    co_return sent;
}

int byte_sink::fd() const noexcept {
    return std::visit([](const auto& of) { return of.fd(); }, of_);
}

descriptor byte_sink::release() noexcept {
    return std::visit([](auto& of) { return of.release(); }, of_);
}

}  // namespace fluxnet
