// SPDX-License-Identifier: BSD-3-Clause
// `link_monitor`: one rtnetlink socket that tells the handles of an executor what becomes of their interfaces.
//
// Needed because the kernel wakes only polls that are armed when an interface is deleted, and none when its link changes.
// A service of the executor (`link_monitors`) owns them; each is made on a thread that is in the network namespace to be
// watched. A message is a hint: what it says about programs or absence is confirmed by a query before a handle is failed,
// since older messages may still be queued.
// Source: rtnetlink(7), netlink(7).
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/services.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"

#include <boost/intrusive/list.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

struct nlmsghdr;

namespace fluxnet::detail {

/// What a handle wants to hear of its interface. Linked into one monitor; unlinks itself.
class link_listener : public boost::intrusive::list_base_hook<boost::intrusive::tag<link_listener>,
                                                              boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    virtual void on_interface_gone() noexcept = 0;
    virtual void on_link(bool up) noexcept = 0;
    virtual void on_program_lost() noexcept = 0;
    /// The address on the link, with each message that tells one: not only when it has changed.
    virtual void on_address(const std::array<std::uint8_t, 6>&) noexcept {}

    int interface_index = 0;
    std::string_view interface_name;  // owned by the handle
    std::uint32_t program_id = 0;  // 0: none of ours

protected:
    ~link_listener() = default;

private:
    friend class link_monitor;
    enum class condition : std::uint8_t { unknown, up, down, without_program, gone };

    condition heard_ = condition::unknown;  // what the log was told, or what there was at first
    std::uint32_t first_answer_ = 0;        // answers to earlier queries may be from before it was there
};

class link_monitor final : private turn_handler, private poll_operation {
public:
    /// Opens the socket. Throws std::system_error when the kernel refuses.
    explicit link_monitor(executor& owner);
    ~link_monitor();

    /// Identifies the network namespace that it watches. 0 before Linux 5.14, where nothing does.
    [[nodiscard]] std::uint64_t cookie() const noexcept { return cookie_; }

    /// Adds a listener and asks at once whether its interface is still there.
    void add(link_listener& listener) noexcept;

    /// Asks the kernel about an interface; the answer reaches the listeners like any message.
    void query(int interface_index) noexcept;

private:
    using hook = boost::intrusive::base_hook<boost::intrusive::list_base_hook<
        boost::intrusive::tag<link_listener>, boost::intrusive::link_mode<boost::intrusive::auto_unlink>>>;

    void end_turn() noexcept override;
    void before_sleep() noexcept override { end_turn(); }  // news may have come since the turn ended
    void after_sleep() noexcept override {}
    void end_run() noexcept override;
    void on_ready(int result) noexcept override;

    void read_messages() noexcept;
    void handle(const nlmsghdr& header, std::span<const std::byte> body) noexcept;
    struct link_attributes;
    [[nodiscard]] static link_attributes read_attributes(std::span<const std::byte> message) noexcept;
    /// `answer`: the number of the query that it answers; nothing for a notification.
    void link_changed(int index, unsigned flags, const link_attributes& news, std::optional<std::uint32_t> answer) noexcept;
    void gone(int index, std::uint32_t answer) noexcept;
    /// Whether the answer to that query may be about a listener.
    [[nodiscard]] static bool is_about(const link_listener& listener, std::uint32_t answer) noexcept {
        return static_cast<std::int32_t>(answer - listener.first_answer_) >= 0;
    }
    /// Tells the log what an interface has become, once for all its handles.
    void tell_news(int index, link_listener::condition now) noexcept;

    executor& owner_;
    int fd_ = -1;
    std::uint64_t cookie_ = 0;  // of the network namespace
    std::uint32_t port_ = 0;    // our netlink address: answers to our queries carry it
    std::uint32_t asked_ = 0;   // the number of the last query
    boost::intrusive::list<link_listener, hook, boost::intrusive::constant_time_size<false>> listeners_;
};

/// The monitors of an executor, one for each network namespace that its handles were opened in.
class link_monitors final : public service {
public:
    explicit link_monitors(executor& owner) noexcept : owner_(owner) {}

    /// The monitor of the calling thread's network namespace; made at first use (one rtnetlink socket each). Throws
    /// std::system_error: the kernel's refusal, or not_in_virtual_time.
    [[nodiscard]] link_monitor& here();

    /// The monitor of the network namespace with that cookie: one that there is, or a new one if the calling thread is in
    /// that namespace. Null when it is not. Throws as here() does.
    [[nodiscard]] link_monitor* of(std::uint64_t cookie);

private:
    [[nodiscard]] link_monitor* find(std::uint64_t cookie) const noexcept;
    [[nodiscard]] std::unique_ptr<link_monitor> make() const;
    link_monitor& keep(std::unique_ptr<link_monitor> made);

    executor& owner_;
    std::vector<std::unique_ptr<link_monitor>> monitors_;
};

}  // namespace fluxnet::detail
