// SPDX-License-Identifier: BSD-3-Clause
// `bounded_store`: keys and their values, as many as there is room for, some of them until a time. No I/O, no clock.
//
//     bounded_store store({.keys = 1000, .octets = 1'000'000});
//     store.set("name", "value", now + 10s, now);
//     if (const std::string* value = store.find("name", now)) { ... }
//
// A key whose time has come is gone for every caller at that time; its memory is freed when the key is touched, when room is
// needed, or by expire(). What others choose as keys cannot make a search slow: they lie in a tree, and not in a hash table.
//
// Owns all. One thread at a time. Times are those of any steady clock that the caller goes by.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace store_example {

struct store_limits {
    std::size_t keys = 100'000;
    std::size_t octets = std::size_t{64} << 20;  ///< Of keys and values, and `overhead` for each key.
};

class bounded_store {
public:
    using time_point = std::chrono::steady_clock::time_point;
    static constexpr time_point never = time_point::max();
    /// What a key costs beside its octets and its value's: the nodes of both trees, about.
    static constexpr std::size_t overhead = 192;

    explicit bounded_store(const store_limits& limits = {}) : limits_(limits) {}
    bounded_store(const bounded_store&) = delete;
    bounded_store& operator=(const bounded_store&) = delete;

    /// The value of a key, valid until the next call that is not const; null when there is none.
    [[nodiscard]] const std::string* find(std::string_view key, time_point now);

    /// Sets a value, which is there until `until`. Returns false when there is no room: everything is as it was then, but
    /// for keys whose time had come. Throws std::bad_alloc with the same guarantee.
    [[nodiscard]] bool set(std::string_view key, std::string_view value, time_point until, time_point now);

    /// Removes a key. Returns whether it was there.
    bool erase(std::string_view key, time_point now);

    /// Until when a key is there; `never` without a limit, and for a key that is not there.
    [[nodiscard]] time_point expiry_of(std::string_view key) const;

    /// Frees keys whose time has come, so many at most; returns how many.
    std::size_t expire(time_point now, std::size_t most = std::numeric_limits<std::size_t>::max());

    /// When the next key's time comes, if any has one.
    [[nodiscard]] std::optional<time_point> next_expiry() const;

    /// Keys that are not freed.
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
    /// As store_limits::octets counts them.
    [[nodiscard]] std::size_t octets() const noexcept { return octets_; }

private:
    struct entry;
    using entries = std::map<std::string, entry, std::less<>>;
    using expiries = std::multimap<time_point, entries::iterator>;
    struct entry {
        std::string value;
        std::optional<expiries::iterator> expiry;  // nothing: there for ever
    };

    [[nodiscard]] static std::size_t cost_of(std::string_view key, std::string_view value) noexcept {
        return key.size() + value.size() + overhead;
    }
    /// The entry of a key, unless its time has come: it is freed then.
    [[nodiscard]] entries::iterator live(std::string_view key, time_point now);
    [[nodiscard]] bool has_room(std::size_t more_keys, std::size_t less, std::size_t more) const noexcept;
    void free(entries::iterator at) noexcept;

    const store_limits limits_;
    entries entries_;
    expiries by_expiry_;
    std::size_t octets_ = 0;
};

}  // namespace store_example
