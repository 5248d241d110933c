// SPDX-License-Identifier: BSD-3-Clause
// `context_waits`: what a `driver` has of its context: a strand, and the waits there for an executor's descriptor and timer.
//
// Owned by a driver, used under its mutex, and gone before the context is. A wait has a number: a handler that comes with
// another one than the present belongs to a wait that was cancelled, or was too late to be.
#pragma once

#include "fluxnet/runtime/asio/detail/codes.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/wait_traits.hpp>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <system_error>
#include <utility>

#include <sys/epoll.h>
#include <unistd.h>

namespace fluxnet::asio::detail {

class context_waits {
public:
    using strand_type = net::strand<net::any_io_executor>;
    enum class kind { descriptor, timer };

    explicit context_waits(const net::any_io_executor& on) : strand_(on), descriptor_(strand_), timer_(strand_) {}

    [[nodiscard]] const strand_type& strand() const noexcept { return strand_; }

    /// Waits for what `plan` names, unless that is awaited already. `told(kind, number)` makes the handler of a wait. Throws
    /// std::system_error when the kernel gives no descriptor.
    template <class Told>
    void begin(const sleep_plan& plan, Told told) {
        await_descriptor(plan.fd, told);
        await_time(plan.deadline, told);
    }

    /// Tells whether the wait with this number has just ended.
    [[nodiscard]] bool ends(kind which, std::uint64_t number) noexcept {
        std::uint64_t& present = which == kind::descriptor ? descriptor_wait_ : timer_wait_;
        if (present != number) { return false; }
        present = 0;
        return true;
    }

    /// Waits for nothing.
    void cancel() noexcept {
        stop_timer();
        boost::system::error_code ignored;
        if (std::exchange(descriptor_wait_, 0) != 0) { descriptor_.cancel(ignored); }
    }

private:
    using clock = std::chrono::steady_clock;

    template <class Told>
    void await_descriptor(int fd, Told& told) {
        if (!descriptor_.is_open()) { watch(fd); }
        if (descriptor_wait_ != 0) { return; }
        ++last_wait_;
        descriptor_.async_wait(net::posix::descriptor_base::wait_read, told(kind::descriptor, last_wait_));
        descriptor_wait_ = last_wait_;
    }

    template <class Told>
    void await_time(const std::optional<clock::time_point>& deadline, Told& told) {
        if (!deadline) {
            stop_timer();
            return;
        }
        if (timer_wait_ != 0 && timer_.expiry() == *deadline) { return; }
        timer_wait_ = 0;
        timer_.expires_at(*deadline);  // cancels the wait before
        ++last_wait_;
        timer_.async_wait(told(kind::timer, last_wait_));
        timer_wait_ = last_wait_;
    }

    /// Has Asio know an epoll that is readable when `fd` is. Asio makes what it waits for non-blocking, and the executor's
    /// descriptor has to stay a blocking one.
    void watch(int fd) {
        boost::system::error_code refused;
        const int made = fluxnet::detail::above_streams(::epoll_create1(EPOLL_CLOEXEC));
        epoll_event event{};
        event.events = EPOLLIN;
        if (made < 0 || ::epoll_ctl(made, EPOLL_CTL_ADD, fd, &event) != 0) {
            refused.assign(errno, boost::system::system_category());
        } else {
            descriptor_.assign(made, refused);
        }
        if (!refused) { return; }
        if (made >= 0) { ::close(made); }
        throw std::system_error(static_cast<std::error_code>(refused), "watch an executor's descriptor");
    }

    void stop_timer() noexcept {
        if (std::exchange(timer_wait_, 0) != 0) { timer_.cancel(); }
    }

    strand_type strand_;
    net::posix::basic_stream_descriptor<strand_type> descriptor_;
    net::basic_waitable_timer<clock, net::wait_traits<clock>, strand_type> timer_;
    std::uint64_t last_wait_ = 0;
    std::uint64_t descriptor_wait_ = 0;  // 0: the descriptor is not awaited
    std::uint64_t timer_wait_ = 0;       // likewise
};

}  // namespace fluxnet::asio::detail
