// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/simulation/detail/memory_connection.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace fluxnet {

void memory_buffer::reset() noexcept {
    bytes_ = {};
    if (block_ != nullptr) { hub_->release(*std::exchange(block_, nullptr)); }
    hub_.reset();
}

namespace detail {
namespace {

constexpr std::size_t segment = 4096;  // bytes that arrive together

}  // namespace

std::size_t memory_way::put(std::span<const std::byte> bytes) noexcept {
    memory_hub& hub = of_.hub();
    if (of_.is_gone(to_)) { return put_to_nobody(bytes.size()); }
    const std::size_t taken = append(bytes.first(std::min(room(), bytes.size())));
    if (taken == 0) { return 0; }
    written_ += taken;
    if (hub.takes_time()) {
        schedule(taken);
    } else {
        arrived_ = written_;
        if (reader != nullptr) { reader->look(); }
    }
    return taken;
}

std::size_t memory_way::put_to_nobody(std::size_t bytes) noexcept {
    memory_hub& hub = of_.hub();
    memory_way& back = of_.from(to_);
    if (!hub.takes_time()) {
        back.send_reset();
        return bytes;
    }
    // They arrive where nobody is, and the answer to that takes as long again. Until then the writing end knows of the room
    // only that there was when the reading one went.
    const std::size_t taken = std::min(room(), bytes);
    written_ += taken;
    back.send_reset(time_after(hub.arrival(pace_, taken), hub.options().latency));
    return taken;
}

std::size_t memory_way::room() const noexcept {
    return of_.hub().options().buffer_bytes - static_cast<std::size_t>(written_ - window_);
}

std::size_t memory_way::append(std::span<const std::byte> bytes) noexcept {
    std::size_t done = 0;
    while (done != bytes.size()) {
        if (last_ == nullptr || last_->end == memory_block::size) {
            memory_block* const next = of_.hub().take_block();
            if (next == nullptr) { break; }
            (last_ == nullptr ? first_ : last_->next) = next;
            last_ = next;
        }
        const std::size_t step = std::min(memory_block::size - last_->end, bytes.size() - done);
        std::memcpy(last_->bytes.data() + last_->end, bytes.data() + done, step);
        last_->end += static_cast<std::uint32_t>(step);
        done += step;
    }
    return done;
}

void memory_way::schedule(std::size_t bytes) noexcept {
    for (std::uint64_t position = written_ - bytes; position != written_;) {
        const std::uint64_t step = std::min<std::uint64_t>(segment, written_ - position);
        position += step;
        const auto at = of_.hub().arrival(pace_, static_cast<std::size_t>(step));
        if (mark_count_ != 0) {
            mark& last = marks_[(first_mark_ + mark_count_ - 1) % marks_.size()];
            if (last.at == at || mark_count_ == marks_.size()) {
                last = {at, position};
                continue;
            }
        }
        marks_[(first_mark_ + mark_count_++) % marks_.size()] = {at, position};
    }
    arm();
}

void memory_way::arm() noexcept {
    std::optional<std::chrono::steady_clock::time_point> next = reset_at_;
    // Bytes are before a FIN, and both before a reset: each was sent later and keeps its order.
    if (fin_at_) { next = fin_at_; }
    if (mark_count_ != 0) { next = marks_[first_mark_].at; }
    clear_timer();
    if (next) { of_.hub().set_timer(*this, *next); }
}

void memory_way::on_time() noexcept {
    arrive(of_.hub().loop().now());
    arm();
}

void memory_way::arrive(std::chrono::steady_clock::time_point now) noexcept {
    bool news = false;
    for (; mark_count_ != 0 && marks_[first_mark_].at <= now; --mark_count_) {
        arrived_ = marks_[first_mark_].position;
        first_mark_ = (first_mark_ + 1) % marks_.size();
        news = true;
    }
    if (fin_at_ && *fin_at_ <= now) {
        fin_at_.reset();
        fin_arrived_ = true;
        news = true;
    }
    if (news && reader != nullptr) { reader->look(); }
    if (reset_at_ && *reset_at_ <= now) {
        reset_at_.reset();
        of_.reset(to_);
    }
}

void memory_way::send_fin() noexcept {
    if (std::exchange(fin_sent_, true)) { return; }
    memory_hub& hub = of_.hub();
    hub.note(4);
    if (of_.is_gone(to_)) { return; }
    if (hub.takes_time()) {
        fin_at_ = hub.arrival(pace_, 0);
        arm();
    } else {
        fin_arrived_ = true;
        if (reader != nullptr) { reader->look(); }
    }
}

void memory_way::send_reset(std::chrono::steady_clock::time_point earliest) noexcept {
    if (of_.is_gone(to_) || std::exchange(reset_sent_, true)) { return; }
    memory_hub& hub = of_.hub();
    hub.note(5);
    if (hub.takes_time()) {
        reset_at_ = std::max(hub.arrival(pace_, 0), earliest);
        arm();
    } else {
        of_.reset(to_);
    }
}

std::size_t memory_way::take(std::span<std::byte> into) noexcept {
    const std::size_t count = of_.hub().fragment(std::min(there(), into.size()));
    for (std::size_t done = 0; done != count;) {
        const std::size_t step = std::min<std::size_t>(first_->end - first_->begin, count - done);
        std::memcpy(into.data() + done, first_->bytes.data() + first_->begin, step);
        advance(step);
        done += step;
    }
    have_read(count);
    return count;
}

memory_buffer memory_way::lend() noexcept {
    memory_block& block = *first_;
    const std::size_t count = of_.hub().fragment(std::min<std::size_t>(there(), block.end - block.begin));
    ++block.users;
    const std::span<const std::byte> bytes(block.bytes.data() + block.begin, count);
    advance(count);
    have_read(count);
    return {of_.hub().shared_from_this(), block, bytes};
}

void memory_way::advance(std::size_t bytes) noexcept {
    memory_block& block = *first_;
    block.begin += static_cast<std::uint32_t>(bytes);
    if (block.begin != block.end || (block.end != memory_block::size && &block != last_)) { return; }
    first_ = block.next;
    if (first_ == nullptr) { last_ = nullptr; }
    of_.hub().release(block);
}

void memory_way::have_read(std::size_t bytes) noexcept {
    read_ += bytes;
    window_ = read_;
    of_.hub().note(bytes << 8U);
    if (writer != nullptr) { writer->look(); }
}

void memory_way::drop() noexcept {
    while (first_ != nullptr) { of_.hub().release(*std::exchange(first_, first_->next)); }
    last_ = nullptr;
    mark_count_ = 0;
    arrived_ = written_;
    read_ = written_;
}

std::error_code memory_connection::read_error(unsigned end) noexcept {
    if (to(end).fin_arrived()) { return errc::end_of_stream; }
    return reset_[end] ? system_error_code(ECONNRESET) : no_error;
}

std::error_code memory_connection::write_error(unsigned end) noexcept {
    if (from(end).fin_sent()) { return system_error_code(EPIPE); }
    return reset_[end] ? system_error_code(ECONNRESET) : no_error;
}

std::error_code memory_connection::shut_down_write(unsigned end) noexcept {
    memory_way& way = from(end);
    if (gone_[end]) { return errc::closed; }
    if (way.fin_sent()) { return no_error; }
    if (way.writer != nullptr) { return errc::handle_in_use; }
    if (reset_[end]) { return write_error(end); }
    way.send_fin();
    return no_error;
}

void memory_connection::close(unsigned end, bool refuse) noexcept {
    memory_way& in = to(end);
    memory_way& out = from(end);
    if (in.reader != nullptr) { std::exchange(in.reader, nullptr)->abandon(); }
    if (out.writer != nullptr) { std::exchange(out.writer, nullptr)->abandon(); }
    const bool unread = in.has_unread();
    gone_[end] = true;
    in.drop();
    if (reset_[end] || gone_[1 - end]) { return; }
    if (unread || refuse) {
        out.send_reset();
    } else {
        out.send_fin();
    }
}

void memory_connection::reset(unsigned end) noexcept {
    if (gone_[end] || std::exchange(reset_[end], true)) { return; }
    if (to(end).reader != nullptr) { to(end).reader->look(); }
    if (from(end).writer != nullptr) { from(end).writer->look(); }
}

}  // namespace detail
}  // namespace fluxnet
