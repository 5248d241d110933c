// SPDX-License-Identifier: BSD-3-Clause
// `poll_operation`: somebody who is told once when a descriptor is ready.
//
// Armed at a `reactor`, which says what may be done with it when; lies in an awaiter or a handle.
#pragma once

#include <boost/intrusive/list.hpp>

#include <cstdint>

namespace fluxnet {

class poll_operation : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    poll_operation() = default;
    poll_operation(const poll_operation&) = delete;
    poll_operation& operator=(const poll_operation&) = delete;

    /// The result of every operation in virtual time, where there are no descriptors. Beyond all negated errnos.
    static constexpr int refused = -4096;

    /// Called on the executor's thread when it fired: `result` holds POLL* events, or a negated errno (ECANCELED after
    /// disarm()), or `refused`.
    virtual void on_ready(int result) noexcept = 0;

    /// Held or fired: it may not be armed.
    [[nodiscard]] bool armed() const noexcept { return state_ != state::idle; }

protected:
    virtual ~poll_operation() = default;

private:
    friend class reactor;
    enum class state : std::uint8_t { idle, held, fired };

    state state_ = state::idle;
    int result_ = 0;
    int fd_ = -1;          // of a backend that keeps the descriptors itself: while it waits for events
    unsigned events_ = 0;  // what it waits for there
};

}  // namespace fluxnet
