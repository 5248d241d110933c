// SPDX-License-Identifier: BSD-3-Clause
// One text of several refusals. Function without state; any thread.
#pragma once

#include "fluxnet/xsk/base/error.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace fluxnet::detail {

/// Adds a refusal to the cause of an error that stands for several: "step: cause (remedy)", behind what is there already.
/// What is longer than `most` octets is cut.
inline void add_refusal(std::string& causes, const error& why, std::string_view what = {}, std::size_t most = 600) {
    std::string text(what);
    if (!what.empty()) { text += ": "; }
    text += why.step + ": " + (why.cause.empty() ? why.code.message() : why.cause);
    if (!why.remedy.empty()) { text += " (" + why.remedy + ')'; }
    if (text.size() > most) {
        text.resize(most);
        text += "...";
    }
    causes += (causes.empty() ? "" : "; ") + text;
}

/// The remedy of such an error.
inline constexpr const char* any_remedy = "one of these remedies suffices";

}  // namespace fluxnet::detail
