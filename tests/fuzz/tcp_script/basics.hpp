// SPDX-License-Identifier: BSD-3-Clause
// What the parts of a TCP script share: `promise()`, `script_digest`, the octets of its streams, and `script_buffers`.
//
// Threads: one at a time.
#pragma once

#include "fluxnet/proto/tcp/buffer.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define FLUXNET_SCRIPT_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FLUXNET_SCRIPT_POISONS 1
#endif
#endif
#if defined(FLUXNET_SCRIPT_POISONS)
#include <sanitizer/asan_interface.h>
#endif

namespace tcp_script {

/// What a script throws when an engine breaks a promise. A fuzz target lets it end the process.
class broken_promise : public std::logic_error {
    using std::logic_error::logic_error;
};

/// Throws unless the promise holds.
inline void promise(bool holds, const char* what) {
    if (!holds) [[unlikely]] { throw broken_promise(what); }
}

/// A number that depends on everything that is added to it, and on the order.
class script_digest {
public:
    void add(std::uint64_t value) noexcept {
        sum_ = (sum_ ^ value) * 0x9e37'79b9'7f4a'7c15ULL;
        sum_ ^= sum_ >> 29;
    }
    void add(std::span<const std::byte> octets) noexcept {
        add(octets.size());
        for (; octets.size() >= sizeof(std::uint64_t); octets = octets.subspan(sizeof(std::uint64_t))) {
            std::uint64_t word = 0;
            std::memcpy(&word, octets.data(), sizeof word);
            add(word);
        }
        for (const std::byte one : octets) { add(std::to_integer<std::uint64_t>(one)); }
    }
    [[nodiscard]] std::uint64_t value() const noexcept { return sum_; }

private:
    std::uint64_t sum_ = 1;
};

/// The octets of a stream by their sequence numbers. As they depend on nothing else, segments made by hand can carry octets
/// that are right, and a segment that was sent can be judged without knowing who wrote it. `key` tells one stream from
/// another.
class stream_octets {
public:
    /// Calls `each(octets)` for pieces that follow each other, `count` octets in all.
    template <class Each>
    static void visit(std::uint32_t key, std::uint32_t number, std::size_t count, Each&& each) {
        static const std::array<std::byte, period> all = make();
        for (std::uint64_t place = number + key * 40'503U; count != 0; place &= 0xffff'ffff) {
            const auto at = static_cast<std::size_t>(place % period);
            const std::uint64_t most = std::min<std::uint64_t>(period - at, 0x1'0000'0000 - place);
            const std::size_t part = std::min(count, static_cast<std::size_t>(most));
            each(std::span(all).subspan(at, part));
            count -= part;
            place += part;
        }
    }

private:
    static constexpr std::size_t period = 65'521;  // a prime: octets that are moved by a power of two differ

    static std::array<std::byte, period> make() noexcept {
        std::array<std::byte, period> made{};
        std::uint32_t state = 1;
        for (std::byte& one : made) {
            state = state * 1'664'525U + 1'013'904'223U;
            one = static_cast<std::byte>(state >> 24);
        }
        return made;
    }
};
inline void fill_octets(std::span<std::byte> octets, std::uint32_t key, std::uint32_t number) {
    stream_octets::visit(key, number, octets.size(), [&](std::span<const std::byte> part) {
        std::copy(part.begin(), part.end(), octets.begin());
        octets = octets.subspan(part.size());
    });
}
[[nodiscard]] inline bool are_octets(std::span<const std::byte> octets, std::uint32_t key, std::uint32_t number) {
    bool same = true;
    stream_octets::visit(key, number, octets.size(), [&](std::span<const std::byte> part) {
        same = same && std::equal(part.begin(), part.end(), octets.begin());
        octets = octets.subspan(part.size());
    });
    return same;
}

/// Lends a few buffers, and notes when one is given back that was not lent. Under address-sanitizer nobody may touch a
/// buffer that is not lent. The token is the number of the buffer, from 1.
class script_buffers final : public fluxnet::proto::tcp::buffer_source {
public:
    using buffer = fluxnet::proto::tcp::buffer;

    static constexpr std::size_t count = 64;
    static constexpr std::uint32_t size = 2048;

    /// `memory`: `count` times `size` octets, which outlive it.
    explicit script_buffers(std::span<std::byte> memory) noexcept : memory_(memory) {
        for (std::size_t i = 0; i != count; ++i) { free_[i] = static_cast<std::uint8_t>(count - i); }
#if defined(FLUXNET_SCRIPT_POISONS)
        ASAN_POISON_MEMORY_REGION(memory_.data(), memory_.size());
#endif
    }
    script_buffers(const script_buffers&) = delete;
    script_buffers& operator=(const script_buffers&) = delete;
    ~script_buffers() {
#if defined(FLUXNET_SCRIPT_POISONS)
        ASAN_UNPOISON_MEMORY_REGION(memory_.data(), memory_.size());
#endif
    }

    [[nodiscard]] buffer allocate() noexcept override { return out() < limit ? take(size) : buffer{}; }
    void release(std::uint64_t token) noexcept override {
        if (token == 0 || token > count || !is_out_[token]) {
            broken = true;
            return;
        }
        is_out_[token] = false;
        free_[free_count_++] = static_cast<std::uint8_t>(token);
#if defined(FLUXNET_SCRIPT_POISONS)
        ASAN_POISON_MEMORY_REGION(memory_.data() + (token - 1) * size, size);
#endif
    }

    /// Lends a buffer whatever the limit says: a network card has its own. Nothing behind `octets` may be touched.
    [[nodiscard]] buffer take(std::uint32_t octets) noexcept {
        if (free_count_ == 0 || octets > size) { return {}; }
        const std::uint64_t token = free_[--free_count_];
        is_out_[token] = true;
        std::byte* const data = memory_.data() + (token - 1) * size;
#if defined(FLUXNET_SCRIPT_POISONS)
        ASAN_UNPOISON_MEMORY_REGION(data, octets);
#endif
        return {data, octets, token};
    }

    /// How many buffers are lent.
    [[nodiscard]] std::size_t out() const noexcept { return count - free_count_; }

    std::size_t limit = count;  ///< allocate() lends none while so many are out.
    bool broken = false;        ///< One was given back that was not lent.

private:
    std::span<std::byte> memory_;
    std::array<std::uint8_t, count> free_;
    std::size_t free_count_ = count;
    std::array<bool, count + 1> is_out_{};
};

/// The octets of a script, which are taken one after another.
class script_input {
public:
    explicit script_input(std::span<const std::uint8_t> octets) noexcept : rest_(octets) {}

    [[nodiscard]] bool empty() const noexcept { return rest_.empty(); }
    /// Takes the next octet, or 0 when there is none left.
    [[nodiscard]] std::uint8_t take8() noexcept {
        if (rest_.empty()) { return 0; }
        const std::uint8_t value = rest_.front();
        rest_ = rest_.subspan(1);
        return value;
    }
    [[nodiscard]] std::uint32_t take32() noexcept {
        std::uint32_t value = 0;
        for (int i = 0; i != 4; ++i) { value = value << 8 | take8(); }
        return value;
    }

private:
    std::span<const std::uint8_t> rest_;
};

}  // namespace tcp_script
