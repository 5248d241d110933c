// SPDX-License-Identifier: BSD-3-Clause
// Completion operations: what they tell, and what is left when they are ended at each moment of their life. Every case runs
// on io_uring and on epoll.
#include "fluxnet/runtime/reactor/io_operation.hpp"

#include "fluxnet/runtime/simulation/detail/virtual_reactor.hpp"
#include "tests/runtime/reactor_tests.hpp"
#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/open_descriptors.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using fluxnet::test::detail::file_descriptor;

static_assert(!std::is_copy_constructible_v<io_operation> && std::has_virtual_destructor_v<io_operation>);

namespace {

/// Remembers what it was told, closes what it accepted, and owns the buffer that the kernel uses.
class teller final : public io_operation {
public:
    teller() { ++alive; }
    ~teller() override { --alive; }

    void on_result(int result, unsigned flags) noexcept override {
        results.push_back(result);
        if ((flags & io_more) == 0) { ++ends; }
        if (accepts && result >= 0) { ::close(result); }
        if (then) { then(); }
    }

    static inline int alive = 0;
    bool accepts = false;
    int ends = 0;
    std::vector<int> results;
    std::vector<std::byte> buffer = std::vector<std::byte>(16);
    std::function<void()> then;
};

bool ends(reactor& tested, const teller& operation) {
    return turns_until(tested, [&] { return operation.ends != 0; });
}

struct pipe_pair {
    file_descriptor read;
    file_descriptor write;

    pipe_pair() {
        int made[2];
        REQUIRE(::pipe2(made, O_CLOEXEC) == 0);  // blocking, as operations want them
        read = file_descriptor{made[0]};
        write = file_descriptor{made[1]};
    }
    void put(const std::string& text) const {
        REQUIRE(::write(write.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    }
    void fill() const {
        REQUIRE(::fcntl(write.get(), F_SETPIPE_SZ, 4096) >= 0);
        REQUIRE(::fcntl(write.get(), F_SETFL, O_NONBLOCK) == 0);
        const std::array<char, 4096> bytes{};
        while (::write(write.get(), bytes.data(), bytes.size()) > 0) {}
        REQUIRE(::fcntl(write.get(), F_SETFL, 0) == 0);
    }
    void drain() const {
        std::array<char, 4096> bytes;
        REQUIRE(::read(read.get(), bytes.data(), bytes.size()) > 0);
    }
};

struct listening_socket {
    file_descriptor listener{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    std::vector<file_descriptor> clients;
    sockaddr_un address{};
    socklen_t size = sizeof address;

    listening_socket() {
        address.sun_family = AF_UNIX;
        auto* const generic = reinterpret_cast<sockaddr*>(&address);
        REQUIRE(::bind(listener.get(), generic, sizeof address.sun_family) == 0);  // the kernel picks a name
        REQUIRE(::listen(listener.get(), 1000) == 0);
        REQUIRE(::getsockname(listener.get(), generic, &size) == 0);
    }
    void connect() {
        clients.emplace_back(file_descriptor{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)});
        REQUIRE(::connect(clients.back().get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
    }
};

/// Something for each kind of request to do, and what makes it come due.
struct work {
    enum kind { read, write, accept, accept_many };

    explicit work(kind which) : which_(which) {
        if (which == write) { pipe_.fill(); }
    }
    void submit(reactor& to, teller& operation) const {
        operation.accepts = which_ == accept || which_ == accept_many;
        to.submit(operation, request(operation));
    }
    void make_due() {
        if (std::exchange(due_, true)) { return; }
        if (which_ == read) {
            pipe_.put("due");
        } else if (which_ == write) {
            pipe_.drain();
        } else {
            socket_.connect();
        }
    }

private:
    io_request request(teller& operation) const {
        switch (which_) {
            case read: return io_request::read(pipe_.read.get(), operation.buffer);
            case write: return io_request::write(pipe_.write.get(), operation.buffer);
            case accept: return io_request::accept(socket_.listener.get());
            default: return io_request::accept_many(socket_.listener.get());
        }
    }

    kind which_;
    bool due_ = false;
    pipe_pair pipe_;
    listening_socket socket_;
};

constexpr work::kind all_kinds[] = {work::read, work::write, work::accept, work::accept_many};

/// How far an operation has got.
enum class stage { submitted, held, due, queued };
constexpr stage all_stages[] = {stage::submitted, stage::held, stage::due, stage::queued};

void bring_to(stage when, reactor& tested, work& what, teller& operation) {
    what.submit(tested, operation);
    if (when == stage::submitted) { return; }
    tested.poll();
    REQUIRE(operation.results.empty());
    if (when == stage::held) { return; }
    what.make_due();
    if (when == stage::due) { return; }
    // Another one's cancel_now() takes the result out of the kernel, where the backend can.
    const work other_work(work::read);
    teller other;
    other_work.submit(tested, other);
    tested.cancel_now(other);
}

/// Runs `cell` for each kind at each moment, and finds out whether a descriptor or an operation is left.
template <class Cell>
void for_each_cell(reactor_kind kind, Cell cell) {
    for (const work::kind which : all_kinds) {
        for (const stage when : all_stages) {
            CAPTURE(static_cast<int>(which));
            CAPTURE(static_cast<int>(when));
            const std::ptrdiff_t before = open_descriptors();
            {
                work what(which);
                const auto tested = attached(kind);
                auto operation = std::make_unique<teller>();
                bring_to(when, *tested, what, *operation);
                cell(*tested, what, std::move(operation));
            }
            CHECK(teller::alive == 0);
            CHECK(open_descriptors() == before);
        }
    }
}

}  // namespace

FLUXNET_REACTOR_TEST("a read and a write tell how many bytes there were") {
    const auto tested = attached(kind);
    const pipe_pair pipe;
    teller reading;
    teller writing;
    tested->submit(reading, io_request::read(pipe.read.get(), reading.buffer));
    CHECK(reading.pending());
    tested->poll();
    CHECK(reading.results.empty());
    writing.buffer.assign(5, std::byte{'a'});
    tested->submit(writing, io_request::write(pipe.write.get(), writing.buffer));
    REQUIRE(ends(*tested, writing));
    REQUIRE(ends(*tested, reading));
    CHECK(writing.results == std::vector<int>{5});
    CHECK(reading.results == std::vector<int>{5});
    CHECK(reading.buffer[4] == std::byte{'a'});
    CHECK_FALSE(reading.pending());
    CHECK_FALSE(reading.is_linked());
}

FLUXNET_REACTOR_TEST("a file on a disk is read and written at an offset") {
    const auto tested = attached(kind);
    std::string name = (std::filesystem::temp_directory_path() / "fluxnet_io_XXXXXX").string();
    const file_descriptor file{::mkostemp(name.data(), O_CLOEXEC)};
    REQUIRE(file.get() >= 0);
    ::unlink(name.c_str());
    teller operation;
    operation.buffer.assign(4, std::byte{'b'});
    tested->submit(operation, io_request::write(file.get(), operation.buffer, 100));
    REQUIRE(ends(*tested, operation));
    operation.ends = 0;
    operation.buffer.assign(16, std::byte{});
    tested->submit(operation, io_request::read(file.get(), operation.buffer, 98));
    REQUIRE(ends(*tested, operation));
    CHECK(operation.results == std::vector<int>{4, 6});
    CHECK(operation.buffer[1] == std::byte{});
    CHECK(operation.buffer[2] == std::byte{'b'});
    operation.ends = 0;
    tested->submit(operation, io_request::read(file.get(), operation.buffer, 104));
    REQUIRE(ends(*tested, operation));
    CHECK(operation.results.back() == 0);
}

FLUXNET_REACTOR_TEST("a call that the kernel refuses tells its errno") {
    const auto tested = attached(kind);
    const pipe_pair pipe;
    teller bad_number;
    teller no_socket;
    tested->submit(bad_number, io_request::read(1'000'000, bad_number.buffer));
    tested->submit(no_socket, io_request::accept(pipe.write.get()));
    REQUIRE(ends(*tested, bad_number));
    REQUIRE(ends(*tested, no_socket));
    CHECK(bad_number.results == std::vector<int>{-EBADF});
    CHECK(no_socket.results == std::vector<int>{-ENOTSOCK});
}

FLUXNET_REACTOR_TEST("an accept of many tells of each connection until it is cancelled") {
    const std::ptrdiff_t before = open_descriptors();
    {
        const auto tested = attached(kind);
        listening_socket socket;
        teller operation;
        operation.accepts = true;
        tested->submit(operation, io_request::accept_many(socket.listener.get()));
        tested->poll();
        for (const std::size_t count : {1U, 2U, 40U}) {
            while (socket.clients.size() < count) { socket.connect(); }
            REQUIRE(turns_until(*tested, [&] { return operation.results.size() == count; }));
            CHECK(operation.ends == 0);
            CHECK(operation.pending());
        }
        tested->cancel(operation);
        REQUIRE(ends(*tested, operation));
        CHECK(operation.results.size() == 41);
        CHECK(operation.results.back() == -ECANCELED);
    }
    CHECK(open_descriptors() == before);
}

FLUXNET_REACTOR_TEST("an operation may be submitted again from its last result") {
    const auto tested = attached(kind);
    const pipe_pair pipe;
    teller operation;
    operation.then = [&] {
        CHECK_FALSE(operation.pending());
        if (operation.ends < 3) { tested->submit(operation, io_request::read(pipe.read.get(), operation.buffer)); }
    };
    tested->submit(operation, io_request::read(pipe.read.get(), operation.buffer));
    for (int round = 1; round <= 3; ++round) {
        pipe.put("x");
        CHECK(turns_until(*tested, [&] { return operation.ends == round; }));
    }
    CHECK_FALSE(operation.pending());
}

FLUXNET_REACTOR_TEST("more operations than the ring has entries can be submitted and cancelled") {
    const auto tested = attached(kind);
    const pipe_pair pipe;
    std::vector<teller> all(1500);
    for (teller& one : all) { tested->submit(one, io_request::read(pipe.read.get(), one.buffer)); }
    tested->poll();
    for (teller& one : all) { tested->cancel(one); }
    std::size_t ended = 0;
    CHECK(turns_until(*tested, [&] {
        ended = 0;
        for (const teller& one : all) { ended += one.results == std::vector<int>{-ECANCELED}; }
        return ended == all.size();
    }));
    CHECK(ended == all.size());
}

FLUXNET_REACTOR_TEST("a turn tells a bounded number of results and the next ones the rest") {
    const auto tested = attached(kind);
    const pipe_pair pipe;
    std::vector<teller> all(1500);
    const auto told = [&] {
        std::size_t count = 0;
        for (const teller& one : all) { count += one.results.size(); }
        return count;
    };
    for (teller& one : all) { tested->submit(one, io_request::read(1'000'000, one.buffer)); }
    std::size_t before = 0;
    for (int turns = 0; before != all.size(); ++turns) {
        REQUIRE(turns < 100);
        tested->poll();
        const std::size_t now = told();
        CHECK(now - before <= 512);
        before = now;
    }
    const prepared_wait prepared = tested->prepare_wait();
    CHECK_FALSE(prepared.ready);
    tested->finish_wait();
}

FLUXNET_REACTOR_TEST("a result ends the wait of a loop of others") {
    const auto tested = attached(kind);
    const pipe_pair pipe;
    teller operation;
    tested->submit(operation, io_request::read(pipe.read.get(), operation.buffer));
    for (int rounds = 0; tested->prepare_wait().ready; ++rounds) {
        REQUIRE(rounds < 100);
        tested->finish_wait();
    }
    pipe.put("x");
    const int fd = tested->prepare_wait().fd;
    pollfd waiting{fd, POLLIN, 0};
    int readable = -1;
    do { readable = ::poll(&waiting, 1, 10'000); } while (readable < 0);
    CHECK(readable == 1);
    tested->finish_wait();
    CHECK(operation.results == std::vector<int>{1});
}

FLUXNET_REACTOR_TEST("an operation outlives the thread that submitted it") {
    const auto tested = make_reactor(kind, reactor_threads::changing);
    const pipe_pair pipe;
    teller operation;
    std::thread([&] {
        tested->attach();
        tested->submit(operation, io_request::read(pipe.read.get(), operation.buffer));
        tested->poll();
    }).join();
    pipe.put("x");
    REQUIRE(ends(*tested, operation));
    CHECK(operation.results == std::vector<int>{1});
}

FLUXNET_REACTOR_TEST("an operation ended at any moment by coming due tells its result and leaves nothing") {
    for_each_cell(kind, [](reactor& tested, work& what, std::unique_ptr<teller> operation) {
        what.make_due();
        REQUIRE(turns_until(tested, [&] { return !operation->results.empty(); }));
        CHECK(operation->results.at(0) >= 0);
        if (operation->ends == 0) { tested.cancel(*operation); }
        REQUIRE(ends(tested, *operation));
        CHECK(operation->ends == 1);
    });
}

FLUXNET_REACTOR_TEST("an operation cancelled at any moment tells one end and leaves nothing") {
    for_each_cell(kind, [](reactor& tested, work&, std::unique_ptr<teller> operation) {
        tested.cancel(*operation);
        tested.cancel(*operation);
        REQUIRE(ends(tested, *operation));
        CHECK(operation->ends == 1);
        CHECK_FALSE(operation->pending());
        tested.cancel(*operation);
        tested.poll();
        CHECK(operation->ends == 1);
    });
}

FLUXNET_REACTOR_TEST("an operation cancelled now at any moment tells nothing more and leaves nothing") {
    for_each_cell(kind, [](reactor& tested, work& what, std::unique_ptr<teller> operation) {
        const std::size_t told = operation->results.size();
        tested.cancel_now(*operation);
        CHECK_FALSE(operation->pending());
        CHECK_FALSE(operation->is_linked());
        tested.poll();
        CHECK(operation->results.size() == told);
        // It may be used again, or go.
        operation->ends = 0;
        what.submit(tested, *operation);
        tested.cancel_now(*operation);
        operation.reset();
        tested.poll();
    });
}

FLUXNET_REACTOR_TEST("an operation adopted at any moment lives until its last completion and leaves nothing") {
    for_each_cell(kind, [](reactor& tested, work& what, std::unique_ptr<teller> operation) {
        teller& kept = *operation;
        what.make_due();
        const bool pending = kept.pending();
        if (pending) { tested.cancel(kept); }
        tested.adopt(std::move(operation));
        CHECK(teller::alive == (pending ? 1 : 0));
        CHECK(turns_until(tested, [] { return teller::alive == 0; }));
    });
}

FLUXNET_REACTOR_TEST("a reactor shut down at any moment of an operation drops it and leaves nothing") {
    for_each_cell(kind, [](reactor& tested, work&, std::unique_ptr<teller> operation) {
        const std::size_t told = operation->results.size();
        tested.shut_down();
        CHECK_FALSE(operation->pending());
        CHECK_FALSE(operation->is_linked());
        CHECK(operation->results.size() == told);
    });
}

FLUXNET_REACTOR_TEST("a reactor destroyed at any moment of an adopted operation destroys it too and leaves nothing") {
    for_each_cell(kind, [](reactor& tested, work&, std::unique_ptr<teller> operation) {
        tested.adopt(std::move(operation));  // for_each_cell() destroys the reactor, and then counts
    });
}

TEST_CASE("virtual time refuses every operation by name") {
    const auto tested = fluxnet::detail::make_virtual_reactor();
    tested->attach();
    const pipe_pair pipe;
    teller operation;
    teller dropped;
    tested->submit(operation, io_request::read(pipe.read.get(), operation.buffer));
    tested->submit(dropped, io_request::accept(pipe.read.get()));
    CHECK(operation.pending());
    CHECK(tested->prepare_wait().ready);
    CHECK(tested->prepare_wait().fd == -1);
    tested->cancel_now(dropped);
    tested->finish_wait();
    CHECK(operation.results == std::vector<int>{io_operation::refused});
    CHECK_FALSE(operation.pending());
    CHECK(dropped.results.empty());
}
