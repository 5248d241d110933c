// SPDX-License-Identifier: BSD-3-Clause
// `listener`: what a stack knows of a port on which it takes connections. `listener_table`: finds one by address and port.
//
// A stack owns the table; all memory is allocated when it is made. Threads: that of the stack.
#pragma once

#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/tcp/detail/hook_list.hpp"
#include "fluxnet/proto/tcp/detail/slot.hpp"
#include "fluxnet/proto/tcp/stack_options.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace fluxnet::proto::tcp {

/// A port on which a stack takes connections, and the connections that wait there.
struct listener {
    /// Whether as many connections wait for accept() as may.
    [[nodiscard]] bool is_full() const noexcept { return accepted.size() >= options.backlog; }
    /// Whether it takes connections to that address: 0 no, and more the more exactly it says so.
    [[nodiscard]] unsigned suits(const ip_address& local) const noexcept {
        if (!options.address) { return 1; }
        if (*options.address == local) { return 3; }
        return options.address->is_unspecified() && options.address->is_v4() == local.is_v4() ? 2 : 0;
    }

    listen_options options;
    detail::hook_list<detail::slot, &detail::slot::queue> accepted;  ///< Connections that wait for accept().
    std::size_t embryonic = 0;                                       ///< Its handshakes under way.
    detail::hook<listener> news;                                     ///< There are connections to be accepted.
    std::uint32_t generation = 0;
    std::uint32_t next = ~std::uint32_t{0};  ///< In the chain of its port.
    bool open = false;
};

/// The listeners of a stack, found by address and port.
class listener_table {
public:
    /// Makes an empty table with room for `capacity` listeners. Allocates.
    explicit listener_table(std::size_t capacity) : listeners_(capacity) { heads_.fill(none); }

    /// The listener for that address and port, the one that names the address most exactly; null when there is none.
    [[nodiscard]] listener* find(const ip_address& local, std::uint16_t port) noexcept {
        listener* best = nullptr;
        unsigned most = 0;
        for (std::uint32_t at = heads_[port % heads_.size()]; at != none; at = listeners_[at].next) {
            listener& one = listeners_[at];
            if (one.options.port != port) { continue; }
            if (const unsigned suits = one.suits(local); suits > most) {
                most = suits;
                best = &one;
            }
        }
        return best;
    }

    /// Whether a listener has just that address and port.
    [[nodiscard]] bool has(const listen_options& wanted) const noexcept {
        for (std::uint32_t at = heads_[wanted.port % heads_.size()]; at != none; at = listeners_[at].next) {
            const listen_options& one = listeners_[at].options;
            if (one.port == wanted.port && one.address == wanted.address) { return true; }
        }
        return false;
    }

    /// Adds one; null when there is no room.
    listener* add(const listen_options& wanted) noexcept {
        for (listener& one : listeners_) {
            if (one.open) { continue; }
            one.open = true;
            one.options = wanted;
            std::uint32_t& head = heads_[wanted.port % heads_.size()];
            one.next = head;
            head = index_of(one);
            ++size_;
            return &one;
        }
        return nullptr;
    }

    /// Takes a listener of the table out of it; handles of it name nothing any more.
    void remove(listener& one) noexcept {
        std::uint32_t* link = &heads_[one.options.port % heads_.size()];
        while (*link != index_of(one)) { link = &listeners_[*link].next; }
        *link = one.next;
        one.open = false;
        ++one.generation;
        --size_;
    }

    /// The listener that a handle names; null when it names none.
    [[nodiscard]] listener* of(listener_handle handle) noexcept {
        if (handle.index >= listeners_.size()) { return nullptr; }
        listener& one = listeners_[handle.index];
        return one.open && one.generation == handle.generation ? &one : nullptr;
    }
    /// The listener at a place of the table, in use or not.
    [[nodiscard]] listener& operator[](std::uint32_t index) noexcept { return listeners_[index]; }
    /// The place of a listener in the table.
    [[nodiscard]] std::uint32_t index_of(const listener& one) const noexcept {
        return static_cast<std::uint32_t>(&one - listeners_.data());
    }
    /// Makes the handle that names a listener until it is removed.
    [[nodiscard]] listener_handle handle_of(const listener& one) const noexcept { return {index_of(one), one.generation}; }
    /// How many listeners are in the table.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// What it has allocated, in octets.
    [[nodiscard]] std::size_t memory_bytes() const noexcept { return listeners_.size() * sizeof(listener); }

private:
    static constexpr std::uint32_t none = ~std::uint32_t{0};

    std::vector<listener> listeners_;
    std::array<std::uint32_t, 256> heads_;  // by the low bits of the port
    std::size_t size_ = 0;
};

}  // namespace fluxnet::proto::tcp
