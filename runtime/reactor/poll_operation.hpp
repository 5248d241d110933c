// SPDX-License-Identifier: BSD-3-Clause
// `poll_operation`: an object that is told once when a descriptor is ready.
//
// It lies in an awaiter or a handle, and is armed at a `reactor` (reactor.hpp says what may be done with it when).
// Threads: that of the reactor.
#pragma once

#include "fluxnet/export.hpp"

#include <boost/intrusive/list.hpp>

#include <cstdint>

namespace fluxnet {

class FLUXNET_EXPORT poll_operation
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
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
    int fd_ = -1;          // the descriptor while the operation waits for events; -1 when it is disarmed
    unsigned events_ = 0;  // the events that it waits for; backends note here too what they still have to do for it
};

}  // namespace fluxnet
