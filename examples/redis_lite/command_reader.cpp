// SPDX-License-Identifier: BSD-3-Clause
#include "examples/redis_lite/command_reader.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <new>
#include <system_error>

#include <hiredis/read.h>

namespace redis_example {
namespace {

/// The parser is given its input in pieces of this size: what it holds of the last piece when an inline command follows is
/// taken back, and a client that mixes both kinds is to cause little copying by that.
constexpr std::size_t piece_bytes = 1024;

/// A length is never longer than this, with its line end.
constexpr std::size_t longest_number = 24;

constexpr const char* bad_length = "expected '$' and a length that is allowed";
constexpr const char* bad_count = "invalid multibulk length";
constexpr const char* not_a_string = "expected '$'";

bool is_same_name(std::string_view word, std::string_view lower) noexcept {
    const auto same = [](char left, char right) {
        return (left >= 'A' && left <= 'Z' ? left + ('a' - 'A') : left) == right;
    };
    return std::ranges::equal(word, lower, same);
}

}  // namespace

/// What the parser calls. It takes a null pointer for an error, and any other for an object; exceptions do not pass through
/// it, because it is C.
class command_reader::parsing {
public:
    static redisReplyObjectFunctions functions() noexcept {
        redisReplyObjectFunctions made{};
        made.createString = [](const redisReadTask* task, char* text, std::size_t length) -> void* {
            return reader_of(task).take_string(*task, {text, length});
        };
        made.createArray = [](const redisReadTask* task, auto count) -> void* {
            return reader_of(task).take_array(*task, static_cast<long long>(count));
        };
        made.createInteger = [](const redisReadTask* task, long long) -> void* {
            return reader_of(task).refuse(not_a_string);
        };
        made.createNil = [](const redisReadTask* task) -> void* {
            parsing each = reader_of(task);
            return task->parent == nullptr ? each.object() : each.refuse(bad_length);
        };
        made.freeObject = [](void*) {};
        return made;
    }

private:
    explicit parsing(command_reader& of) noexcept : of_(of) {}
    static parsing reader_of(const redisReadTask* task) noexcept {
        return parsing(*static_cast<command_reader*>(task->privdata));
    }

    [[nodiscard]] void* object() const noexcept { return &of_; }
    void* refuse(const char* why) noexcept {
        of_.refusal_ = why;
        return nullptr;
    }

    void* take_string(const redisReadTask& task, std::string_view text) noexcept {
        if (task.type != REDIS_REPLY_STRING) { return refuse(not_a_string); }
        const bool fits =
            text.size() <= of_.limits_.argument_bytes && text.size() <= of_.limits_.command_bytes - of_.text_.size();
        // The parser does not look at the line end, which is there.
        if (!fits || std::memcmp(text.data() + text.size(), "\r\n", 2) != 0) { return refuse(bad_length); }
        try {
            of_.text_.append(text);
            of_.ends_.push_back(of_.text_.size());
        } catch (const std::bad_alloc&) { return nullptr; }
        return object();
    }

    void* take_array(const redisReadTask& task, long long count) noexcept {
        if (task.parent != nullptr) { return refuse(not_a_string); }
        if (count < 0 || static_cast<unsigned long long>(count) > of_.limits_.arguments) { return refuse(bad_count); }
        of_.has_begun_ = true;
        return object();
    }

    command_reader& of_;
};

void command_reader::reader_deleter::operator()(redisReader* reader) const noexcept {
    redisReaderFree(reader);
}

command_reader::command_reader(const reader_limits& limits) : limits_(limits), input_(room_bytes) {
    make_reader();
}

command_reader::~command_reader() = default;

void command_reader::make_reader() {
    static redisReplyObjectFunctions functions = parsing::functions();
    reader_.reset();
    reader_.reset(redisReaderCreateWithFunctions(&functions));
    if (reader_ == nullptr) { throw std::bad_alloc(); }
    reader_->privdata = this;
}

std::span<std::byte> command_reader::room() noexcept {
    return input_;
}

void command_reader::received(std::size_t n) noexcept {
    begin_ = 0;
    end_ = n;
}

/// What the parser has been given and has not looked at.
std::size_t command_reader::held() const noexcept {
    return reader_->len - reader_->pos;
}

char command_reader::first_byte() const noexcept {
    return held() != 0 ? reader_->buf[reader_->pos] : std::to_integer<char>(input_[begin_]);
}

/// Takes back what the parser has not looked at, between two commands: it is the end of the last piece.
void command_reader::take_back() {
    if (held() == 0) { return; }
    begin_ -= held();
    make_reader();
}

void command_reader::feed() {
    const std::size_t count = std::min(piece_bytes, end_ - begin_);
    if (redisReaderFeed(reader_.get(), reinterpret_cast<const char*>(input_.data() + begin_), count) != REDIS_OK) {
        throw std::bad_alloc();
    }
    begin_ += count;
}

bool command_reader::next() {
    words_.clear();
    while (refusal_ == nullptr) {
        const bool is_between = reader_->ridx < 0;
        if (is_between && held() == 0 && begin_ == end_) { return false; }
        if (is_between && (!line_.empty() || first_byte() != '*')) {
            take_back();
            if (!take_line()) { return false; }
        } else if (!parse()) {
            if (refusal_ != nullptr || begin_ == end_) { return false; }
            feed();
            continue;
        }
        if (!words_.empty()) { return true; }
    }
    return false;
}

/// Returns whether the parser has come to the end of a command.
bool command_reader::parse() {
    if (held() == 0) { return false; }
    if (reader_->ridx < 0) {
        text_.clear();
        ends_.clear();
        has_begun_ = false;
    }
    void* whole = nullptr;
    if (redisReaderGetReply(reader_.get(), &whole) != REDIS_OK) {
        if (refusal_ == nullptr && reader_->err == REDIS_ERR_OOM) { throw std::bad_alloc(); }
        if (refusal_ == nullptr) { refusal_ = has_begun_ ? bad_length : bad_count; }
        return false;
    }
    if (whole == nullptr) {
        look_at_what_is_announced();
        return false;
    }
    std::size_t begin = 0;
    for (const std::size_t end : ends_) {
        words_.push_back(std::string_view(text_).substr(begin, end - begin));
        begin = end;
    }
    return true;
}

/// Refuses a string that is too large before it comes. What the parser holds begins behind the '*' or the '$'.
void command_reader::look_at_what_is_announced() {
    const std::string_view rest(reader_->buf + reader_->pos, held());
    const std::size_t end = rest.substr(0, longest_number).find("\r\n");
    if (end == std::string_view::npos) {
        if (rest.size() >= longest_number) { refusal_ = has_begun_ ? bad_length : bad_count; }
        return;
    }
    unsigned long long length = 0;
    const auto [at, failed] = std::from_chars(rest.data(), rest.data() + end, length);
    const bool is_number = failed == std::errc() && at != rest.data();
    if (!is_number || length > limits_.argument_bytes || length > limits_.command_bytes - text_.size()) {
        refusal_ = bad_length;
    }
}

/// Returns whether the end of an inline command was there. Its words may be none.
bool command_reader::take_line() {
    const auto* const bytes = reinterpret_cast<const char*>(input_.data());
    const std::string_view rest(bytes + begin_, end_ - begin_);
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    if (line_.size() + end > limits_.line_bytes) {
        refusal_ = "too big inline request";
        return false;
    }
    line_.append(rest.substr(0, end));
    begin_ += end;
    if (end == rest.size()) { return false; }
    ++begin_;
    text_ = line_;
    line_.clear();
    constexpr std::string_view blanks = " \t\r";
    for (std::size_t at = text_.find_first_not_of(blanks); at != std::string::npos;) {
        const std::size_t stop = std::min(text_.find_first_of(blanks, at), text_.size());
        words_.push_back(std::string_view(text_).substr(at, stop - at));
        at = text_.find_first_not_of(blanks, stop);
    }
    if (words_.size() > limits_.arguments) { refusal_ = "too many words"; }
    // A browser that was made to send a form here: its lines are not what somebody wanted done.
    if (!words_.empty() && (is_same_name(words_[0], "post") || is_same_name(words_[0], "host:"))) {
        refusal_ = "this is not HTTP";
    }
    if (refusal_ != nullptr) { words_.clear(); }
    return refusal_ == nullptr;
}

}  // namespace redis_example
