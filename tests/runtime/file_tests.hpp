// SPDX-License-Identifier: BSD-3-Clause
// What the tests of files share: a directory that goes with its test, and files in memory.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/sockets/file.hpp"
#include "tests/runtime/socket_tests.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

namespace fluxnet::test {

class scratch_directory {
public:
    scratch_directory() : path_(std::filesystem::temp_directory_path() / "fluxnet-files-XXXXXX") {
        REQUIRE(::mkdtemp(path_.data()) != nullptr);
    }
    scratch_directory(const scratch_directory&) = delete;
    scratch_directory& operator=(const scratch_directory&) = delete;
    ~scratch_directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::string operator/(std::string_view name) const { return path_ + '/' + std::string(name); }

private:
    std::string path_;
};

/// A descriptor of a file in memory with this in it: it can be read only in ways that may wait.
inline descriptor memory_with(std::string_view text) {
    descriptor made(::memfd_create("fluxnet-test", MFD_CLOEXEC));
    REQUIRE(made);
    REQUIRE(::pwrite(made.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    return made;
}

inline file memory_file(std::string_view text) {
    return file::adopt(memory_with(text)).value();
}

/// Of a file that must not be there yet.
inline constexpr file_options fresh{.write = true, .create = true, .exclusive = true};

/// Runs a task on an executor of its own.
template <class Function>
void run_on_executor(Function function) {
    executor loop;
    loop.spawn(function);
    loop.run();
}

/// Bytes that tell their place.
inline std::string numbered_text(std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i != size; ++i) { text[i] = static_cast<char>(i * 31 + i / 251); }
    return text;
}

}  // namespace fluxnet::test
