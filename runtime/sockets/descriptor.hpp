// SPDX-License-Identifier: BSD-3-Clause
// `descriptor`: a file descriptor that is closed when its owner goes.
//
//     descriptor file(::open("/etc/hosts", O_RDONLY | O_CLOEXEC));
//     if (!file) { ... }  // errno tells why
//
// A move-only value. Threads: any, one at a time.
#pragma once

#include <utility>

#include <unistd.h>

namespace fluxnet {

class descriptor {
public:
    descriptor() = default;

    /// Owns `fd`; nothing if it is negative.
    explicit descriptor(int fd) noexcept : fd_(fd) {}

    descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept {
        if (this != &other) {
            reset();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    ~descriptor() { reset(); }

    /// Closes it now. One system call.
    void reset() noexcept {
        if (fd_ >= 0) { ::close(std::exchange(fd_, -1)); }
    }

    /// Gives the number away; closing it is the caller's.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

    /// Its number; negative when there is none.
    [[nodiscard]] int get() const noexcept { return fd_; }

    /// Tells whether there is one.
    [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }

private:
    int fd_ = -1;
};

}  // namespace fluxnet
