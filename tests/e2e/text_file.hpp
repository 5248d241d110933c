// SPDX-License-Identifier: BSD-3-Clause
// `text_file`: a file for a program under test to read, which has no name in the file system.
//
// Owned by a test. write() is not atomic: another process that reads meanwhile may see a part.
#pragma once

#include "tests/support/detail/file_descriptor.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <string>

namespace fluxnet::test {

/// A file in memory that ends with the test: another process reads it by path(), through /proc.
class text_file {
public:
    explicit text_file(const std::string& text)
        : file_(detail::file_descriptor::checked(::memfd_create("text", MFD_CLOEXEC), "memfd_create")) {
        write(text);
    }

    void write(const std::string& text) {
        if (::ftruncate(file_.get(), 0) != 0) detail::throw_errno("ftruncate");
        if (::pwrite(file_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
            detail::throw_errno("pwrite");
        }
    }

    [[nodiscard]] std::string path() const {
        return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(file_.get());
    }

private:
    detail::file_descriptor file_;
};

}  // namespace fluxnet::test
