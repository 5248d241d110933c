// SPDX-License-Identifier: BSD-3-Clause
// `backend_list`: the servers behind the virtual address, and which of them a flow belongs to. `backend_board`: where the
// list in force hangs for all threads to see.
//
// A list never changes once it is made: the threads that forward share it, and a reload hangs up another one. Counters
// belong to a name, not to a list, and go on over reloads.
//
// Rendezvous hashing (highest random weight; Thaler and Ravishankar, 1998): every backend draws a number from the flow's
// hash and its own name, and the highest wins. So the choice needs no table of connections, does not depend on the order of
// the list, and is the same on every balancer. Without one backend all other flows keep theirs; with a new one, only the
// flows it wins move. The price is one multiplication or two per backend and packet: fine for dozens of them.
#pragma once

#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace load_balancer {

/// What went to a backend. Any thread adds, any thread reads.
struct backend_counts {
    std::atomic<std::uint64_t> connections = 0;  ///< TCP connections asked for.
    std::atomic<std::uint64_t> packets = 0;
    std::atomic<std::uint64_t> bytes = 0;
};

struct backend {
    std::string name;
    fluxnet::proto::mac_address mac;
    std::uint64_t seed = 0;                 ///< Drawn from the name.
    std::shared_ptr<backend_counts> count;  ///< Null until a board has the list.
};

class backend_list {
public:
    /// Reads one "NAME=MAC" per line; blanks, empty lines and what follows a '#' are skipped. A name has letters, digits,
    /// '-', '_' and '.'. Names and addresses must differ, and there must be at least one backend. The error names `source`,
    /// line and column (from 1).
    [[nodiscard]] static fluxnet::result<backend_list> parse(std::string_view text, const std::string& source);

    /// Reads a file of that form.
    [[nodiscard]] static fluxnet::result<backend_list> load(const std::string& path);

    /// Returns the backend of a flow.
    [[nodiscard]] const backend& pick(std::uint64_t flow_hash) const noexcept;

    [[nodiscard]] const std::vector<backend>& all() const noexcept { return backends_; }

private:
    friend class backend_board;

    std::vector<backend> backends_;  // not empty once parsed
};

class backend_board {
public:
    explicit backend_board(backend_list first) { hang_up(std::move(first)); }

    /// Puts another list in force. Packets already picked for go where they were sent.
    void hang_up(backend_list next);

    /// Returns the list in force. Takes a lock: a forwarding thread calls it when version() has changed.
    [[nodiscard]] std::shared_ptr<const backend_list> list() const;
    [[nodiscard]] std::uint64_t version() const noexcept { return version_.load(std::memory_order_acquire); }

    /// The counters of every backend there ever was, by name.
    [[nodiscard]] std::map<std::string, std::shared_ptr<const backend_counts>> counts() const;

private:
    mutable std::mutex mutex_;  // guards what follows, but for the version
    std::shared_ptr<const backend_list> list_;
    std::map<std::string, std::shared_ptr<backend_counts>> counts_;
    std::atomic<std::uint64_t> version_ = 0;
};

}  // namespace load_balancer
