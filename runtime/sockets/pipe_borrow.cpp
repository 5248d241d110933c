// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/pipe.hpp"

#include <cerrno>
#include <new>
#include <system_error>

namespace fluxnet {

pipe_reader::borrow_awaiter pipe_reader::read_borrowed() noexcept {
    return borrow_awaiter(state_.get());
}

int pipe_reader::borrow_awaiter::attempt() noexcept try {
    const int result = lender_->fill(lent_, [this](std::span<std::byte> into) { return read_now(into); });
    return result < 0 ? result : 0;
} catch (const std::bad_alloc&) { return -ENOMEM; } catch (const std::system_error&) {
    return -ENOMEM;  // whatever mmap(2) calls it: EAGAIN, where memory is locked, would read as a pipe with nothing in it
}

borrowed_result<received_buffer> pipe_reader::borrow_awaiter::await_resume() noexcept {
    const io_result ended = end_transfer();
    if (ended.ec) { return {ended.ec, {}}; }
    if (lent_.empty()) { return {errc::end_of_stream, {}}; }
    return {no_error, std::move(lent_)};
}

}  // namespace fluxnet
