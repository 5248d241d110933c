// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/reactor/reactor.hpp"

#include "fluxnet/runtime/reactor/detail/io_attempts.hpp"
#include "fluxnet/runtime/reactor/detail/ring_buffers.hpp"
#include "fluxnet/runtime/reactor/detail/ring_enter.hpp"
#include "fluxnet/runtime/reactor/detail/ring_requests.hpp"
#include "fluxnet/runtime/reactor/detail/ring_setup.hpp"
#include "fluxnet/runtime/reactor/detail/ring_wakeup.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include <liburing.h>

// With DEFER_TASKRUN completions are posted only inside io_uring_enter with GETEVENTS; the TASKRUN flag in the ring tells
// when such work waits, so that a busy turn enters only for a reason.
//
// A request belongs to the thread that handed it over: when that thread has ended, the kernel cancels the request as it
// comes due. Nobody asked for that, so with changing threads such a poll is armed anew, which finds what it waited for.
//
// How other threads end a wait is told in detail/ring_wakeup.hpp.

namespace fluxnet {
namespace {

constexpr unsigned sq_entries = 256;
constexpr std::uint64_t tag_ignored = 0;  // user_data of requests whose completion means nothing
constexpr std::uint64_t io_bit = 2;       // set in the address of an io_operation, clear in that of a poll_operation

// The entries that only cancellations may use, so that a queue full of new requests never stands in their way. A
// cancellation that finds even these used is owed, and made at the next turn.
constexpr unsigned cancel_entries = 16;

class io_uring_reactor final : public reactor {
public:
    explicit io_uring_reactor(reactor_threads threads)
        : changing_(threads == reactor_threads::changing), wakeup_(threads),
          name_(detail::set_up_ring(ring_, sq_entries, threads)), bundles_(detail::has_bundles(ring_)) {
        if (bundles_) { name_ += ", receive bundles"; }
    }

    ~io_uring_reactor() override { shut_down(); }

    void attach() override {
        if (attached_) { return; }
        detail::enable_ring(ring_);
        attached_ = true;
    }

    void poll_devices(std::chrono::microseconds how_long) override { name_ += detail::poll_devices(ring_, how_long); }

    void arm(poll_operation& operation, int fd, unsigned events) override {
        assert(attached_ && !operation.armed());
        io_uring_sqe* entry = next_entry(cancel_entries);
        if (entry == nullptr) {
            mark_fired(operation, -ENOBUFS);
            fired_.push_back(operation);
            return;
        }
        set_watch(operation, fd, events);
        detail::prepare_poll(*entry, operation, fd, events);
        mark_held(operation);
        held_.push_back(operation);
    }

    void disarm(poll_operation& operation) override {
        if (!is_held(operation)) { return; }
        const bool told = cancel_request(reinterpret_cast<std::uintptr_t>(&operation));
        set_watch(operation, -1, told ? 0 : owed);
    }

    void disarm_now(poll_operation& operation) noexcept override {
        if (is_held(operation)) { disarm(operation); }
        while (is_held(operation)) {
            if (!reap_next()) { return; }
        }
        mark_idle(operation);
    }

    void submit(io_operation& operation, const io_request& request) override {
        io().hold(operation, request);
        hand_over(operation);
    }

    // A send that the kernel is handed alone costs an enter to hand it over and one more to wait: its completion is there
    // when the first returns. The call itself is cheaper than the former.
    std::optional<int> try_now(const io_request& request, bool alone) noexcept override {
        if (!alone || io_uring_sq_ready(&ring_) != 0) { return std::nullopt; }
        return detail::io_attempts::send_now(request);
    }

    void cancel(io_operation& operation) override {
        if (!io().is_held(operation)) { return; }
        if (attempts_.has(operation)) {
            attempts_.remove(operation);
            if (io().is_held(operation)) { io().add(operation, -ECANCELED, false); }
            return;
        }
        io().mark_cancelled(operation, !cancel_request(tag_of(operation)));
    }

    void cancel_now(io_operation& operation) noexcept override {
        if (!operation.pending()) { return; }
        if (io().is_held(operation)) { cancel(operation); }
        while (io().is_held(operation)) {
            if (!reap_next()) { return; }
        }
        if (operation.pending()) { io().drop(operation); }
    }

    void poll() override {
        const bool to_submit = io_uring_sq_ready(&ring_) != 0 || detail::has_deferred(ring_);
        if (to_submit || io_uring_cq_ready(&ring_) != 0 || !nothing_fired(fired_)) { poll_ring(to_submit); }
    }

    void wait(std::optional<time_point> deadline) override {
        if (cancels_owed_) [[unlikely]] { cancel_owed(); }
        if (!wakeup_.armed()) [[unlikely]] { arm_wakeup(); }
        buffers_.refill();
        // What disarm_now() reaped beside its own completion has not fired yet: that is no time to sleep. Nor is it one
        // while nothing that wake() would end could be handed over.
        if (wakeup_.armed() && nothing_fired(fired_) && !wakeup_.woken() && io_uring_cq_ready(&ring_) == 0) {
            io_uring_cqe* first = nullptr;
            if (deadline) {
                __kernel_timespec timeout = detail::time_until(*deadline);
                detail::check_enter(io_uring_submit_and_wait_timeout(&ring_, &first, 1, &timeout, nullptr));
            } else {
                detail::check_enter(io_uring_submit_and_wait(&ring_, 1));
            }
        }
        if (io().has_room()) { reap(); }
        wakeup_.forget();
        fire(fired_);
    }

    prepared_wait prepare_wait() override {
        wakeup_.count_completions(ring_);
        if (cancels_owed_) [[unlikely]] { cancel_owed(); }
        buffers_.refill();
        if (io_uring_sq_ready(&ring_) != 0) { detail::check_enter(io_uring_submit(&ring_)); }
        detail::notify_eventfd(ring_, true);
        told_ready_ =
            !nothing_fired(fired_) || wakeup_.woken() || io_uring_cq_ready(&ring_) != 0 || detail::has_deferred(ring_);
        return {wakeup_.fd(), told_ready_};
    }

    void finish_wait() override {
        detail::notify_eventfd(ring_, false);
        if (!told_ready_) { wakeup_.empty(); }  // before completions are taken, so that what comes later is told anew
        wakeup_.forget();
        poll();
        wakeup_.forget();
    }

    void wake() noexcept override { wakeup_.wake(); }

    void shut_down() noexcept override {
        if (closed_) { return; }
        closed_ = true;
        const bool all_returned = cancel_everything();
        io().forget(!all_returned);
        buffers_.forget();
        forget(held_);
        forget(lost_);
        forget(fired_);
        io_uring_queue_exit(&ring_);
    }

    bool serves_files() const noexcept override { return true; }
    std::string_view name() const noexcept override { return name_; }

private:
    // Apart from poll(), which finds nothing to do in most turns of a busy executor.
    [[gnu::noinline]] void poll_ring(bool to_submit) {
        buffers_.refill();
        if (to_submit) {
            detail::check_enter(io_uring_submit_and_get_events(&ring_));
            if (cancels_owed_) [[unlikely]] { cancel_owed(); }  // owed while the queue was full; there is room now
        }
        if (io_uring_cq_ready(&ring_) != 0 && io().has_room()) { reap(); }
        if (!nothing_fired(fired_)) { fire(fired_); }
    }

    static std::uint64_t tag_of(const io_operation& operation) noexcept {
        return reinterpret_cast<std::uintptr_t>(&operation) | io_bit;
    }

    /// Returns a free entry of the submission queue, of which `spared` stay free, handing a full one over early; null when
    /// the kernel takes nothing.
    io_uring_sqe* next_entry(unsigned spared = 0) noexcept {
        for (int attempt = 0; attempt < 16; ++attempt) {
            if (io_uring_sq_space_left(&ring_) > spared) { return io_uring_get_sqe(&ring_); }
            const int r = io_uring_submit(&ring_);
            if (r == -EAGAIN || r == -EBUSY) { reap(); }  // it wants its completions taken first
        }
        return nullptr;
    }

    void hand_over(io_operation& operation) noexcept {
        detail::buffer_pool* const pool = io().request_of(operation).pool;
        if (pool != nullptr && !buffers_.provide(*pool)) {
            attempts_.try_now(operation);
        } else if (io_uring_sqe* entry = next_entry(cancel_entries)) {
            detail::prepare_request(*entry, io().request_of(operation), bundles_);
            entry->user_data = tag_of(operation);
        } else {
            io().add(operation, -ENOBUFS, false);
        }
    }

    /// Asks the kernel to cancel what bears this tag; false when it has to be asked later.
    bool cancel_request(std::uint64_t tag) noexcept {
        io_uring_sqe* const entry = next_entry();
        if (entry == nullptr) {
            cancels_owed_ = true;
            return false;
        }
        io_uring_prep_cancel64(entry, tag, 0);
        entry->user_data = tag_ignored;
        return true;
    }

    void cancel_owed() noexcept {
        cancels_owed_ = false;
        // Sought anew each time: making room for an entry may take others out of the lists.
        const auto owed_poll = [](const poll_operation& held) { return fd_of(held) < 0 && events_of(held) == owed; };
        for (auto found = held_.begin(); !cancels_owed_; disarm(*found)) {
            found = std::find_if(held_.begin(), held_.end(), owed_poll);
            if (found == held_.end()) { break; }
        }
        auto& requests = io().held();
        for (auto found = requests.begin(); !cancels_owed_; cancel(*found)) {
            found = std::find_if(requests.begin(), requests.end(), detail::io_completions::is_owed);
            if (found == requests.end()) { break; }
        }
    }

    /// Waits for a completion. False when none can come, and everything has been given up: the ring is not ours to drive
    /// (another thread attached it) or gone. A completion, should one come, is not taken for an operation that no longer
    /// exists.
    bool reap_next() noexcept {
        if (cancels_owed_) [[unlikely]] { cancel_owed(); }
        const int r = io_uring_submit_and_wait(&ring_, 1);
        if (r < 0 && r != -EINTR && r != -EAGAIN && r != -EBUSY) {
            shut_down();
            return false;
        }
        reap();
        return true;
    }

    void arm_wakeup() noexcept {
        if (closed_) { return; }
        if (io_uring_sqe* const entry = next_entry()) { wakeup_.arm(*entry); }  // or before the next wait
    }

    /// Arms anew what the kernel cancelled because the thread that had armed it is gone.
    void rearm_lost() noexcept {
        while (!lost_.empty()) {
            poll_operation& operation = lost_.front();
            operation.unlink();
            if (io_uring_sqe* entry = next_entry()) {
                detail::prepare_poll(*entry, operation, fd_of(operation), events_of(operation));
                held_.push_back(operation);
            } else {
                mark_fired(operation, -ENOBUFS);
                fired_.push_back(operation);
            }
        }
        while (!lost_io_.empty()) {
            io_operation* const operation = lost_io_.back();
            lost_io_.pop_back();
            hand_over(*operation);
        }
    }

    void take(io_operation& operation, const io_uring_cqe& completion) noexcept {
        const bool more = (completion.flags & IORING_CQE_F_MORE) != 0;
        detail::buffer_pool* const pool = io().request_of(operation).pool;
        if (changing_ && completion.res == -ECANCELED && !io().is_cancelled(operation)) [[unlikely]] {
            lost_io_.push_back(&operation);
        } else if (pool != nullptr && completion.res > static_cast<std::int64_t>(pool->buffer_size())) {
            buffers_.take_bundle(*pool, completion, [&](std::uint32_t number, std::uint32_t size, bool follows) {
                io().add(operation, static_cast<int>(size), follows || more, detail::with_buffer(number));
            });
        } else {
            const unsigned buffer = pool != nullptr ? buffers_.take(*pool, completion) : 0;
            // Says EINTR when it waited in a thread of the kernel's: a connect to a Unix listener with a full backlog.
            const int result = completion.res == -EINTR && io().is_cancelled(operation) ? -ECANCELED : completion.res;
            io().add(operation, result, more, buffer);
        }
    }

    /// Moves all completions to the list of fired operations.
    void reap() noexcept {
        io_uring_cqe* completion = nullptr;
        unsigned head = 0, count = 0;
        io_uring_for_each_cqe(&ring_, head, completion) {
            ++count;
            if ((completion->user_data & io_bit) != 0) {
                take(*reinterpret_cast<io_operation*>(static_cast<std::uintptr_t>(completion->user_data & ~io_bit)),
                     *completion);
                continue;
            }
            if (completion->user_data == tag_ignored) { continue; }
            if (completion->user_data == detail::ring_wakeup::tag) {
                wakeup_.take(*completion);
                continue;
            }
            auto& operation = *reinterpret_cast<poll_operation*>(static_cast<std::uintptr_t>(completion->user_data));
            operation.unlink();
            if (changing_ && completion->res == -ECANCELED && fd_of(operation) >= 0) [[unlikely]] {
                lost_.push_back(operation);
                continue;
            }
            mark_fired(operation, completion->res);
            fired_.push_back(operation);
        }
        io_uring_cq_advance(&ring_, count);
        if (changing_) [[unlikely]] { rearm_lost(); }
    }

    /// Cancels what the kernel still holds and waits for it, so that the dying ring refers to no descriptor and the kernel
    /// writes to no buffer any more. Returns whether that is so.
    bool cancel_everything() noexcept {
        if (!attached_) { return true; }
        attempts_.end_all();
        for (int round = 0; wakeup_.armed() || !held_.empty() || !io().held().empty(); ++round) {
            // Again and again, because the kernel does not find what it is only starting. Completion operations are waited
            // for without a bound: their buffers are in use.
            if (round >= 16 && io().held().empty()) { break; }
            for (io_operation& operation : io().held()) { io().mark_cancelled(operation, false); }
            for (poll_operation& operation : held_) { set_watch(operation, -1, 0); }
            if (io_uring_sqe* const entry = next_entry()) {
                io_uring_prep_cancel64(entry, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
                entry->user_data = tag_ignored;
            }
            const int r = io_uring_submit_and_wait(&ring_, 1);
            if (r < 0 && r != -EINTR && r != -EAGAIN && r != -EBUSY) { break; }  // EEXIST: another thread drove it
            reap();
        }
        return io().held().empty();
    }

    // In place of the events of an operation that is to be cancelled: the kernel has not been told yet.
    static constexpr unsigned owed = 1U << 31;

    const bool changing_;  // the threads that drive it
    detail::ring_wakeup wakeup_;
    io_uring ring_{};
    std::string name_;
    const bool bundles_;       // the kernel may fill several buffers with one completion
    bool told_ready_ = false;  // by the last prepare_wait()
    bool attached_ = false;
    bool closed_ = false;
    bool cancels_owed_ = false;
    operation_list held_;  // the kernel holds these
    operation_list lost_;  // cancelled by the kernel, to be armed anew
    std::vector<io_operation*> lost_io_;
    detail::ring_buffers buffers_{ring_};
    detail::io_attempts attempts_{*this, io()};
    operation_list fired_;  // completed, not yet dispatched
};

}  // namespace

std::unique_ptr<reactor> make_io_uring_reactor(reactor_threads threads) {
    return std::make_unique<io_uring_reactor>(threads);
}

}  // namespace fluxnet
