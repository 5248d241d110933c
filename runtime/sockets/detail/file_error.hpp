// SPDX-License-Identifier: BSD-3-Clause
// What the kernel answers when a file or a pipe is opened or adopted, in words. A function without state.
#pragma once

#include "fluxnet/xsk/base/error.hpp"

#include <string>

namespace fluxnet::detail {

/// An error of a set-up: `step` failed with an errno. The cause and the remedy are those of the errno.
[[nodiscard]] error file_error(int number, std::string step);

/// Says in one word or two what a file is, by its st_mode: "a socket".
[[nodiscard]] const char* kind_of_file(unsigned mode) noexcept;

}  // namespace fluxnet::detail
