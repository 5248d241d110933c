// SPDX-License-Identifier: BSD-3-Clause
// A process with few descriptors: `descriptor_limit`, and whether a test can leave its process without any.
//
// Threads: the limit is that of the whole process.
#pragma once

#include <cerrno>
#include <optional>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/resource.h>

namespace fluxnet::test {

/// Lets this process open no descriptor from the number `first` on, for as long as it lives. Those that are open stay.
class descriptor_limit {
public:
    explicit descriptor_limit(int first) {
        const bool known = ::getrlimit(RLIMIT_NOFILE, &former_) == 0;
        const rlimit low{static_cast<rlim_t>(first), former_.rlim_max};
        if (!known || ::setrlimit(RLIMIT_NOFILE, &low) != 0) {
            throw std::system_error(errno, std::generic_category(), "limit the descriptors");
        }
    }
    descriptor_limit(const descriptor_limit&) = delete;
    descriptor_limit& operator=(const descriptor_limit&) = delete;
    ~descriptor_limit() { static_cast<void>(::setrlimit(RLIMIT_NOFILE, &former_)); }

private:
    rlimit former_{};
};

/// The number that the next descriptor will have.
[[nodiscard]] inline int lowest_free_descriptor() noexcept {
    int first = 0;
    while (::fcntl(first, F_GETFD) >= 0) { ++first; }
    return first;
}

/// Says why no test can; nothing if one can.
inline std::optional<std::string> why_not_without_descriptors() {
#if defined(__has_feature)
#if __has_feature(undefined_behavior_sanitizer)
    return "the undefined-behaviour sanitizer opens a pipe to look at an object's type";
#endif
#endif
    return std::nullopt;
}

}  // namespace fluxnet::test
