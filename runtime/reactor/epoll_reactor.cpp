// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/reactor/reactor.hpp"

#include "fluxnet/runtime/reactor/detail/buffer_pool.hpp"
#include "fluxnet/runtime/reactor/detail/io_attempts.hpp"
#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

// A table leads from a descriptor to the operations armed on it. The reactor asks the kernel for the union of their events,
// and for one report of them (EPOLLONESHOT), at the next poll() or wait(). Entries of the table stay, so that arming again
// allocates nothing. The kernel gives the lowest free number to a new descriptor, so the table has no more entries than
// descriptors were ever open at a time.
//
// What differs from io_uring:
// - poll() asks the kernel whenever something is armed: one epoll_wait a turn. wait() needs one epoll_ctl more for each
//   descriptor that fired since. With nothing armed a turn makes no system call.
// - A descriptor that is armed again when it has just been read empty stays with the kernel, which tells of each arrival
//   (EPOLLET): no epoll_ctl for each. When it tells of one for which no operation is armed, it is asked to stop.
// - Disarming makes no system call. The kernel goes on watching until it has reported once; that report is dropped.
// - epoll knows an open file by its number, and forgets it when it is closed. A descriptor that is closed too early, with an
//   operation armed, does not fire any more (io_uring keeps the file open and fires); disarming does what it should. The
//   next file with that number gets a generation of its own, because a duplicate of the closed descriptor may still report.
//   Therefore the reactor trusts nothing that it knew of a descriptor on which no operation is armed.
// - A socket that reports an error once and then looks idle (AF_XDP on an interface that has just been deleted) fires with
//   io_uring, which believes the wake-up, and not here, where the kernel looks again: the link monitor notices.
// - Any thread may drive it, one at a time: epoll does not care which thread calls.
//
// A wake-up is a write to an eventfd watched edge-triggered: it needs no reading.

namespace fluxnet {
namespace {

static_assert(EPOLLIN == POLLIN && EPOLLPRI == POLLPRI && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR && EPOLLHUP == POLLHUP);
static_assert(EPOLLRDHUP == POLLRDHUP && EPOLLRDNORM == POLLRDNORM && EPOLLWRNORM == POLLWRNORM);

constexpr unsigned event_mask = 0xffff;  // without epoll's flags
constexpr unsigned always_told = EPOLLERR | EPOLLHUP | EPOLLRDHUP;
constexpr unsigned always_ready = EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM;  // files that are not pollable
constexpr std::uint64_t waker_tag = ~std::uint64_t{0};

/// What the kernel is given to identify a descriptor: its number, and which of the files that had it.
std::uint64_t tag_of(int fd, std::uint32_t generation) noexcept {
    return std::uint64_t{generation} << 32 | static_cast<std::uint32_t>(fd);
}

class epoll_reactor final : public reactor {
public:
    explicit epoll_reactor(std::string_view refused)
        : name_(refused.empty() ? "epoll" : "epoll (" + std::string(refused) + ')') {
        epoll_fd_ = detail::above_streams(::epoll_create1(EPOLL_CLOEXEC));
        if (epoll_fd_ < 0) { throw std::system_error(errno, std::generic_category(), "make an epoll descriptor"); }
        wake_fd_ = detail::above_streams(::eventfd(0, EFD_CLOEXEC));
        epoll_event wake{.events = EPOLLIN | EPOLLET, .data = {.u64 = waker_tag}};
        if (wake_fd_ < 0 || ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &wake) != 0) {
            const int number = errno;
            if (wake_fd_ >= 0) { ::close(wake_fd_); }
            ::close(epoll_fd_);
            throw std::system_error(number, std::generic_category(), "make and watch an eventfd");
        }
    }

    ~epoll_reactor() override {
        shut_down();
        ::close(wake_fd_);
    }

    void attach() override { attached_ = true; }

    void poll_devices(std::chrono::microseconds) override { name_ += ", no NAPI busy poll: that takes io_uring"; }

    void arm(poll_operation& operation, int fd, unsigned events) override {
        assert(attached_ && !operation.armed());
        mark_held(operation);
        watched_fd* const watched = find_or_add(fd);
        if (watched == nullptr) {
            settle(operation, fd < 0 ? -EBADF : -ENOMEM);
            return;
        }
        set_watch(operation, fd, events & event_mask);
        watched->operations.push_back(operation);
        watched->wanted |= events & event_mask;
        watched->by_edges = false;
        note_change(*watched);
        ++waiting_;
    }

    void arm_again(poll_operation& operation, int fd, unsigned events) override {
        arm(operation, fd, events);
        if (!is_held(operation)) { return; }
        watched_fd& watched = watches_.find(fd)->second;
        if (&watched.operations.front() != &watched.operations.back()) { return; }
        const unsigned wanted = watched.wanted | always_told;
        if (watched.edges == wanted) {
            watched.told = wanted;
        } else {
            watched.by_edges = true;
        }
    }

    void disarm(poll_operation& operation) override {
        if (fd_of(operation) < 0) { return; }
        withdraw(operation);
        settle(operation, -ECANCELED);
    }

    void disarm_now(poll_operation& operation) noexcept override {
        if (fd_of(operation) >= 0) { withdraw(operation); }
        mark_idle(operation);
    }

    void submit(io_operation& operation, const io_request& request) override {
        attempts_.add(operation);
        if (request.pool != nullptr) { request.pool->let_reactor_choose(); }
        io().hold(operation, request);
    }

    std::optional<int> try_now(const io_request& request, bool) noexcept override {
        return detail::io_attempts::send_now(request);
    }

    void cancel(io_operation& operation) override {
        if (!io().is_held(operation)) { return; }
        attempts_.remove(operation);
        io().add(operation, -ECANCELED, false);
    }

    void cancel_now(io_operation& operation) noexcept override {
        if (!operation.pending()) { return; }
        if (io().is_held(operation)) { attempts_.remove(operation); }
        io().drop(operation);
    }

    void poll() override {
        hand_over();
        if (waiting_ != 0) { take(look()); }
        fire(fired_);
    }

    void wait(std::optional<time_point> deadline) override {
        hand_over();
        // Goes round when the kernel's reports were of disarmed operations only.
        while (nothing_to_do()) {
            const int count = sleep_until(deadline);
            if (count <= 0) { break; }
            take(count);
            hand_over();
        }
        woken_ = false;
        fire(fired_);
    }

    // Readable while the kernel has an event to tell, of the eventfd too.
    prepared_wait prepare_wait() override {
        hand_over();
        return {epoll_fd_, !nothing_to_do()};
    }

    void finish_wait() override {
        take(look());
        woken_ = false;
        fire(fired_);
    }

    void wake() noexcept override {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
    }

    void shut_down() noexcept override {
        if (epoll_fd_ < 0) { return; }
        for (io_operation& held : io().held()) { attempts_.remove(held); }
        io().forget(false);
        for (auto& [fd, watched] : watches_) { forget(watched.operations); }
        forget(fired_);
        ::close(std::exchange(epoll_fd_, -1));
    }

    std::string_view name() const noexcept override { return name_; }

private:
    struct watched_fd : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
        explicit watched_fd(int number) noexcept : fd(number) {}

        const int fd;
        operation_list operations;
        unsigned wanted = 0;           // at least the union of the operations' events
        unsigned told = 0;             // events of the last epoll_ctl that have not been reported; 0 after a report
        std::uint32_t generation = 0;  // counts the calls of epoll_ctl; a report of an earlier one is dropped
        unsigned edges = 0;            // events of the last epoll_ctl if the kernel reports them again and again
        bool by_edges = false;         // the next epoll_ctl is to have them reported so
        bool known = false;            // the kernel had an entry after the last epoll_ctl
    };
    using change_list = boost::intrusive::list<watched_fd, boost::intrusive::constant_time_size<false>>;

    watched_fd* find_or_add(int fd) noexcept try {
        return fd < 0 ? nullptr : &watches_.try_emplace(fd, fd).first->second;
    } catch (const std::bad_alloc&) { return nullptr; }

    void note_change(watched_fd& watched) noexcept {
        if (!watched.is_linked()) { changed_.push_back(watched); }
    }

    /// Takes the operation, which is armed, out of the table.
    void withdraw(poll_operation& operation) noexcept {
        watched_fd& watched = watches_.find(fd_of(operation))->second;
        operation.unlink();
        set_watch(operation, -1, 0);
        --waiting_;
        if (watched.operations.empty()) { watched.wanted = watched.told = 0; }
    }

    /// Has the operation, which is in no list, fire with `result`.
    void settle(poll_operation& operation, int result) noexcept {
        mark_fired(operation, result);
        fired_.push_back(operation);
    }

    /// Fires the operations that want one of `events`. A negative number is an errno, and fires all of them.
    void deliver(watched_fd& watched, int events) noexcept {
        watched.wanted = watched.told = 0;
        for (auto next = watched.operations.begin(); next != watched.operations.end();) {
            poll_operation& operation = *next++;
            const unsigned wanted = events_of(operation);
            const int result =
                events < 0 ? events : static_cast<int>(static_cast<unsigned>(events) & (wanted | always_told));
            if (result == 0) {
                watched.wanted |= wanted;
                continue;
            }
            withdraw(operation);
            settle(operation, result);
        }
        if (!watched.operations.empty()) { note_change(watched); }
    }

    [[nodiscard]] bool nothing_to_do() const noexcept { return nothing_fired(fired_) && attempts_.empty() && !woken_; }

    /// Makes the calls that can be made, and tells the kernel what is wanted now of the descriptors where that may have
    /// changed.
    void hand_over() noexcept {
        if (!attempts_.empty()) { attempts_.try_all(); }
        while (!changed_.empty()) {
            watched_fd& watched = changed_.front();
            changed_.pop_front();
            const unsigned wanted = watched.wanted | always_told;
            if (watched.operations.empty() || (wanted & ~watched.told) == 0) { continue; }
            const int answer = ask(watched, wanted);
            if (answer == 0) {
                watched.told = wanted;
            } else if (answer == EPERM) {
                deliver(watched, always_ready);
                deliver(watched, -EINVAL);  // those that want something else of it
            } else {
                deliver(watched, -answer);
            }
        }
    }

    /// Returns 0 or an errno.
    int ask(watched_fd& watched, unsigned events) noexcept {
        ++watched.generation;
        const unsigned how = watched.by_edges ? EPOLLET : EPOLLONESHOT;
        watched.edges = watched.by_edges ? events : 0;
        epoll_event event{.events = events | how, .data = {.u64 = tag_of(watched.fd, watched.generation)}};
        const auto change = [&](bool known) {
            watched.known = ::epoll_ctl(epoll_fd_, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watched.fd, &event) == 0;
            return watched.known ? 0 : errno;
        };
        const bool known = watched.known;
        const int answer = change(known);
        // The descriptor's number belongs to another file than at the last call: the kernel has no entry for that file, or
        // already has one.
        return answer == ENOENT || answer == EEXIST ? change(!known) : answer;
    }

    /// Returns how many events there are already.
    int look() { return checked(::epoll_wait(epoll_fd_, events_.data(), static_cast<int>(events_.size()), 0)); }

    /// Returns how many events there are; 0 at the deadline, less when a signal came first.
    int sleep_until(const std::optional<time_point>& deadline) {
        const int room = static_cast<int>(events_.size());
        if (!deadline) { return checked(::epoll_wait(epoll_fd_, events_.data(), room, -1)); }
        // Compared before they are subtracted: the earliest time there is lies further back than a duration reaches.
        const time_point now = std::chrono::steady_clock::now();
        const auto left = *deadline > now ? *deadline - now : time_point::duration::zero();
        if (precise_) {
            const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
            const timespec timeout{seconds.count(), std::chrono::nanoseconds(left - seconds).count()};
            const int count = ::epoll_pwait2(epoll_fd_, events_.data(), room, &timeout, nullptr);
            if (count >= 0 || (errno != ENOSYS && errno != EPERM)) { return checked(count); }
            precise_ = false;  // Linux before 5.11, or a filter older than the call
        }
        const auto whole = std::min<std::int64_t>(std::chrono::ceil<std::chrono::milliseconds>(left).count(), INT_MAX);
        return checked(::epoll_wait(epoll_fd_, events_.data(), room, static_cast<int>(whole)));
    }

    static int checked(int count) {
        if (count >= 0 || errno == EINTR) { return count; }
        throw std::system_error(errno, std::generic_category(), "epoll_wait");
    }

    /// Moves the operations that the first `count` events, and those behind them, mean to the list of fired ones.
    void take(int count) {
        while (count > 0) {
            for (int i = 0; i < count; ++i) { take(events_[static_cast<std::size_t>(i)]); }
            count = static_cast<std::size_t>(count) == events_.size() ? look() : 0;
        }
    }

    void take(const epoll_event& event) noexcept {
        const std::uint64_t tag = event.data.u64;
        if (tag == waker_tag) {
            woken_ = true;
            return;
        }
        const auto found = watches_.find(static_cast<int>(static_cast<std::uint32_t>(tag)));
        if (found == watches_.end() || found->second.generation != tag >> 32) { return; }
        watched_fd& watched = found->second;
        if (watched.operations.empty() && watched.edges != 0) {
            watched.by_edges = false;
            static_cast<void>(ask(watched, 0));
            return;
        }
        deliver(watched, static_cast<int>(event.events & event_mask));
    }

    std::string name_;
    int epoll_fd_ = -1;
    int wake_fd_ = -1;
    bool attached_ = false;
    bool precise_ = true;  // the kernel takes a timeout in nanoseconds
    bool woken_ = false;   // since the last wait()
    std::array<epoll_event, 128> events_{};
    std::unordered_map<int, watched_fd> watches_;
    change_list changed_;      // of watches_
    std::size_t waiting_ = 0;  // operations in watches_
    detail::io_attempts attempts_{*this, io()};
    operation_list fired_;  // completed, not yet dispatched
};

}  // namespace

std::unique_ptr<reactor> make_epoll_reactor(std::string_view refused) {
    return std::make_unique<epoll_reactor>(refused);
}

}  // namespace fluxnet
