// SPDX-License-Identifier: BSD-3-Clause
// Rows of the fault matrix: files and pipes.
#include "fluxnet/runtime/sockets/byte_source.hpp"
#include "fluxnet/runtime/sockets/file.hpp"
#include "fluxnet/runtime/sockets/pipe.hpp"
#include "tests/runtime/fault_world.hpp"
#include "tests/runtime/file_tests.hpp"

#include <doctest/doctest.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace fluxnet::test {
namespace {

class open_world final : public fault_world {
public:
    explicit open_world(fault_place&) {}

    task<ending> await_once() override {
        const result<file> opened = co_await file::open("/dev/null");
        co_return opened ? ending::completed : ending_of(opened.error().code);
    }
    void complete() override {}
};

/// A file of more bytes than an executor's thread copies itself.
class file_world : public fault_world {
public:
    explicit file_world(fault_place&) {}

    void complete() override {}
    void let_go() noexcept override { file_.reset(); }

protected:
    static constexpr std::size_t size = 300'000;

    /// How a transfer of all of it ended.
    [[nodiscard]] static ending whole(const io_result& ended) noexcept {
        if (ended.n > size || (!ended.ec && ended.n != size)) { return ending::failed; }
        return ending_of(ended.ec);
    }

    std::optional<file> file_ = memory_file(std::string(size, 'x'));
    std::vector<std::byte> bytes_ = std::vector<std::byte>(size);
};

class read_at_world final : public file_world {
public:
    using file_world::file_world;
    task<ending> await_once() override {
        const io_result got = co_await file_->read_at(bytes_, 0);
        co_return whole(got);
    }
};

class write_at_world final : public file_world {
public:
    using file_world::file_world;
    task<ending> await_once() override {
        const io_result sent = co_await file_->write_at(bytes_, 0);
        co_return whole(sent);
    }
};

class read_on_world final : public file_world {
public:
    using file_world::file_world;
    task<ending> await_once() override {
        const std::uint64_t from = file_->position();
        const io_result got = co_await file_->read(bytes_);
        CHECK(file_->position() == from + got.n);
        file_->seek(0);
        co_return whole(got);
    }
};

class write_on_world final : public file_world {
public:
    using file_world::file_world;
    task<ending> await_once() override {
        const std::uint64_t from = file_->position();
        const io_result sent = co_await file_->write(bytes_);
        CHECK(file_->position() == from + sent.n);
        co_return whole(sent);
    }
};

class file_size_world final : public file_world {
public:
    using file_world::file_world;
    task<ending> await_once() override {
        const result<std::uint64_t> bytes = co_await file_->size();
        if (bytes && *bytes != size) { co_return ending::failed; }
        co_return bytes ? ending::completed : ending_of(bytes.error().code);
    }
};

/// What gives no value: one of the functions of a file.
template <task<wait_result> (*Function)(file&)>
class file_call_world final : public file_world {
public:
    using file_world::file_world;
    task<ending> await_once() override {
        const wait_result ended = co_await Function(*file_);
        co_return ending_of(ended);
    }
};

task<wait_result> sync_file(file& of) {
    return of.sync();
}
task<wait_result> sync_file_data(file& of) {
    return of.sync_data();
}
task<wait_result> cut_file(file& of) {
    return of.truncate(10);
}

class pipe_world : public fault_world {
public:
    explicit pipe_world(fault_place&) {
        auto made = make_pipe();
        out_.emplace(std::move(made->first));
        in_.emplace(std::move(made->second));
    }

protected:
    /// Takes all out of the pipe by plain calls; returns how many bytes.
    [[nodiscard]] std::size_t drain() const {
        std::array<char, 4096> bytes;
        std::size_t total = 0;
        REQUIRE(::fcntl(out_->fd(), F_SETFL, O_NONBLOCK) == 0);
        for (;;) {
            const ssize_t count = ::read(out_->fd(), bytes.data(), bytes.size());
            if (count <= 0) { break; }
            total += static_cast<std::size_t>(count);
        }
        REQUIRE(::fcntl(out_->fd(), F_SETFL, 0) == 0);
        return total;
    }

    std::optional<pipe_reader> out_;
    std::optional<pipe_writer> in_;
};

class pipe_read_world : public pipe_world {
public:
    using pipe_world::pipe_world;

    task<ending> await_once() override {
        std::array<std::byte, 4> room{};
        const io_result got = co_await read(room);
        read_ += got.n;
        if ((got.n != 0) == static_cast<bool>(got.ec)) { co_return ending::failed; }
        co_return ending_of(got.ec);
    }
    void complete() override { REQUIRE(::write(in_->fd(), "x", 1) == 1); }
    void check_handles(const fault_tally& tally) override {
        CHECK(drain() + read_ == static_cast<std::size_t>(tally.completions));
    }
    void let_go() noexcept override { out_.reset(); }

private:
    virtual task<io_result> read(std::span<std::byte> into) {
        const io_result got = co_await out_->read(into);
        co_return got;
    }

    std::size_t read_ = 0;
};

class source_read_world final : public pipe_read_world {
public:
    using pipe_read_world::pipe_read_world;
    void let_go() noexcept override { source_.reset(); }

private:
    task<io_result> read(std::span<std::byte> into) override { return source_->read(into); }

    std::optional<byte_source> source_ = byte_source::duplicate(out_->fd()).value();
};

class pipe_borrow_world final : public pipe_world {
public:
    using pipe_world::pipe_world;

    task<ending> await_once() override {
        const auto lent = co_await out_->read_borrowed();
        read_ += lent.buffer.size();
        if (lent.buffer.empty() != static_cast<bool>(lent.ec)) { co_return ending::failed; }
        co_return ending_of(lent.ec);
    }
    void complete() override { REQUIRE(::write(in_->fd(), "x", 1) == 1); }
    void check_handles(const fault_tally& tally) override {
        CHECK(drain() + read_ == static_cast<std::size_t>(tally.completions));
    }
    void let_go() noexcept override { out_.reset(); }

private:
    std::size_t read_ = 0;
};

/// A full pipe, of which complete() takes all; the await writes two bytes.
class pipe_write_world : public pipe_world {
public:
    explicit pipe_write_world(fault_place& place) : pipe_world(place) {
        const std::array<char, 4096> bytes{};
        REQUIRE(::fcntl(in_->fd(), F_SETFL, O_NONBLOCK) == 0);
        while (::write(in_->fd(), bytes.data(), bytes.size()) > 0) { filled_ += bytes.size(); }
        REQUIRE(::fcntl(in_->fd(), F_SETFL, 0) == 0);
    }

    task<ending> await_once() override {
        const std::array<std::byte, 2> two{};
        const io_result sent = co_await write(two);
        if (sent.n != (sent.ec ? 0U : 2U)) { co_return ending::failed; }
        co_return ending_of(sent.ec);
    }
    void complete() override { taken_ += drain(); }
    void check_handles(const fault_tally& tally) override {
        complete();
        CHECK(taken_ == filled_ + static_cast<std::size_t>(2 * tally.completed));
    }
    void let_go() noexcept override { in_.reset(); }

private:
    virtual task<io_result> write(std::span<const std::byte> from) {
        const io_result sent = co_await in_->write(from);
        co_return sent;
    }

    std::size_t filled_ = 0;
    std::size_t taken_ = 0;
};

class sink_write_world final : public pipe_write_world {
public:
    using pipe_write_world::pipe_write_world;
    void let_go() noexcept override { sink_.reset(); }

private:
    task<io_result> write(std::span<const std::byte> from) override { return sink_->write(from); }

    std::optional<byte_sink> sink_ = byte_sink::duplicate(in_->fd()).value();
};

/// A row of what ends by itself, soon, and may have ended before a stop is heard of.
template <class World>
[[nodiscard]] fault_entry file_row(const char* awaiter, const char* what) {
    return {.file = "file.hpp",
            .awaiter = awaiter,
            .what = what,
            .make = make_world<World>,
            .cancellable = false,
            .completes_by_itself = true,
            .needs_descriptor = true};
}

}  // namespace

std::span<const fault_entry> file_faults() {
    static const std::array all{
        file_row<open_world>("open", "a file that is opened"),
        file_row<read_at_world>("file::transfer_awaiter", "bytes at an offset of a file"),
        file_row<write_at_world>("file::transfer_awaiter", "bytes that are written at an offset of a file"),
        file_row<read_on_world>("file::transfer_awaiter", "the next bytes of a file"),
        file_row<write_on_world>("file::transfer_awaiter", "bytes that are written on in a file"),
        file_row<file_size_world>("size", "a file's size"),
        file_row<file_call_world<sync_file>>("sync", "a file that is kept"),
        file_row<file_call_world<sync_file_data>>("sync_data", "a file's bytes that are kept"),
        file_row<file_call_world<cut_file>>("truncate", "a file that is cut"),
        fault_entry{.file = "byte_source.hpp",
                    .awaiter = "read",
                    .what = "bytes of a standard stream",
                    .make = make_world<source_read_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "byte_source.hpp",
                    .awaiter = "write",
                    .what = "room in a standard stream",
                    .make = make_world<sink_write_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "pipe.hpp",
                    .awaiter = "pipe_reader::read_awaiter",
                    .what = "bytes of a pipe",
                    .make = make_world<pipe_read_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "pipe.hpp",
                    .awaiter = "pipe_reader::borrow_awaiter",
                    .what = "lent bytes of a pipe",
                    .make = make_world<pipe_borrow_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "pipe.hpp",
                    .awaiter = "pipe_writer::write_awaiter",
                    .what = "room in a pipe",
                    .make = make_world<pipe_write_world>,
                    .needs_descriptor = true},
    };
    return all;
}

}  // namespace fluxnet::test
