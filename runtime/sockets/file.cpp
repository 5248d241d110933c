// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/file.hpp"

#include "fluxnet/runtime/sockets/detail/file_error.hpp"
#include "fluxnet/runtime/sockets/offload.hpp"
#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <cassert>
#include <cerrno>
#include <limits>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

namespace fluxnet {
namespace {

std::string step_of(const std::string& path) {
    return "open " + path;
}

/// Why the options can never work; null when they can.
const char* why_not(const file_options& options) noexcept {
    if (!options.read && !options.write) { return "the file is opened neither to be read nor to be written"; }
    if (options.append && !options.write) { return "append needs write"; }
    if (options.create && !options.write) { return "create needs write"; }
    if (options.truncate && !options.write) { return "truncate needs write"; }
    if (options.exclusive && !options.create) { return "exclusive needs create"; }
    return nullptr;
}

int flags_of(const file_options& options) noexcept {
    int flags = options.read && options.write ? O_RDWR : options.write ? O_WRONLY : O_RDONLY;
    if (options.append) { flags |= O_APPEND; }
    if (options.create) { flags |= O_CREAT; }
    if (options.exclusive) { flags |= O_EXCL; }
    if (options.truncate) { flags |= O_TRUNC; }
    return flags | O_CLOEXEC | O_NOCTTY;
}

/// Opens without waiting for the other end of a pipe, which is refused then.
result<descriptor> open_now(const std::string& path, const file_options& options) {
    descriptor opened(detail::above_streams(::open(path.c_str(), flags_of(options) | O_NONBLOCK, options.permissions)));
    if (!opened) { return detail::file_error(errno, step_of(path)); }
    const int flags = ::fcntl(opened.get(), F_GETFL);
    if (flags < 0 || ::fcntl(opened.get(), F_SETFL, flags & ~O_NONBLOCK) != 0) {
        return detail::file_error(errno, step_of(path));
    }
    return opened;
}

/// What to use in place of `file` for something that has no positions.
const char* remedy_for_kind(unsigned mode) noexcept {
    switch (mode & S_IFMT) {
        case S_IFDIR: return "name a file in it; std::filesystem::directory_iterator lists what there is";
        case S_IFSOCK: return "adopt it as the stream that it is: tcp_stream or unix_stream, say";
        case S_IFIFO:
        case S_IFCHR: return "use pipe_reader or pipe_writer, or byte_source where it may be a file too";
        default: return "await readable(), and make its own calls";
    }
}

/// The state of an open file, if it is of a kind that can be used.
result<std::shared_ptr<detail::file_state>> state_of(descriptor opened, const std::string& step) {
    struct stat about {};
    if (::fstat(opened.get(), &about) != 0) { return detail::file_error(errno, step); }
    const bool may_be = S_ISREG(about.st_mode) || S_ISBLK(about.st_mode) || S_ISCHR(about.st_mode);
    const off_t at = may_be ? ::lseek(opened.get(), 0, SEEK_CUR) : -1;
    if (at < 0) {
        return make_error(errc::invalid_option, step, std::string("it is ") + detail::kind_of_file(about.st_mode),
                          remedy_for_kind(about.st_mode));
    }
    const int flags = ::fcntl(opened.get(), F_GETFL);
    if (flags < 0) { return detail::file_error(errno, step); }
    return std::make_shared<detail::file_state>(std::move(opened), static_cast<std::uint64_t>(at), (flags & O_APPEND) != 0);
}

/// Calls `call(fd)`, which returns 0 or sets errno, on a thread of the pool.
template <class Call>
task<wait_result> call_elsewhere(std::shared_ptr<detail::file_state> of, Call call) {
    if (of == nullptr) { co_return errc::closed; }
    const auto function = [of, call] { return call(of->file.get()) == 0 ? 0 : errno; };
    const result<int> ended = co_await offload(function);
    if (!ended) { co_return ended.error().code; }
    co_return *ended == 0 ? no_error : std::error_code(*ended, std::system_category());
}

task<result<std::uint64_t>> ask_size(std::shared_ptr<detail::file_state> of) {
    struct stat about {};
    const auto ask = [&about](int fd) { return ::fstat(fd, &about); };
    const wait_result ended = co_await call_elsewhere(std::move(of), ask);
    if (!ended) { co_return static_cast<std::uint64_t>(about.st_size); }
    const std::string step = "ask for a file's size";
    if (ended.category() == std::system_category()) { co_return detail::file_error(ended.value(), step); }
    co_return error{ended, step, ended.message(), "nothing is wrong if the program asked for it"};
}

}  // namespace

task<result<file>> file::open(std::string path, file_options options) {
    const char* unfit = why_not(options);
    if (path.empty() || path.find('\0') != path.npos) { unfit = "the path is empty or contains a zero octet"; }
    if (unfit != nullptr) {
        const std::string shown = path.substr(0, path.find('\0'));  // texts end at a zero octet for many who show them
        co_return make_error(errc::invalid_option, step_of(shown), unfit, "see file_options.hpp for what goes together");
    }
    using opened = result<std::shared_ptr<detail::file_state>>;
    // The function owns all that it uses, so it may be abandoned.
    auto function = [path, options]() -> opened {
        result<descriptor> made = open_now(path, options);
        if (!made) { return made.error(); }
        return state_of(std::move(*made), step_of(path));
    };
    result<opened> ended = co_await offload(std::move(function), when_canceled::abandons);
    if (!ended) {
        error why = ended.error();
        why.step = step_of(path);
        if (why.code == errc::not_in_virtual_time) { why.remedy = "put the file's bytes into the test"; }
        co_return why;
    }
    if (!*ended) { co_return ended->error(); }
    co_return file(std::move(**ended));
}

result<file> file::adopt(descriptor of, file_position whose) {
    const std::string step = "adopt descriptor " + std::to_string(of.get()) + " as a file";
    result<std::shared_ptr<detail::file_state>> made = state_of(std::move(of), step);
    if (!made) { return made.error(); }
    (*made)->shares_position = whose == file_position::shared;
    return file(std::move(*made));
}

file::transfer_awaiter file::read_at(std::span<std::byte> into, std::uint64_t offset) noexcept {
    return {"file::read_at", state_, io_request::read(fd(), into, offset), false};
}

file::transfer_awaiter file::write_at(std::span<const std::byte> from, std::uint64_t offset) noexcept {
    return {"file::write_at", state_, io_request::write(fd(), from, offset), false};
}

file::transfer_awaiter file::read(std::span<std::byte> into) noexcept {
    return {"file::read", state_, io_request::read(fd(), into), true};
}

file::transfer_awaiter file::write(std::span<const std::byte> from) noexcept {
    return {"file::write", state_, io_request::write(fd(), from), true};
}

task<result<std::uint64_t>> file::size() {
    return ask_size(state_);
}

task<wait_result> file::sync() {
    return call_elsewhere(state_, ::fsync);
}

task<wait_result> file::sync_data() {
    return call_elsewhere(state_, ::fdatasync);
}

task<wait_result> file::truncate(std::uint64_t size) {
    const auto cut = [size](int fd) {
        if (size <= static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) {
            return ::ftruncate(fd, static_cast<off_t>(size));
        }
        errno = EFBIG;
        return -1;
    };
    return call_elsewhere(state_, cut);
}

descriptor file::release() noexcept {
    assert(state_ == nullptr || state_.use_count() == 1);
    if (state_ == nullptr) { return {}; }
    descriptor given = std::move(state_->file);
    if (!state_->shares_position) {
        static_cast<void>(::lseek(given.get(), static_cast<off_t>(state_->position), SEEK_SET));
    }
    state_.reset();
    return given;
}

}  // namespace fluxnet
