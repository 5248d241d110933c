// SPDX-License-Identifier: BSD-3-Clause
// The user's calls of a stack's connections.
#include "fluxnet/proto/tcp/stack.hpp"

namespace fluxnet::proto::tcp {

void stack::set_user(connection_handle which, std::uint64_t user) noexcept {
    if (slot* const one = held(which)) { one->user = user; }
}

std::size_t stack::write(connection_handle to, std::span<const std::byte> octets, time_point now) noexcept {
    slot* const one = held(to);
    if (one == nullptr) { return 0; }
    buffers_.serve(one->buffers);
    const std::size_t taken = one->c.write(octets, now);
    get_ready(*one);  // writing and reading are no events
    return taken;
}

bool stack::write_buffer(connection_handle to, const buffer& from, std::uint32_t length, time_point now) noexcept {
    slot* const one = held(to);
    if (one == nullptr || !buffers_.has_room_to_send(one->buffers)) { return false; }
    buffers_.serve(one->buffers);
    if (!one->c.write_buffer(from, length, now)) { return false; }
    buffers_.came();
    get_ready(*one);
    return true;
}

std::size_t stack::read(connection_handle from, std::span<std::byte> into, time_point now) noexcept {
    slot* const one = held(from);
    if (one == nullptr) { return 0; }
    buffers_.serve(one->buffers);
    const std::size_t taken = one->c.read(into, now);
    if (taken != 0) { get_ready(*one); }
    return taken;
}

std::optional<lent_range> stack::lend(connection_handle from, std::span<std::byte, 8> into) noexcept {
    slot* const one = held(from);
    if (one == nullptr) { return std::nullopt; }
    std::optional<lent_range> lent = one->c.lend(into);
    if (lent && lent->token != 0) {  // the buffer is the user's now
        buffers_.serve(one->buffers);
        buffers_.went();
    }
    return lent;
}

void stack::returned(connection_handle to, std::uint32_t octets, time_point now) noexcept {
    if (slot* const one = held(to)) {
        one->c.returned(octets, now);
        get_ready(*one);
    }
}

void stack::shutdown_write(connection_handle which, time_point now) noexcept {
    if (slot* const one = held(which)) {
        buffers_.serve(one->buffers);
        one->c.shutdown_write(now);
        settle(*one);
    }
}

void stack::abort(connection_handle which, time_point now) noexcept {
    if (slot* const one = held(which)) { abort(*one, now); }
}

void stack::set_no_delay(connection_handle which, bool on, time_point now) noexcept {
    if (slot* const one = held(which)) {
        one->c.set_no_delay(on, now);
        settle(*one);
    }
}

void stack::set_keep_alive(connection_handle which, bool on, time_point now) noexcept {
    if (slot* const one = held(which)) {
        one->c.set_keep_alive(on, now);
        settle(*one);
    }
}

void stack::trace_to(connection_handle which, trace_sink* sink) noexcept {
    if (slot* const one = held(which)) { one->c.trace_to(sink); }
}

const connection* stack::find(connection_handle which) const noexcept {
    const slot* const one = held(which);
    return one == nullptr ? nullptr : &one->c;
}

std::optional<four_tuple> stack::name_of(connection_handle which) const noexcept {
    const slot* const one = held(which);
    return one == nullptr ? std::nullopt : std::optional(one->name);
}

}  // namespace fluxnet::proto::tcp
