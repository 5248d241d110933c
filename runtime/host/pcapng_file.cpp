// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/pcapng_file.hpp"

#include "fluxnet/runtime/core/task.hpp"

#include <new>
#include <optional>
#include <utility>

namespace fluxnet::host {

/// What the handle and the task share. Half of the memory is filled while the other half is written: that is `spare_`, of
/// which `left_` is not in the file yet.
class pcapng_file::state final : public pcapng_capture, public std::enable_shared_from_this<state> {
public:
    state(executor& on, file into, const pcapng_options& options)
        : pcapng_capture(on, options), on_(on), file_(std::move(into)),
          spare_(std::make_unique_for_overwrite<std::byte[]>(memory_size())) {}

    /// Has everything written that there is, and will be.
    void end() noexcept {
        leave();
        ending_ = true;
        start();
        news_.set();
    }

    [[nodiscard]] event::wait_awaiter wait() noexcept { return over_.wait(); }
    [[nodiscard]] std::uint64_t written() const noexcept { return written_; }
    [[nodiscard]] std::error_code failure() const noexcept { return failure_; }

private:
    class hold;

    [[nodiscard]] static task<void> write_blocks(hold of);
    [[nodiscard]] task<wait_result> drain();

    /// Starts the task that writes, unless it runs or has done all. While the executor's tasks are being cancelled it would
    /// end at once.
    void start() noexcept;

    /// The task has no more to do.
    void finish(std::error_code why) noexcept {
        failure_ = why;
        file_.reset();
        over_.set();
    }

    void on_blocks() noexcept override {
        start();
        if (!news_.is_set()) { news_.set(); }
    }

    executor& on_;
    std::optional<file> file_;  // until all is over
    std::unique_ptr<std::byte[]> spare_;
    std::span<const std::byte> left_;
    std::uint64_t written_ = 0;
    std::error_code failure_;
    event news_;  // there are blocks, or it ends
    event over_;  // the file has everything, or there is a failure
    bool running_ = false;
    bool ending_ = false;
    bool summed_ = false;  // the statistics were added
};

/// Keeps the state alive for the task, and says that the task runs, from its making on until its frame is destroyed.
class pcapng_file::state::hold {
public:
    explicit hold(std::shared_ptr<state> of) noexcept : state_(std::move(of)) { state_->running_ = true; }
    hold(hold&&) noexcept = default;
    hold& operator=(hold&&) = delete;
    ~hold() {
        if (state_ != nullptr) { state_->running_ = false; }
    }

    state* operator->() const noexcept { return state_.get(); }

    /// The task has been cancelled. What has come since then has found it running, and needs another one.
    void rest() noexcept {
        const auto of = std::move(state_);
        of->running_ = false;
        if (of->news_.is_set()) { of->start(); }
    }

private:
    std::shared_ptr<state> state_;
};

void pcapng_file::state::start() noexcept {
    if (running_ || over_.is_set() || on_.stop_token().stop_requested()) { return; }
    try {
        on_.spawn_background(write_blocks(hold(shared_from_this())));
    } catch (const std::bad_alloc&) { finish(errc::out_of_memory); }
}

/// Writes all that there is. What a write that was destroyed has written all the same is written again, at the same place.
task<wait_result> pcapng_file::state::drain() {
    for (;;) {
        if (left_.empty()) { left_ = take(spare_); }
        if (left_.empty()) { co_return no_error; }
        const io_result put = co_await file_->write_at(left_, written_);
        left_ = left_.subspan(put.n);
        written_ += put.n;
        if (put.ec) { co_return put.ec; }
    }
}

task<void> pcapng_file::state::write_blocks(hold of) {
    for (;;) {
        const wait_result waited = co_await of->news_.wait();
        if (waited) {
            of.rest();
            co_return;
        }
        of->news_.reset();
        const wait_result ended = co_await of->drain();
        if (ended == errc::operation_canceled) {
            of->news_.set();  // for the task that comes after this one
            of.rest();
            co_return;
        }
        if (ended || of->summed_) {
            of->finish(ended);
            co_return;
        }
        if (!of->ending_) { continue; }
        // There is room for them, as all has been written; that they are there is news.
        of->summed_ = true;
        of->add_statistics();
        of->news_.set();
    }
}

pcapng_file::pcapng_file(executor& on, file into, const pcapng_options& options)
    : state_(std::make_shared<state>(on, std::move(into), options)) {}
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

void pcapng_file::abandon() noexcept {
    if (state_ != nullptr) { state_->end(); }
}

frame_sink& pcapng_file::interface(std::string name) {
    return state_->interface(std::move(name));
}

event::wait_awaiter pcapng_file::close() noexcept {
    state_->end();
    return state_->wait();
}

std::uint64_t pcapng_file::seen() const noexcept {
    return state_->seen();
}

std::uint64_t pcapng_file::missed() const noexcept {
    return state_->missed();
}

std::uint64_t pcapng_file::written() const noexcept {
    return state_->written();
}

std::error_code pcapng_file::failure() const noexcept {
    return state_->failure();
}

}  // namespace fluxnet::host
