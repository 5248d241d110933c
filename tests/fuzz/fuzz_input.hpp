// SPDX-License-Identifier: BSD-3-Clause
// What the fuzz targets share: taking an input apart, looking at what a parser returns, and failing.
//
// A target defines LLVMFuzzerTestOneInput() and is linked with libFuzzer, or with replay_main.cpp where the compiler has
// none. The functions here crash on a broken promise, because that is how a fuzzer notices one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

/// Runs one input; returns 0. Called by libFuzzer or by replay_main.cpp.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace fluxnet::proto::fuzz {

/// Ends the process unless the promise holds.
inline void check(bool promise) {
    if (!promise) { std::abort(); }
}

inline volatile std::uint64_t last_seen = 0;

/// Uses a number in a way that the compiler cannot leave out.
inline void look_at(std::uint64_t value) {
    last_seen = value;
}

/// Reads every octet, so that a span beyond its buffer is found by address-sanitizer.
inline void look_at(std::span<const std::byte> bytes) {
    std::uint64_t sum = 0;
    for (const std::byte byte : bytes) { sum += std::to_integer<std::uint64_t>(byte); }
    look_at(sum);
}

/// The bytes of one run: some numbers from the front, a packet of the rest.
class fuzz_input {
public:
    fuzz_input(const std::uint8_t* data, std::size_t size) : rest_(std::as_bytes(std::span(data, size))) {}

    /// Takes the next octet, or 0 when there is none left.
    [[nodiscard]] std::uint8_t take8() {
        if (rest_.empty()) { return 0; }
        const auto value = std::to_integer<std::uint8_t>(rest_.front());
        rest_ = rest_.subspan(1);
        return value;
    }

    /// Copies what is left to a buffer of exactly that size.
    [[nodiscard]] std::vector<std::byte> take_rest() {
        const std::span<const std::byte> rest = rest_;
        rest_ = {};
        return {rest.begin(), rest.end()};
    }

private:
    std::span<const std::byte> rest_;
};

}  // namespace fluxnet::proto::fuzz
