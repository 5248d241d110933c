// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/detail/receive_service.hpp"

#include <utility>

#include <poll.h>

namespace fluxnet::detail {

receive_service::receive_service(executor& on, const interface_info& interface, bool announced, const program* redirect)
    : handle_service(on, interface, announced, redirect != nullptr ? redirect->id() : 0) {}

class receive_service::no_operation final : public receive_operation {
public:
    no_operation() noexcept : receive_operation(nullptr) {}  // waits nowhere, ever
    [[nodiscard]] const char* name() const noexcept override { return "nothing"; }
};

receive_operation& receive_service::nobody() noexcept {
    static no_operation instance;
    return instance;
}

void receive_service::close() noexcept {
    if (in_use()) { std::exchange(waiter_, nullptr)->lose_handle(); }
}

void receive_service::disarm() noexcept {
    if (armed()) { inside(*executor_).reactor().disarm_now(*this); }
}

void receive_service::on_ready(int result) noexcept {
    ++wakeups_;
    // An error on the socket: the interface may be gone, or only down. The monitor finds out.
    if (result < 0 || (static_cast<unsigned>(result) & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
        take_socket_error();
        query_link();
    }
    serve();
}

void receive_service::lose(errc why) noexcept {
    fail(why);
    finish();
}

receive_operation::~receive_operation() {
    if (service_ != nullptr) { service_->forget(*this); }
}

void receive_operation::wait(bool room) noexcept {
    if (const std::error_code refused = service_->wait(*this, home_executor())) {
        service_ = nullptr;
        complete(refused);
    } else if (!room) {
        complete(no_error);
    }
}

// Lets go of the handle at once: somebody else may wait before this coroutine resumes.
void receive_operation::cancel() noexcept {
    if (!waiting()) { return; }
    std::exchange(service_, nullptr)->forget(*this);
    complete(errc::operation_canceled);
}

void receive_operation::lose_handle() noexcept {
    service_ = nullptr;
    complete(errc::closed);
}

std::error_code receive_operation::end_wait() noexcept {
    const std::error_code why = finish();
    if (service_ == nullptr) { return why ? why : make_error_code(errc::closed); }
    service_->forget(*this);
    return why;
}

}  // namespace fluxnet::detail
