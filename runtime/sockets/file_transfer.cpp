// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/detail/file_transfer.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"

#include <cerrno>
#include <limits>
#include <new>

#include <sys/types.h>
#include <sys/uio.h>

namespace fluxnet::detail {
namespace {

constexpr std::uint64_t most_offset = std::numeric_limits<off_t>::max();
constexpr std::size_t most_at_once = 256 * 1024;  // bytes that the executor's thread copies itself

/// Returns what the call returned, or a negated errno. `flags`: RWF_*.
ssize_t make_call(const io_request& request, int flags) noexcept {
    const iovec part{request.data, request.size};
    const auto offset = static_cast<off_t>(request.offset);
    const ssize_t count = request.what == io_request::call::read ? ::preadv2(request.fd, &part, 1, offset, flags)
                                                                 : ::pwritev2(request.fd, &part, 1, offset, flags);
    return count >= 0 ? count : -errno;
}

/// Takes what was transferred off the request.
std::size_t advance(io_request& request, ssize_t by) noexcept {
    const auto count = static_cast<std::size_t>(by);
    request.data += count;
    request.size -= count;
    if (request.offset != io_request::no_offset) { request.offset += count; }
    return count;
}

}  // namespace

void file_call::run() noexcept {
    while (rest_.size != 0) {
        const ssize_t result = make_call(rest_, 0);
        if (result == -EINTR) { continue; }
        if (result < 0) { number = static_cast<int>(-result); }
        if (result <= 0) { return; }
        n += advance(rest_, result);
    }
}

file_transfer::~file_transfer() {
    if (!idle() && pool_ != nullptr) { pool_->wait_for(*job_); }
    leave();
}

bool file_transfer::over_at_once() noexcept {
    if (file_ == nullptr || !file_->file) {
        refused_ = errc::closed;
    } else if (at_position_ && file_->in_use) {
        refused_ = errc::handle_in_use;
    }
    return refused_ || (rest_.size == 0 && draw_here());
}

// A position that is shared is the kernel's to move: by calls that move it. A request of io_uring's that ends short leaves it
// where it was (Linux 6.18), and the next would write over what the first has written.
void file_transfer::start() {
    if (rest_.size == 0) {
        complete(no_error);
        return;
    }
    if (inside(home_executor()).clock() != nullptr) {
        complete(errc::not_in_virtual_time);
        return;
    }
    const bool shared = at_position_ && file_->shares_position;
    if (at_position_) {
        file_->in_use = uses_position_ = true;
        rest_.offset = shared ? io_request::no_offset : file_->position;
    }
    if (!shared && rest_.offset > most_offset) {
        complete(std::make_error_code(std::errc::invalid_argument));
    } else if (!shared && inside(home_executor()).reactor().serves_files()) {
        submit(rest_);
    } else if (!try_at_once()) {
        hand_to_pool();
    }
}

/// Transfers what can be transferred without waiting; true when that is all of it. An error is the pool's to tell, and so is
/// the end of the file: some kernels say 0 where bytes are missing in the page cache.
bool file_transfer::try_at_once() noexcept {
    if (rest_.size > most_at_once) { return false; }
    while (rest_.size != 0) {
        const ssize_t result = make_call(rest_, RWF_NOWAIT);
        if (result <= 0) { return false; }
        n_ += advance(rest_, result);
    }
    complete(no_error);
    return true;
}

void file_transfer::hand_to_pool() noexcept try {
    auto job = std::make_shared<file_call>(file_, rest_);
    auto& pool = home_executor().use_service<offload_pool>();
    pool.submit(job, *this);
    job_ = std::move(job);
    pool_ = &pool;
} catch (const std::system_error& refused) { complete(refused.code()); } catch (const std::bad_alloc&) {
    complete(errc::out_of_memory);
}

void file_transfer::on_result(int result, unsigned) noexcept try {
    const bool would_wait = result == -EAGAIN || result == -EINTR;
    if (result > 0) { n_ += advance(rest_, result); }
    if (result < 0 && !would_wait) {
        complete(failure_of(result));
    } else if (result == 0 || rest_.size == 0) {
        complete(no_error);
    } else if (stopping_) {
        complete(errc::operation_canceled);
    } else if (would_wait) {
        hand_to_pool();
    } else {
        submit(rest_);
    }
} catch (const std::bad_alloc&) { complete(errc::out_of_memory); }

void file_transfer::cancel() noexcept {
    stopping_ = true;
    if (pool_ == nullptr) {
        withdraw();
    } else if (pool_->withdraw(*job_)) {
        complete(errc::operation_canceled);
    }
}

void file_transfer::leave() noexcept {
    if (std::exchange(uses_position_, false)) { file_->in_use = false; }
}

io_result file_transfer::end_transfer() noexcept {
    if (refused_) { return {refused_, 0}; }
    const bool asked = rest_.size != 0 || n_ != 0;
    std::error_code ended = finish();
    if (job_ != nullptr && !ended) {
        n_ += job_->n;
        if (job_->number != 0) { ended = {job_->number, std::system_category()}; }
    }
    const bool reads = rest_.what == io_request::call::read;
    if (uses_position_ && !file_->shares_position && (reads || !file_->appends)) { file_->position += n_; }
    leave();
    if (ended || n_ != 0 || !asked) { return {ended, n_}; }
    return {reads ? make_error_code(errc::end_of_stream) : std::make_error_code(std::errc::io_error), 0};
}

}  // namespace fluxnet::detail
