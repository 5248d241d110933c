// SPDX-License-Identifier: BSD-3-Clause
// `tls_engine`: one TLS connection without its network: records go in and come out as bytes, and no call waits.
//
// Owned by a `tls_stream`. OpenSSL reads from one buffer in memory and writes to another. feed() fills the first. unsent()
// empties the second into a block that stays in place while it is sent, whatever OpenSSL writes meanwhile: reading makes
// answers now and then (to a key update), which go out with the next write, as the protocol allows.
//
// Threads: one at a time.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/tls/tls_context.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

struct bio_st;
struct ssl_st;

namespace fluxnet::detail {

class FLUXNET_EXPORT tls_engine {
public:
    enum class step {
        done,
        wants_bytes,  ///< feed() it, and try again.
        failed,       ///< See failure().
    };

    /// The most that one record carries.
    static constexpr std::size_t record_bytes = 16'384;

    /// `host` is the name that a client asks for and its peer's certificate must have; a server's is empty.
    [[nodiscard]] static result<std::unique_ptr<tls_engine>> make(const tls_context& context, std::string_view host,
                                                                  bool is_server);
    tls_engine(const tls_engine&) = delete;
    tls_engine& operator=(const tls_engine&) = delete;
    ~tls_engine();

    /// Takes bytes that have arrived.
    void feed(std::span<const std::byte> arrived);
    /// Notes that none will arrive any more.
    void feed_end() noexcept { at_end_ = true; }

    /// The records that wait to be sent. The span stays in place until sent() has been told of all of it.
    [[nodiscard]] std::span<const std::byte> unsent();
    void sent(std::size_t count) noexcept { sent_ += count; }

    [[nodiscard]] step handshake();

    /// Gives what has been decrypted; no bytes and no error when it wants more to be fed.
    [[nodiscard]] io_result read(std::span<std::byte> into);

    /// Why nothing can be written, if so.
    [[nodiscard]] std::error_code write_refusal() const noexcept;
    /// Makes a record of the beginning of `from`; returns how much of it. No bytes and no error when it wants more to be fed
    /// first: the peer has sent only a part of a message about the connection itself.
    [[nodiscard]] io_result write(std::span<const std::byte> from);
    /// Makes the record that ends this direction, once; wants more to be fed as write() does.
    [[nodiscard]] step end_writing();
    /// Notes that it is not known how much of unsent() has gone.
    void abandon_writing() noexcept { write_abandoned_ = true; }

    /// What broke the connection, if anything has; and in words.
    [[nodiscard]] const std::error_code& failure() const noexcept { return failure_; }
    [[nodiscard]] const std::string& failure_text() const noexcept { return text_; }

    /// Tells how a handshake failed that ended with `ended`.
    [[nodiscard]] error handshake_error(const std::error_code& ended) const;

    /// The protocol that ALPN chose; empty without.
    [[nodiscard]] std::string_view protocol() const noexcept;

private:
    tls_engine() = default;

    /// Prepares a client's connection to a host.
    [[nodiscard]] bool set_host(const std::string& host);
    /// Tells what a call that returned `came` leads to.
    [[nodiscard]] step after(int came);
    void fail(const std::error_code& why, std::string text);
    /// Keeps what OpenSSL says about its failure.
    void keep_failure();

    struct freeing {
        void operator()(ssl_st* gone) const noexcept;
    };

    std::shared_ptr<const tls_settings> settings_;
    std::unique_ptr<ssl_st, freeing> ssl_;
    bio_st* incoming_ = nullptr;  // ssl_'s, as is outgoing_
    bio_st* outgoing_ = nullptr;
    std::vector<std::byte> records_;  // taken from outgoing_
    std::size_t sent_ = 0;            // so many of records_ have gone
    std::string host_;
    std::string text_;
    std::error_code failure_;
    bool at_end_ = false;
    bool write_ended_ = false;
    bool write_abandoned_ = false;
};

}  // namespace fluxnet::detail
