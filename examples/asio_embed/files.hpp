// SPDX-License-Identifier: BSD-3-Clause
// `find_file()`: the files of asio_embed's page, which lie beside this one in the tree and are built into the program.
//
// A function without state; the texts live as long as the program.
#pragma once

#include <string_view>

namespace embed_example {

struct file {
    std::string_view path;  ///< In a URL.
    std::string_view type;
    std::string_view text;
};

/// The file at a path, or null.
[[nodiscard]] const file* find_file(std::string_view path) noexcept;

}  // namespace embed_example
