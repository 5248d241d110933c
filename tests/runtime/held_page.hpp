// SPDX-License-Identifier: BSD-3-Clause
// `held_page`: a page of memory that holds up whatever uses it, until a test lets it go: a call of the kernel's that copies
// to it or from it takes as long as the test wants.
//
// By userfaultfd(2), which asks for privileges. Owned by one test case; any thread may ask and let go.
#pragma once

#include "tests/support/detail/file_descriptor.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string>

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace fluxnet::test {

class held_page {
public:
    static constexpr std::size_t size = 4096;

    /// Why there can be none here.
    [[nodiscard]] static std::optional<std::string> why_not() {
        const detail::file_descriptor asked{open_faults()};
        if (asked.get() >= 0) { return std::nullopt; }
        return std::string("userfaultfd: ") + std::strerror(errno);
    }

    held_page() : faults_{open_faults()} {
        REQUIRE(faults_.get() >= 0);
        page_ = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(page_ != MAP_FAILED);
        uffdio_api api{};
        api.api = UFFD_API;
        REQUIRE(::ioctl(faults_.get(), UFFDIO_API, &api) == 0);
        uffdio_register held{};
        held.range = range();
        held.mode = UFFDIO_REGISTER_MODE_MISSING;
        REQUIRE(::ioctl(faults_.get(), UFFDIO_REGISTER, &held) == 0);
    }
    held_page(const held_page&) = delete;
    held_page& operator=(const held_page&) = delete;
    ~held_page() { ::munmap(page_, size); }

    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {static_cast<std::byte*>(page_), size}; }

    /// Tells whether somebody is held up.
    [[nodiscard]] bool is_awaited() const noexcept {
        pollfd asked{faults_.get(), POLLIN, 0};
        return ::poll(&asked, 1, 0) == 1;
    }

    /// Lets it be used, as a page of zeroes.
    void let_go() const {
        uffdio_zeropage zeroes{};
        zeroes.range = range();
        REQUIRE(::ioctl(faults_.get(), UFFDIO_ZEROPAGE, &zeroes) == 0);
    }

private:
    [[nodiscard]] static int open_faults() noexcept {
        return static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
    }
    [[nodiscard]] uffdio_range range() const noexcept { return {reinterpret_cast<std::uintptr_t>(page_), size}; }

    const detail::file_descriptor faults_;
    void* page_ = nullptr;
};

}  // namespace fluxnet::test
