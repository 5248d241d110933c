// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/rings_state.hpp"

namespace fluxnet {
namespace {

void append(std::string& text, const char* name, const ring_state& ring) {
    const auto number = [&](const char* what, std::uint32_t value) {
        text += ' ';
        text += what;
        text += ' ';
        text += std::to_string(value);
    };
    text += name;
    text += ':';
    number("size", ring.size);
    number("producer", ring.producer);
    number("consumer", ring.consumer);
    number("waiting", ring.waiting);
    number("free", ring.free);
    if (ring.needs_wakeup) { text += " needs_wakeup"; }
    if (ring.corrupt) { text += " corrupt"; }
    text += '\n';
}

}  // namespace

std::string to_string(const raw_rings_state& rings) {
    std::string text;
    append(text, "rx", rings.rx);
    append(text, "fill", rings.fill);
    append(text, "tx", rings.tx);
    append(text, "comp", rings.comp);
    return text;
}

}  // namespace fluxnet
