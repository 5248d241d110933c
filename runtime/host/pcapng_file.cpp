// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/pcapng_file.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/sockets/file.hpp"
#include "fluxnet/runtime/sync/event.hpp"

#include <new>
#include <optional>
#include <utility>

namespace fluxnet::host {

/// What the handle, the task and a close() under way share. Half of the memory is filled while the other half is written:
/// that is `spare_`, of which `left_` is not in the file yet.
class pcapng_file::state final : public pcapng_capture, public std::enable_shared_from_this<state> {
public:
    state(executor& on, file into, const pcapng_options& options)
        : pcapng_capture(on, options), on_(on), file_(std::move(into)),
          spare_(std::make_unique_for_overwrite<std::byte[]>(memory_size())) {}

    /// Starts the task that writes, unless it runs or close() does its work. While the executor's tasks are being cancelled
    /// it would end at once.
    void start() noexcept;

    /// Goes on to the end: the task writes the rest and the statistics.
    void end() noexcept {
        leave();
        ending_ = true;
        if (running_) { news_.set(); }
    }

    executor& on_;
    std::optional<file> file_;  // until close() has ended
    std::unique_ptr<std::byte[]> spare_;
    std::span<const std::byte> left_;
    std::uint64_t written_ = 0;
    std::error_code failure_;
    event news_;        // there are blocks, or it ends
    event idle_{true};  // the task does not run
    bool running_ = false;
    bool closing_ = false;  // a close() is under way
    bool ending_ = false;
    bool summed_ = false;    // the statistics are there
    bool finished_ = false;  // the file has everything

    [[nodiscard]] std::span<const std::byte> next() noexcept {
        if (left_.empty()) { left_ = take(spare_); }
        return left_;
    }

private:
    void on_blocks() noexcept override {
        if (!running_) { start(); }
        if (!news_.is_set()) { news_.set(); }
    }
};

/// Keeps the state alive for the task, and says that the task runs, from its making on until its frame is destroyed.
class pcapng_file::writing {
public:
    explicit writing(std::shared_ptr<state> of) noexcept : state_(std::move(of)) {
        state_->running_ = true;
        state_->idle_.reset();
    }
    writing(writing&&) noexcept = default;
    writing& operator=(writing&&) = delete;
    ~writing() {
        if (state_ == nullptr) { return; }
        state_->running_ = false;
        state_->idle_.set();
    }

    [[nodiscard]] const std::shared_ptr<state>& operator*() const noexcept { return state_; }
    state* operator->() const noexcept { return state_.get(); }

private:
    std::shared_ptr<state> state_;
};

void pcapng_file::state::start() noexcept {
    if (running_ || closing_ || failure_ || finished_ || on_.stop_token().stop_requested()) { return; }
    try {
        on_.spawn_background(write_blocks(writing(shared_from_this())));
    } catch (const std::bad_alloc&) { failure_ = errc::out_of_memory; }
}

/// Writes all that there is. What a write that was broken off has written all the same is written again, at the same place.
task<wait_result> pcapng_file::drain(std::shared_ptr<state> of) {
    while (!of->failure_ && !of->next().empty()) {
        const io_result put = co_await of->file_->write_at(of->left_, of->written_);
        of->left_ = of->left_.subspan(put.n);
        of->written_ += put.n;
        if (put.ec == errc::operation_canceled) { co_return put.ec; }
        if (put.ec) { of->failure_ = put.ec; }
    }
    co_return of->failure_;
}

/// Writes what is left, and the statistics, for which there is room then.
task<wait_result> pcapng_file::finish(std::shared_ptr<state> of) {
    wait_result ended = co_await drain(of);
    if (ended) { co_return ended; }
    if (!std::exchange(of->summed_, true)) { of->add_statistics(); }
    ended = co_await drain(of);
    if (!ended) { of->finished_ = true; }
    co_return ended;
}

task<void> pcapng_file::write_blocks(writing of) {
    for (;;) {
        const wait_result waited = co_await of->news_.wait();
        if (waited) { co_return; }
        of->news_.reset();
        if (of->ending_) {
            static_cast<void>(co_await finish(*of));  // how that ended, the state knows
            co_return;
        }
        const wait_result ended = co_await drain(*of);
        if (ended) { co_return; }
    }
}

task<wait_result> pcapng_file::close(std::shared_ptr<state> of) {
    if (of == nullptr || !of->file_) { co_return errc::closed; }
    if (executor::current() != &of->on_) { co_return errc::wrong_executor; }
    if (of->closing_) { co_return errc::handle_in_use; }
    const struct closing {
        explicit closing(state& one) noexcept : of(one) { of.closing_ = true; }
        closing(const closing&) = delete;
        ~closing() { of.closing_ = false; }
        state& of;
    } here(*of);
    of->end();
    const wait_result idle = co_await of->idle_.wait();
    if (idle) { co_return idle; }
    // The task may have been cancelled before it had written everything.
    const wait_result ended = co_await finish(of);
    if (ended != errc::operation_canceled) { of->file_.reset(); }
    co_return ended;
}

task<result<pcapng_file>> pcapng_file::open(std::string path, pcapng_options options) {
    const file_options fresh{.read = false, .write = true, .create = true, .truncate = true};
    result<file> into = co_await file::open(std::move(path), fresh);
    if (!into) { co_return into.error(); }
    co_return pcapng_file(std::make_shared<state>(*executor::current(), std::move(*into), options));
}

pcapng_file::pcapng_file(std::shared_ptr<state> of) noexcept : state_(std::move(of)) {}
pcapng_file::pcapng_file(pcapng_file&&) noexcept = default;

pcapng_file& pcapng_file::operator=(pcapng_file&& other) noexcept {
    if (this != &other) {
        abandon();
        state_ = std::move(other.state_);
    }
    return *this;
}

pcapng_file::~pcapng_file() {
    abandon();
}

/// The task writes the rest, if the executor runs.
void pcapng_file::abandon() noexcept {
    if (state_ == nullptr) { return; }
    state_->leave();
    if (!state_->finished_) { state_->start(); }
    state_->end();
}

frame_sink& pcapng_file::interface(std::string name) {
    return state_->interface(std::move(name));
}

task<wait_result> pcapng_file::close() {
    return close(state_);
}

std::uint64_t pcapng_file::seen() const noexcept {
    return state_->seen();
}

std::uint64_t pcapng_file::missed() const noexcept {
    return state_->missed();
}

std::uint64_t pcapng_file::written() const noexcept {
    return state_->written_;
}

std::error_code pcapng_file::failure() const noexcept {
    return state_->failure_;
}

}  // namespace fluxnet::host
