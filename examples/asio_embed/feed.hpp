// SPDX-License-Identifier: BSD-3-Clause
// `feed`: hands the same frames of text to all of its viewers, and keeps at most one for a viewer that is slow.
//
//     const auto frames = std::make_shared<feed>();
//     feed::viewing mine(frames, executor);
//     const feed::frame next = co_await mine.next();   // null when it has ended
//
// A frame that has not been taken when the next one is published is replaced by that: a viewer that reads slowly misses
// frames and costs no memory. All viewers share the memory of a frame.
//
// Threads: one, or one strand, for a feed and all of its viewers.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>

namespace embed_example {

namespace net = boost::asio;

class feed {
public:
    using frame = std::shared_ptr<const std::string>;
    class viewing;

    struct counts {
        std::size_t viewers = 0;    ///< Present now.
        std::uint64_t viewed = 0;   ///< Viewers since the start, those that have left included.
        std::uint64_t frames = 0;   ///< Published.
        std::uint64_t skipped = 0;  ///< Replaced before a viewer had taken them, over all viewers.
    };

    void publish(std::string text);

    /// Ends what is viewed, now and later.
    void end() noexcept;

    [[nodiscard]] const counts& count() const noexcept { return counts_; }

private:
    std::list<viewing*> viewings_;
    counts counts_;
    bool ended_ = false;
};

/// What one viewer sees. Keeps the feed alive. Stays where it is while next() is awaited, by one coroutine at a time.
class feed::viewing {
public:
    viewing(std::shared_ptr<feed> of, const net::any_io_executor& on);
    viewing(const viewing&) = delete;
    viewing& operator=(const viewing&) = delete;
    ~viewing();

    /// Completes with the latest frame that was not taken before, as soon as there is one; with null after an end.
    [[nodiscard]] net::awaitable<frame> next();

    void end() noexcept;

private:
    friend feed;

    void hand_over(const frame& latest) noexcept;

    const std::shared_ptr<feed> feed_;
    const std::list<viewing*>::iterator place_;
    net::steady_timer arrival_;  // never expires: it is cancelled when there is something to look at
    frame waiting_;
    bool ended_;
};

}  // namespace embed_example
