// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/reactor/buffer_ring.hpp"

#include "fluxnet/runtime/reactor/reactor.hpp"

#include <limits>
#include <stdexcept>
#include <utility>

namespace fluxnet {
namespace {

constexpr std::uint32_t most_buffers = 32'768;  // that io_uring takes for one ring

detail::buffer_pool& make_pool(const buffer_ring_config& config) {
    if (config.count == 0 || config.count > most_buffers) {
        throw std::invalid_argument("make a buffer_ring of " + std::to_string(config.count) +
                                    " buffers: io_uring takes 1 to 32768: use a count between these");
    }
    if (config.size == 0 || config.size > std::uint32_t{std::numeric_limits<int>::max()}) {
        throw std::invalid_argument("make a buffer_ring with buffers of " + std::to_string(config.size) +
                                    " bytes: a receive tells its size as an int: use 1 to 2147483647");
    }
    return detail::buffer_pool::make(config.count, config.size);
}

void wake(void* of) noexcept {
    static_cast<reactor*>(of)->wake();
}

}  // namespace

void receive_many_operation::on_result(int result, unsigned flags) noexcept {
    if ((flags & detail::io_with_buffer) != 0) {
        on_received(result, pool_->handle(detail::buffer_in(flags), static_cast<std::uint32_t>(result)), flags & io_more);
    } else {
        on_received(result, {}, flags & io_more);
    }
}

buffer_ring::buffer_ring(reactor& owner, const buffer_ring_config& config) : owner_(owner), pool_(make_pool(config)) {
    pool_.returns().set_waker({wake, &owner_});
}

buffer_ring::~buffer_ring() {
    pool_.returns().withdraw_hungry();
    pool_.returns().set_waker({});
    pool_.drop_user();
}

void buffer_ring::receive_many(receive_many_operation& operation, int fd) {
    operation.pool_ = &pool_;
    owner_.submit(operation, io_request::receive_many(fd, pool_));
}

void buffer_ring::receive_stream(receive_many_operation& operation, int fd) {
    constexpr std::size_t at_once = 16;
    operation.pool_ = &pool_;
    owner_.submit(operation, io_request::receive_stream(fd, pool_, at_once * pool_.buffer_size()));
}

bool buffer_ring::none_left() noexcept {
    const census now = pool_.count();
    return now.free == 0 && now.kernel == 0;
}

bool buffer_ring::publish_hungry() noexcept {
    return none_left() && pool_.returns().publish_hungry();
}

}  // namespace fluxnet
