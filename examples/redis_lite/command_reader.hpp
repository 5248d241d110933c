// SPDX-License-Identifier: BSD-3-Clause
// `command_reader`: makes commands out of the bytes of one connection: those of RESP2, an array of bulk strings, by hiredis'
// parser, and inline commands, words in a line, without quotes. No I/O.
//
//     command_reader reader;
//     for (;;) {
//         while (reader.next()) { carry_out(reader.words()); }
//         if (reader.refusal() != nullptr) { ... tell, and close ... }
//         const io_result got = co_await peer.read(reader.room());
//         if (got.ec) { co_return; }
//         reader.received(got.n);
//     }
//
// Whatever a client sends, a reader takes no more memory than `room_bytes` and twice the limit of a command, about. What is
// announced and too large is refused before it comes. Throws std::bad_alloc.
//
// Owns its buffers. One thread at a time. Source: redis.io/docs/reference/protocol-spec.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct redisReader;

namespace redis_example {

struct reader_limits {
    std::size_t argument_bytes = 64 * 1024;
    std::size_t arguments = 1024;            ///< With the command's name.
    std::size_t command_bytes = 256 * 1024;  ///< Of all arguments together.
    std::size_t line_bytes = 4096;           ///< Of an inline command.
};

class command_reader {
public:
    static constexpr std::size_t room_bytes = 16 * 1024;

    explicit command_reader(const reader_limits& limits = {});
    command_reader(const command_reader&) = delete;
    command_reader& operator=(const command_reader&) = delete;
    ~command_reader();

    /// Where the next bytes of the connection go. After next() has returned false, and unless something was refused.
    [[nodiscard]] std::span<std::byte> room() noexcept;

    /// Takes the first `n` bytes of room() as received.
    void received(std::size_t n) noexcept;

    /// Goes on to the next command. Returns false when there is none before more bytes come, or when there will be none.
    [[nodiscard]] bool next();

    /// The command's name and its arguments, one word at least; valid until next().
    [[nodiscard]] std::span<const std::string_view> words() const noexcept { return words_; }

    /// Why the bytes are no commands, from there on; null while they are.
    [[nodiscard]] const char* refusal() const noexcept { return refusal_; }

private:
    class parsing;
    struct reader_deleter {
        void operator()(redisReader* reader) const noexcept;
    };

    [[nodiscard]] std::size_t held() const noexcept;
    [[nodiscard]] char first_byte() const noexcept;
    void take_back();
    [[nodiscard]] bool take_line();
    [[nodiscard]] bool parse();
    void feed();
    void look_at_what_is_announced();
    void make_reader();

    const reader_limits limits_;
    std::unique_ptr<redisReader, reader_deleter> reader_;
    std::vector<std::byte> input_;
    std::size_t begin_ = 0;  // what the parser has not been given lies in input_ from here...
    std::size_t end_ = 0;    // ...to here
    std::string line_;       // the beginning of an inline command whose end has not come

    // The present command: the text of its words, and where each ends.
    std::string text_;
    std::vector<std::size_t> ends_;
    std::vector<std::string_view> words_;
    bool has_begun_ = false;  // its number of words is known
    const char* refusal_ = nullptr;
};

}  // namespace redis_example
