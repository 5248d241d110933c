// SPDX-License-Identifier: BSD-3-Clause
// `host_siblings`: what the hosts on several queues of one interface have in common: which of them are open, which ports
// each serves, how the addresses stand, and what one hands on to another.
//
// A host joins when it is opened, and leaves when it ends. What is handed on lies in the inbox of the host that it is meant
// for, from which a task of that host's takes it. How much of its own a host may have in the inboxes of others is bounded,
// so that a host that takes nothing cannot keep the frames that another one receives into.
//
// Nothing stays in the inbox of a host that has left. The sender looks at `open_` after it has put something in; the leaver
// empties the inbox after it has changed `open_`; a fence on either side has one of the two see what the other did. Whoever
// sees it empties the inbox.
//
// The host that was opened first of those that are open leads: it alone probes and defends the addresses, and publishes
// which are in use and which are lost. The others follow it (own_addresses::follow()).
//
// Threads: any.
#pragma once

#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/ip_protocol.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/runtime/host/detail/kernel_share.hpp"
#include "fluxnet/runtime/host/host_options.hpp"
#include "fluxnet/runtime/host/host_queues.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "fluxnet/xsk/base/error.hpp"
#include "fluxnet/xsk/memory/packet.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace fluxnet::host::detail {

/// One bit for each host, by its number.
using sibling_set = std::uint16_t;
static_assert(host_queues::most <= 16);

[[nodiscard]] constexpr sibling_set only_sibling(unsigned number) noexcept {
    return static_cast<sibling_set>(1U << number);
}

/// Counts so much more while it lives. Move-only.
class loan {
public:
    loan() noexcept = default;
    loan(std::atomic<std::uint32_t>& count, std::uint32_t amount) noexcept : count_(&count), amount_(amount) {
        count.fetch_add(amount, std::memory_order_relaxed);
    }
    loan(loan&& other) noexcept : count_(std::exchange(other.count_, nullptr)), amount_(other.amount_) {}
    loan& operator=(loan&& other) noexcept {
        if (this != &other) {
            end();
            count_ = std::exchange(other.count_, nullptr);
            amount_ = other.amount_;
        }
        return *this;
    }
    ~loan() { end(); }

    explicit operator bool() const noexcept { return count_ != nullptr; }

private:
    void end() noexcept {
        if (auto* const count = std::exchange(count_, nullptr)) { count->fetch_sub(amount_, std::memory_order_relaxed); }
    }

    std::atomic<std::uint32_t>* count_ = nullptr;
    std::uint32_t amount_ = 0;
};

/// What one host hands on to another. Of its three forms it has one: a frame that is moved; octets of a frame that is
/// copied, because all are to hear of it; or what fragments were put together to. None: only a reason to look at what is
/// published.
struct handed_on {
    static constexpr std::size_t most_copied = 256;

    [[nodiscard]] bool holds_packet() const noexcept { return frame || whole != nullptr; }

    packet frame;
    std::array<std::byte, most_copied> copy;
    std::size_t copied = 0;
    std::unique_ptr<std::byte[]> whole;
    std::size_t whole_size = 0;
    proto::ip_address source;  // of `whole`, with what follows
    proto::ip_address destination;
    proto::ip_protocol protocol = proto::ip_protocol::udp;
    proto::mac_address station;
    bool link_group = false;
    bool broadcast = false;
    sibling_set seen_by = 0;  // the hosts that have had it
    loan lent;                // of the host that received it
};

/// What a port is used for. `tcp` is what either of the other two is.
enum class port_use : std::uint8_t { udp, tcp, tcp_listener, tcp_connection };

/// How the addresses stand, a bit for each by its place in host_options::addresses.
struct shared_addresses {
    std::uint16_t in_use = 0;
    std::uint16_t lost = 0;

    friend bool operator==(const shared_addresses&, const shared_addresses&) = default;
};

class host_siblings {
public:
    /// Why a host cannot be one of them.
    enum class refusal : std::uint8_t { none, too_many, other_addresses, other_interface, other_ports };

    explicit host_siblings(unsigned count);

    [[nodiscard]] unsigned count() const noexcept { return count_; }

    /// Gives a host its number. All of them have the same addresses on the same interface, by its number, and the same ports
    /// to choose from. `most_lent`: how many frames of its own others may have.
    [[nodiscard]] refusal join(const host_options& options, std::uint32_t interface, std::uint32_t most_lent,
                               unsigned& number);
    /// The ports that all of them hold of the kernel's addresses; for a host that has joined. Errors: those of
    /// held_ports::hold().
    [[nodiscard]] result<std::shared_ptr<held_ports>> hold_ports(const std::string& step, const host_options& options);
    /// Ends that: it serves nothing any more. Gives back what is in its inbox.
    void leave(unsigned number) noexcept;

    /// Once it does, addresses() has what the one before has published.
    [[nodiscard]] bool leads(unsigned number) const noexcept { return leader_.load(std::memory_order_acquire) == number; }
    /// How the addresses stand, as the one that leads has last published it.
    [[nodiscard]] shared_addresses addresses() const noexcept;
    /// Publishes that, and has the others look. Only the one that leads.
    void publish(unsigned number, shared_addresses now) noexcept;

    /// Notes that a host serves a port (`use` is not `tcp`), or that it does not any more.
    void serve(port_use use, std::uint16_t port, unsigned number) noexcept;
    void cease(port_use use, std::uint16_t port, unsigned number) noexcept;
    /// A host that uses the port so, or may have opened a connection from it, and is none of `but`.
    [[nodiscard]] std::optional<unsigned> server_of(port_use use, std::uint16_t port, sibling_set but) const noexcept;

    /// Puts something into a host's inbox; false when that is full, or others have enough of the host `from`, or the host
    /// has left.
    [[nodiscard]] bool hand_on(unsigned from, unsigned to, handed_on&& what) noexcept;
    /// Has all others hear of a frame. Returns how many do not, for want of room.
    [[nodiscard]] unsigned tell_others(unsigned from, std::span<const std::byte> frame) noexcept;
    [[nodiscard]] channel<handed_on>& inbox(unsigned number) noexcept { return *inboxes_[number]; }

private:
    static constexpr std::size_t inbox_size = 256;
    static constexpr std::size_t places_for_news = 32;  // of each inbox: what all are to hear of finds room
    static constexpr std::uint32_t most_octets = 1 << 20;  // of one owner's, that fragments were put together to
    static constexpr std::size_t ports = 65'536;

    using port_table = std::unique_ptr<std::atomic<sibling_set>[]>;

    [[nodiscard]] std::atomic<sibling_set>& served(port_use use, std::uint16_t port) const noexcept;
    template <class Tell>
    void each_other(unsigned number, Tell tell) noexcept;
    void empty(unsigned number) noexcept;
    void wake_others(unsigned number) noexcept;

    const unsigned count_;
    std::atomic<sibling_set> open_{0};
    std::atomic<unsigned> leader_{0};              // of those that are open
    std::atomic<std::uint32_t> addresses_now_{0};  // shared_addresses, in one word
    port_table udp_{new std::atomic<sibling_set>[ports]()};
    port_table listeners_{new std::atomic<sibling_set>[ports]()};
    port_table connections_{new std::atomic<sibling_set>[ports]()};
    std::array<std::atomic<std::uint32_t>, host_queues::most> lent_{};    // frames of each that others have
    std::array<std::atomic<std::uint32_t>, host_queues::most> octets_{};  // of packets of fragments, likewise
    std::array<std::atomic<std::uint32_t>, host_queues::most> most_lent_{};
    std::vector<std::unique_ptr<channel<handed_on>>> inboxes_;
    std::atomic<std::uint32_t> chosen_from_{0};  // the ports of connections that hosts open: the first and the last of them

    std::mutex mutex_;  // guards what follows, and who is open:
    std::vector<unsigned> in_order_;
    std::vector<host_address> addresses_;
    std::uint32_t interface_ = 0;
    std::optional<proto::mac_address> hardware_;
    std::optional<host_ports> only_ports_;
    std::weak_ptr<held_ports> held_;
};

/// A host's place among them, which it leaves at its end; or none. Move-only.
class sibling_place {
public:
    sibling_place() noexcept = default;
    sibling_place(std::shared_ptr<host_siblings> all, unsigned number) noexcept : all_(std::move(all)), number_(number) {}
    sibling_place(sibling_place&& other) noexcept : all_(std::move(other.all_)), number_(std::exchange(other.number_, 0)) {}
    sibling_place& operator=(sibling_place&& other) noexcept {
        if (this != &other) {
            leave();
            all_ = std::move(other.all_);
            number_ = std::exchange(other.number_, 0);
        }
        return *this;
    }
    ~sibling_place() { leave(); }

    explicit operator bool() const noexcept { return all_ != nullptr; }
    [[nodiscard]] const std::shared_ptr<host_siblings>& all() const noexcept { return all_; }
    [[nodiscard]] unsigned number() const noexcept { return number_; }

    /// How many hosts there may be; 1 without others.
    [[nodiscard]] unsigned count() const noexcept { return all_ == nullptr ? 1 : all_->count(); }
    /// Whether the host may choose this port: the others choose others, and none that is served is chosen.
    [[nodiscard]] bool may_choose(port_use use, std::uint16_t port) const noexcept {
        return all_ == nullptr || (port % count() == number_ && !all_->server_of(use, port, only_sibling(number_)));
    }
    [[nodiscard]] bool leads() const noexcept { return all_ == nullptr || all_->leads(number_); }
    [[nodiscard]] std::optional<unsigned> server_of(port_use use, std::uint16_t port, sibling_set seen_by) const noexcept {
        return all_->server_of(use, port, static_cast<sibling_set>(seen_by | only_sibling(number_)));
    }
    void serve(port_use use, std::uint16_t port) noexcept {
        if (all_ != nullptr) { all_->serve(use, port, number_); }
    }
    void cease(port_use use, std::uint16_t port) noexcept {
        if (all_ != nullptr) { all_->cease(use, port, number_); }
    }
    void leave() noexcept {
        if (const auto all = std::exchange(all_, nullptr)) { all->leave(std::exchange(number_, 0)); }
    }

private:
    std::shared_ptr<host_siblings> all_;
    unsigned number_ = 0;
};

}  // namespace fluxnet::host::detail
