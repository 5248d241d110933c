// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/simulation/detail/virtual_reactor.hpp"

#include <cassert>
#include <cerrno>

namespace fluxnet::detail {
namespace {

class virtual_reactor final : public reactor {
public:
    void attach() override {}

    void arm(poll_operation& operation, int, unsigned) override {
        assert(!operation.armed());
        mark_fired(operation, poll_operation::refused);
        armed_.push_back(operation);
    }

    void disarm(poll_operation& operation) override {
        if (operation.armed()) { mark_fired(operation, -ECANCELED); }
    }

    void disarm_now(poll_operation& operation) noexcept override { mark_idle(operation); }

    void submit(io_operation& operation, const io_request& request) override {
        io().hold(operation, request);
        io().add(operation, io_operation::refused, false);
    }

    void cancel(io_operation&) override {}  // it has its result
    void cancel_now(io_operation& operation) noexcept override { io().drop(operation); }

    void poll() override {
        if (!nothing_fired(armed_)) { fire(armed_); }
    }

    void wait(std::optional<time_point>) override { poll(); }
    prepared_wait prepare_wait() override { return {-1, !nothing_fired(armed_)}; }
    void finish_wait() override { poll(); }
    void wake() noexcept override {}

    void shut_down() noexcept override {
        forget(armed_);
        io().forget(false);
    }

    std::string_view name() const noexcept override { return "virtual"; }

private:
    operation_list armed_;
};

}  // namespace

std::unique_ptr<reactor> make_virtual_reactor() {
    return std::make_unique<virtual_reactor>();
}

}  // namespace fluxnet::detail
