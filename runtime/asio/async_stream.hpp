// SPDX-License-Identifier: BSD-3-Clause
// `async_stream<S>`: a `stream` of ours as an I/O object of Asio's: an AsyncReadStream and an AsyncWriteStream.
//
//     fluxnet::asio::async_stream<tcp_stream> peer(packets, std::move(socket));
//     boost::asio::async_read_until(peer, buffer, "\r\n", [](boost::system::error_code code, std::size_t n) { ... });
//
// What is written for Asio's asynchronous streams runs over it: composed operations, Boost.Beast with its WebSockets and
// their time limits, boost::asio::ssl::stream. Owns the stream, which is used in the turns of an `execution`. Destroying it
// closes the stream; operations under way end with operation_aborted, and so do those that are started on one that was moved
// from. One read and one write at a time: a second one ends with errc::handle_in_use.
//
// Errors are Asio's where Asio has a name: eof, operation_aborted, connection_reset. Cancellation: a read heeds all kinds,
// for a cancelled one has taken nothing; a write heeds terminal and partial, and tells how much was taken.
//
// Threads: as Asio's own objects. Operations may be started on any thread; one object is destroyed or moved by one thread.
#pragma once

#include "fluxnet/runtime/asio/detail/beast_hooks.hpp"
#include "fluxnet/runtime/asio/detail/owned_handle.hpp"
#include "fluxnet/runtime/asio/detail/pending.hpp"
#include "fluxnet/runtime/asio/detail/told.hpp"
#include "fluxnet/runtime/asio/execution.hpp"
#include "fluxnet/runtime/core/stream.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/recycling_allocator.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <source_location>
#include <span>
#include <utility>
#include <vector>

namespace fluxnet::asio {

namespace detail {

template <class S>
struct stream_read {
    typename handle_owner<S>::shared from;
    std::span<std::byte> into;
    [[nodiscard]] auto operator()() const { return handle_of(from).read(into); }
};

template <class S>
struct stream_end {
    typename handle_owner<S>::shared of;
    [[nodiscard]] auto operator()() const { return handle_of(of).shutdown_write(); }
};

/// The first buffer of a sequence that has bytes; an empty one when none has.
template <class Buffer, class Sequence>
[[nodiscard]] Buffer first_filled(const Sequence& buffers) {
    const auto end = net::buffer_sequence_end(buffers);
    for (auto each = net::buffer_sequence_begin(buffers); each != end; ++each) {
        const Buffer one(*each);
        if (one.size() != 0) { return one; }
    }
    return Buffer();
}

/// Several buffers go as one piece, copied together: one by one, the system would hold small ones back for an
/// acknowledgement, and each would cost a write.
template <class S, class Sequence>
class stream_write {
public:
    static constexpr std::size_t most_copied = 16'384;

    stream_write(typename handle_owner<S>::shared to, const Sequence& buffers) : to_(std::move(to)), buffers_(buffers) {}

    /// Called once, when the bytes are there to be written.
    [[nodiscard]] auto operator()() { return handle_of(to_).write(bytes()); }

private:
    [[nodiscard]] std::span<const std::byte> bytes() {
        const auto first = first_filled<net::const_buffer>(buffers_);
        const std::size_t together = std::min(net::buffer_size(buffers_), most_copied);
        if (first.size() >= together) { return {static_cast<const std::byte*>(first.data()), first.size()}; }
        copied_.resize(together);
        net::buffer_copy(net::buffer(copied_), buffers_);
        return copied_;
    }

    typename handle_owner<S>::shared to_;
    Sequence buffers_;
    std::vector<std::byte, net::recycling_allocator<std::byte>> copied_;
};

}  // namespace detail

template <stream S, class Executor = net::any_io_executor>
class async_stream {
public:
    using executor_type = Executor;
    using handle_type = S;
    using lowest_layer_type = async_stream;

    /// The type of such an object with another type of executor; for Asio.
    template <class Other>
    struct rebind_executor {
        using other = async_stream<S, Other>;
    };

    /// Takes a stream that is used on `on.loop()`, or that was used nowhere yet.
    async_stream(basic_execution<Executor>& on, S&& owned)
        : on_(on.get_executor()), stream_(detail::access::driver_of(on), std::move(owned)) {}

    async_stream(async_stream&& other) noexcept : on_(other.on_), stream_(std::move(other.stream_)) {}
    async_stream& operator=(async_stream&& other) noexcept {
        on_ = other.on_;
        stream_ = std::move(other.stream_);
        return *this;
    }

    /// Takes what one with another type of executor owns: one with a default completion token, for example.
    template <class Other>
    requires(!std::same_as<Other, Executor> && std::convertible_to<Other, Executor>)
        async_stream(async_stream<S, Other>&& other)
    noexcept : on_(other.on_), stream_(std::move(other.stream_)) {}

    /// Where handlers are called that name no executor of their own.
    [[nodiscard]] executor_type get_executor() const noexcept { return on_; }

    /// Completes with what has arrived, as soon as there is anything, at the front of the first buffer that is not empty;
    /// with eof at the end. Signature: void(error_code, size_t).
    template <class Buffers, class Token = typename net::default_completion_token<Executor>::type>
    auto async_read_some(const Buffers& buffers, Token&& token = typename net::default_completion_token<Executor>::type()) {
        const auto first = detail::first_filled<net::mutable_buffer>(buffers);
        return start<Token, detail::told_as_reception>(
            detail::stream_read<S>{stream_.get(), {static_cast<std::byte*>(first.data()), first.size()}}, token);
    }

    /// Completes when the first buffer that is not empty was taken, or several, up to 16 KiB, together. Signature:
    /// void(error_code, size_t).
    template <class Buffers, class Token = typename net::default_completion_token<Executor>::type>
    auto async_write_some(const Buffers& buffers, Token&& token = typename net::default_completion_token<Executor>::type()) {
        return start<Token, detail::told_as_transfer>(detail::stream_write<S, Buffers>(stream_.get(), buffers), token);
    }

    /// Ends this direction; the peer then reads eof. Signature: void(error_code).
    template <class Token = typename net::default_completion_token<Executor>::type>
    auto async_shutdown(Token&& token = typename net::default_completion_token<Executor>::type()) {
        return start<Token, detail::told_as_wait>(detail::stream_end<S>{stream_.get()}, token);
    }

    /// Closes the stream; operations under way end with operation_aborted.
    void close() noexcept { stream_.close(); }

    /// Not after close(), nor once the execution has gone.
    [[nodiscard]] bool is_open() const noexcept { return stream_.is_open(); }

    /// The stream, of an open one; in the execution's strand, or while no thread runs the context.
    [[nodiscard]] handle_type& handle() noexcept { return *stream_.get()->handle; }

    /// This: layers of Asio's and Beast's end here.
    [[nodiscard]] lowest_layer_type& lowest_layer() noexcept { return *this; }
    [[nodiscard]] const lowest_layer_type& lowest_layer() const noexcept { return *this; }

private:
    template <stream, class>
    friend class async_stream;

    template <class Token, class Told, class Work>
    auto start(Work work, Token& token) {
        return net::async_initiate<Token, typename Told::signature>(
            detail::initiation<Told, Work, Executor>(stream_.by(), on_, std::source_location::current()), token,
            std::move(work));
    }

    Executor on_;
    detail::handle_owner<S> stream_;
};

}  // namespace fluxnet::asio
