// SPDX-License-Identifier: BSD-3-Clause
// An echo server written by hand on liburing, as the designers of io_uring advise for one thread: SINGLE_ISSUER and
// DEFER_TASKRUN, one enter for each turn, a multi-shot accept that yields registered files, one multi-shot receive for each
// connection over a ring of provided buffers. A buffer is sent from where it was received and goes back to the ring when its
// send has ended. Two sends of one connection are never on their way together, for io_uring does not promise their order.
// Usage: echo_ring [--port N] [--registered-files 0] [--registered-ring 0]; runs until a signal ends it. The last two show
// what the registration of its sockets, and of its own ring, is worth.
#include "benchmarks/echo/program.hpp"

#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace {

using benchmark::fail;

constexpr unsigned buffer_count = 1024;
constexpr unsigned buffer_size = 1024;
constexpr unsigned most_connections = 4096;
constexpr std::uint16_t buffer_group = 0;
constexpr std::uint32_t none = ~0U;

enum class request : std::uint32_t { accept, receive, send, close };

/// Buffers that wait for the send before them, as a list over `ring_server::chunks_`.
struct connection {
    std::uint32_t first = none;  ///< the buffer being sent
    std::uint32_t last = none;
    bool ended = false;
};

struct chunk {
    std::uint32_t size = 0;
    std::uint32_t next = none;
};

/// What is registered with the kernel beforehand, so that it is not looked up and counted at each use.
struct registrations {
    bool files = true;
    bool ring = true;
};

class ring_server {
public:
    ring_server(int listener, registrations registered) : listener_(listener), registered_(registered) {
        open_ring();
        open_buffers();
        accept();
    }

    [[noreturn]] void run() {
        for (;;) {
            const int entered = io_uring_submit_and_wait(&ring_, 1);
            if (entered < 0 && entered != -EINTR) { fail("io_uring_enter", -entered); }
            unsigned head = 0;
            unsigned count = 0;
            io_uring_cqe* completion = nullptr;
            io_uring_for_each_cqe(&ring_, head, completion) {
                handle(*completion);
                ++count;
            }
            io_uring_cq_advance(&ring_, count);
            if (returned_ != 0) { give_back(); }
        }
    }

private:
    void open_ring() {
        io_uring_params about{};
        about.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
        about.cq_entries = 4 * buffer_count;
        int answer = io_uring_queue_init_params(buffer_count, &ring_, &about);
        if (answer < 0) { fail("io_uring_setup with DEFER_TASKRUN (Linux 6.1)", -answer); }
        answer = registered_.ring ? io_uring_register_ring_fd(&ring_) : 0;
        if (answer < 0) { fail("io_uring_register_ring_fd", -answer); }
        answer = registered_.files ? io_uring_register_files_sparse(&ring_, most_connections) : 0;
        if (answer < 0) { fail("io_uring_register_files_sparse", -answer); }
    }

    /// liburing 2.3 has no helper that makes the ring's memory.
    void open_buffers() {
        const std::size_t size = buffer_count * (sizeof(io_uring_buf) + buffer_size);
        void* const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (memory == MAP_FAILED) { fail("mmap", errno); }
        buffers_ = static_cast<io_uring_buf_ring*>(memory);
        bytes_ = static_cast<std::byte*>(memory) + buffer_count * sizeof(io_uring_buf);
        io_uring_buf_reg about{};
        about.ring_addr = reinterpret_cast<std::uintptr_t>(memory);
        about.ring_entries = buffer_count;
        about.bgid = buffer_group;
        const int answer = io_uring_register_buf_ring(&ring_, &about, 0);
        if (answer < 0) { fail("io_uring_register_buf_ring", -answer); }
        io_uring_buf_ring_init(buffers_);
        for (unsigned i = 0; i < buffer_count; ++i) { recycle(i); }
        give_back();
    }

    void recycle(std::uint32_t buffer) {
        io_uring_buf_ring_add(buffers_, bytes_ + std::size_t{buffer} * buffer_size, buffer_size,
                              static_cast<unsigned short>(buffer), io_uring_buf_ring_mask(buffer_count), returned_++);
    }

    /// Once for each turn; then those go on that found no buffer.
    void give_back() {
        io_uring_buf_ring_advance(buffers_, returned_);
        returned_ = 0;
        for (const std::uint32_t slot : starved_) { receive(slot); }
        starved_.clear();
    }

    io_uring_sqe* next_sqe() {
        io_uring_sqe* entry = io_uring_get_sqe(&ring_);
        if (entry == nullptr) {
            io_uring_submit(&ring_);
            entry = io_uring_get_sqe(&ring_);
        }
        if (entry == nullptr) { fail("io_uring_get_sqe", EBUSY); }
        return entry;
    }

    static void mark(io_uring_sqe* entry, request what, std::uint32_t slot) {
        io_uring_sqe_set_data64(entry, std::uint64_t{slot} << 32 | static_cast<std::uint32_t>(what));
    }

    void accept() {
        io_uring_sqe* const entry = next_sqe();
        if (registered_.files) {
            io_uring_prep_multishot_accept_direct(entry, listener_, nullptr, nullptr, 0);
        } else {
            io_uring_prep_multishot_accept(entry, listener_, nullptr, nullptr, SOCK_CLOEXEC);
        }
        mark(entry, request::accept, 0);
    }

    void receive(std::uint32_t slot) {
        io_uring_sqe* const entry = next_sqe();
        io_uring_prep_recv_multishot(entry, static_cast<int>(slot), nullptr, 0, 0);
        entry->flags = static_cast<std::uint8_t>(file_flag() | IOSQE_BUFFER_SELECT);
        entry->buf_group = buffer_group;
        mark(entry, request::receive, slot);
    }

    void send_first(std::uint32_t slot) {
        const std::uint32_t buffer = connections_[slot].first;
        io_uring_sqe* const entry = next_sqe();
        io_uring_prep_send(entry, static_cast<int>(slot), bytes_ + std::size_t{buffer} * buffer_size, chunks_[buffer].size,
                           MSG_WAITALL | MSG_NOSIGNAL);
        entry->flags = static_cast<std::uint8_t>(file_flag());
        mark(entry, request::send, slot);
    }

    [[nodiscard]] unsigned file_flag() const { return registered_.files ? IOSQE_FIXED_FILE : 0; }

    void handle(const io_uring_cqe& completion) {
        const auto slot = static_cast<std::uint32_t>(completion.user_data >> 32);
        switch (static_cast<request>(static_cast<std::uint32_t>(completion.user_data))) {
            case request::receive: received(slot, completion); break;
            case request::send: sent(slot, completion.res); break;
            case request::accept: accepted(completion); break;
            case request::close: break;
        }
    }

    void accepted(const io_uring_cqe& completion) {
        if (completion.res < 0) { fail("accept", -completion.res); }
        const auto slot = static_cast<std::uint32_t>(completion.res);
        if (slot >= most_connections) { fail("accept of a connection beyond the table", EMFILE); }
        connections_[slot] = connection{};
        receive(slot);
        if ((completion.flags & IORING_CQE_F_MORE) == 0) { accept(); }
    }

    void received(std::uint32_t slot, const io_uring_cqe& completion) {
        connection& peer = connections_[slot];
        if (completion.res == -ENOBUFS) {
            starved_.push_back(slot);
            return;
        }
        if (completion.res <= 0) {
            if ((completion.flags & IORING_CQE_F_BUFFER) != 0) { recycle(completion.flags >> IORING_CQE_BUFFER_SHIFT); }
            peer.ended = true;
            if (peer.first == none) { close(slot); }
            return;
        }
        const std::uint32_t buffer = completion.flags >> IORING_CQE_BUFFER_SHIFT;
        chunks_[buffer] = {static_cast<std::uint32_t>(completion.res), none};
        if (peer.first == none) {
            peer.first = peer.last = buffer;
            send_first(slot);
        } else {
            chunks_[peer.last].next = buffer;
            peer.last = buffer;
        }
        if ((completion.flags & IORING_CQE_F_MORE) == 0) { receive(slot); }
    }

    /// MSG_WAITALL: whatever was not sent whole has failed. The receive then ends by itself, for the connection is broken.
    void sent(std::uint32_t slot, int result) {
        connection& peer = connections_[slot];
        const std::uint32_t buffer = peer.first;
        const bool whole = result == static_cast<int>(chunks_[buffer].size);
        peer.first = chunks_[buffer].next;
        recycle(buffer);
        if (!whole) {
            for (; peer.first != none; peer.first = chunks_[peer.first].next) { recycle(peer.first); }
        }
        if (peer.first != none) {
            send_first(slot);
        } else if (peer.ended) {
            close(slot);
        }
    }

    void close(std::uint32_t slot) {
        io_uring_sqe* const entry = next_sqe();
        if (registered_.files) {
            io_uring_prep_close_direct(entry, slot);
        } else {
            io_uring_prep_close(entry, static_cast<int>(slot));
        }
        mark(entry, request::close, slot);
    }

    int listener_;
    const registrations registered_;
    io_uring ring_{};
    io_uring_buf_ring* buffers_ = nullptr;
    std::byte* bytes_ = nullptr;
    int returned_ = 0;  ///< buffers in the ring that the kernel has not been told of
    std::vector<std::uint32_t> starved_;
    std::vector<connection> connections_ = std::vector<connection>(most_connections);
    std::vector<chunk> chunks_ = std::vector<chunk>(buffer_count);
};

/// What is accepted inherits TCP_NODELAY from it.
int listen_on(std::uint16_t port) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0) { fail("socket", errno); }
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) { fail("bind", errno); }
    if (listen(listener, SOMAXCONN) != 0) { fail("listen", errno); }
    socklen_t size = sizeof address;
    if (getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) { fail("getsockname", errno); }
    benchmark::print_listening(ntohs(address.sin_port));
    return listener;
}

/// The kernel registers no more files than a process may open.
void allow_files() {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur >= most_connections) { return; }
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, most_connections);
    setrlimit(RLIMIT_NOFILE, &files);
}

}  // namespace

int main(int argc, char** argv) {
    const auto port = static_cast<std::uint16_t>(benchmark::number_after(argc, argv, "--port", 0, 65535));
    const registrations registered{benchmark::number_after(argc, argv, "--registered-files", 1, 1) != 0,
                                   benchmark::number_after(argc, argv, "--registered-ring", 1, 1) != 0};
    allow_files();
    ring_server(listen_on(port), registered).run();
}
