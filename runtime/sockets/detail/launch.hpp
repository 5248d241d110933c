// SPDX-License-Identifier: BSD-3-Clause
// `launch`: the way from process_options to a running process.
//
// Used once, on one thread, then destroyed, which closes the program's ends of the streams here.
#pragma once

#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/process_options.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <array>
#include <string>
#include <vector>

#include <sys/types.h>

namespace fluxnet::detail {

class launch {
public:
    explicit launch(const process_options& options) noexcept : options_(options) {}

    /// Starts the program. Errors: as subprocess::start().
    [[nodiscard]] result<void> run();

    // What run() has made:
    pid_t pid = 0;
    descriptor process;                 // its pidfd
    std::array<descriptor, 3> streams;  // this process's ends

private:
    [[nodiscard]] result<void> check() const;
    [[nodiscard]] result<void> open_directory();
    [[nodiscard]] result<void> open_stream(std::size_t number, const process_stream& how);
    [[nodiscard]] result<void> open_pipe(std::size_t number);
    [[nodiscard]] result<void> spawn();
    [[nodiscard]] result<void> reserve_pidfd();
    [[nodiscard]] result<void> open_pidfd();
    [[nodiscard]] std::string starting() const;
    [[nodiscard]] error cannot_start(int number) const;

    const process_options& options_;
    descriptor directory_;
    descriptor reserved_;                 // a descriptor for the pidfd
    std::array<descriptor, 3> programs_;  // the program's ends, none of which is 0, 1 or 2
};

}  // namespace fluxnet::detail
