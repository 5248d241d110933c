// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/async_tx.hpp"

#include "fluxnet/runtime/packets/detail/tx_service.hpp"

#include <cassert>
#include <utility>

namespace fluxnet {

async_tx::async_tx(executor& on, tx socket) : service_(std::make_unique<detail::tx_service>(on, std::move(socket))) {}
async_tx::async_tx(async_tx&&) noexcept = default;
async_tx& async_tx::operator=(async_tx&&) noexcept = default;
async_tx::~async_tx() = default;

async_tx::send_awaiter async_tx::send(std::span<packet> packets) noexcept {
    return {service_.get(), packets};
}

async_tx::send_awaiter async_tx::send(packet& one) noexcept {
    return {service_.get(), std::span(&one, 1)};
}

async_tx::allocate_awaiter async_tx::allocate(std::span<packet> into) noexcept {
    return {service_.get(), into};
}

std::uint32_t async_tx::try_allocate(std::span<packet> into) noexcept {
    return service_ == nullptr ? 0 : service_->try_allocate(into);
}

void async_tx::set_flush_policy(const flush_policy& policy) noexcept {
    if (service_ != nullptr) { service_->set_policy(policy); }
}

move_awaiter async_tx::move_to(executor& target) noexcept {
    return {service_.get(), target};
}

void async_tx::limit_completions(std::chrono::nanoseconds limit) noexcept {
    if (service_ != nullptr) { service_->set_completion_limit(limit); }
}

std::chrono::nanoseconds async_tx::completion_limit() const noexcept {
    return service_ == nullptr ? std::chrono::nanoseconds::zero() : service_->completion_limit();
}

tx& async_tx::socket() noexcept {
    assert(service_ != nullptr && "a handle that was moved from has no socket");
    return service_->socket();
}

const tx& async_tx::socket() const noexcept {
    assert(service_ != nullptr && "a handle that was moved from has no socket");
    return service_->socket();
}

bool async_tx::send_awaiter::await_ready() noexcept {
    if (service_ == nullptr) [[unlikely]] {
        failure_ = errc::closed;
        return true;
    }
    return service_->start(*this);
}

void async_tx::send_awaiter::wait() noexcept {
    service_->wait(*this);
}

void async_tx::send_awaiter::cancel() noexcept {
    if (detail::tx_line_hook::is_linked()) { detail::tx_line_hook::unlink(); }
    complete(errc::operation_canceled);
}

io_result async_tx::send_awaiter::await_resume() noexcept {
    const std::error_code ended = finish();
    return {failure_ ? failure_ : ended, sent_};
}

bool async_tx::allocate_awaiter::await_ready() noexcept {
    reset(into_);
    if (service_ == nullptr) [[unlikely]] {
        failure_ = errc::closed;
        return true;
    }
    return service_->start(*this);
}

void async_tx::allocate_awaiter::wait() noexcept {
    service_->wait(*this);
}

void async_tx::allocate_awaiter::cancel() noexcept {
    if (detail::tx_line_hook::is_linked()) { detail::tx_line_hook::unlink(); }
    complete(errc::operation_canceled);
}

io_result async_tx::allocate_awaiter::await_resume() noexcept {
    const std::error_code ended = finish();
    return {failure_ ? failure_ : ended, made_};
}

}  // namespace fluxnet
