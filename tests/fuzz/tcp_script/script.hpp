// SPDX-License-Identifier: BSD-3-Clause
// `run_script()`: runs a script for two TCP stacks: any octets. Returns a digest of all that has happened; throws
// broken_promise where something does not hold that has to.
//
// The first eight octets make a `script_profile`. Each step is an octet, the highest bit of which names the host, and the
// others what happens (see `deed`), and as many octets more as that takes. After the last step, the users behave and the
// wire is left alone: each connection has to come to an end, unless segments were forged. Then all are aborted, and nothing
// may be left.
//
// Threads: one at a time.
#pragma once

#include "tests/fuzz/tcp_script/forgery.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tcp_script {

/// What a step does, and the octets that follow it.
enum class deed : std::uint8_t {
    connect,         ///< ports
    listen,          ///< port, backlog and queue
    close_listener,  ///< which
    accept,
    write,           ///< which, how much
    write_buffer,    ///< which, how much
    read,            ///< which, how much
    lend,            ///< which
    give_back,       ///< which
    shutdown,        ///< which
    abort,           ///< which
    release,         ///< which and how
    no_delay,        ///< which and whether
    keep_alive,      ///< which and whether
    serve,           ///< Accepts and reads whatever there is.
    deliver,         ///< The next segment to the host.
    deliver_burst,   ///< how many, before the host may send
    drop,
    duplicate,
    put_last,        ///< The next segment comes after all others.
    flip,            ///< what, value
    forge,           ///< pretext, flags, sequence, acknowledgment, options, SACK blocks, sizes
    icmp,            ///< what, value
    pass_time,       ///< how long; nothing is delivered
    reach_deadline,
    exchange,        ///< All is delivered until nothing is under way.
    run,             ///< for how long, on a wire that is left alone
    pour,            ///< which and how much at a time, four octets of mishaps: one writes, the other reads
    scarcity,        ///< how many buffers more can be had; the highest choices: all
    withhold,        ///< whether
    abort_all,
    count,
};

/// Names a deed as its enumerator is called.
[[nodiscard]] inline const char* name(deed what) {
    static constexpr std::array<const char*, static_cast<std::size_t>(deed::count)> names{
        "connect", "listen", "close_listener", "accept", "write", "write_buffer", "read", "lend", "give_back", "shutdown",
        "abort", "release", "no_delay", "keep_alive", "serve", "deliver", "deliver_burst", "drop", "duplicate", "put_last",
        "flip", "forge", "icmp", "pass_time", "reach_deadline", "exchange", "run", "pour", "scarcity", "withhold",
        "abort_all"};
    return names[static_cast<std::size_t>(what)];
}

/// How many octets follow that of a step.
[[nodiscard]] inline std::size_t octets_of(deed what) {
    switch (what) {
        case deed::accept: case deed::serve: case deed::deliver: case deed::drop: case deed::duplicate: case deed::put_last:
        case deed::reach_deadline: case deed::exchange: case deed::abort_all: case deed::count: return 0;
        case deed::write: case deed::write_buffer: case deed::read: case deed::flip: case deed::icmp: return 2;
        case deed::pour: return 5;
        case deed::forge: return 7;
        default: return 1;
    }
}

class script {
public:
    explicit script(std::span<const std::uint8_t> octets) : input_(octets), wire_(script_profile::read(input_)) {}

    std::uint64_t run() {
        for (unsigned steps = 0; !input_.empty() && steps != most_steps && wire_.frames < most_frames; ++steps) {
            do_step();
            wire_.flush();
        }
        narrator::tell_step(wire_.now, 0, "both behave");
        behave();
        narrator::tell_step(wire_.now, 0, "all is aborted");
        finish();
        wire_.sum.add(wire_.frames);
        return wire_.sum.value();
    }

private:
    static constexpr unsigned most_steps = 200;
    static constexpr std::size_t most_frames = 4000;

    static constexpr std::array<nanoseconds, 16> lengths{0ns,   100us, 1ms, 5ms, 20ms, 41ms, 100ms, 201ms,
                                                         500ms, 1s,    2s,  5s,  20s,  61s,  130s,  1h};
    static constexpr std::array<std::uint16_t, 8> amounts{1, 2, 10, 100, 500, 1460, 3000, 4096};

    void do_step() {
        const std::uint8_t octet = input_.take8();
        const unsigned which = octet >> 7;
        const auto what = static_cast<deed>((octet & 0x7f) % static_cast<unsigned>(deed::count));
        narrator::tell_step(wire_.now, which, name(what));
        if (what <= deed::serve) { return do_call(wire_.hosts[which], what); }
        if (what <= deed::icmp) { return do_to_segments(which, what); }
        do_to_all(which, what);
    }

    void open(script_host& at, deed what) {
        const std::uint8_t choice = input_.take8();
        if (what == deed::connect) {
            const unsigned peer = &at == &wire_.hosts[0] ? 1 : 0;
            const std::array<std::uint16_t, 4> ports{client_port, 0, 1001, server_port};
            const std::array<std::uint16_t, 4> theirs{server_port, 81, client_port, 1001};
            at.connect(wire_.hosts[peer].profile.address, ports[choice % 4], theirs[choice >> 2 & 3]);
        } else if (what == deed::listen) {
            at.listen(static_cast<std::uint16_t>(server_port + choice % 2), 1U + (choice >> 1 & 3), 3U - (choice >> 3 & 3));
        } else {
            at.close_listener(choice);
        }
    }

    void do_call(script_host& at, deed what) {
        if (what <= deed::close_listener) { return open(at, what); }
        if (what == deed::accept) { return void(at.accept()); }
        if (what == deed::serve) { return serve(at); }
        const std::uint8_t choice = input_.take8();
        const bool has_amount = what == deed::write || what == deed::write_buffer || what == deed::read;
        const std::uint8_t amount = has_amount ? input_.take8() : std::uint8_t{0};
        const std::uint32_t octets = amounts[amount % amounts.size()] + amount / 16U;
        if (at.held.empty()) { return; }
        const std::size_t which = choice % at.held.size();
        const bool on = (choice & 0x80) == 0;
        held_connection& one = at.held[which];
        switch (what) {
            case deed::write: at.write(which, octets); break;
            case deed::write_buffer: at.write_buffer(which, octets); break;
            case deed::read: at.read(which, octets); break;
            case deed::lend: at.lend(which); break;
            case deed::give_back: at.give_back(one); break;
            case deed::shutdown: at.shutdown(which); break;
            case deed::abort: at.abort(which); break;
            case deed::release: at.release(which, on ? tcp::leaving::in_order : tcp::leaving::at_once); break;
            case deed::no_delay: at.stack.set_no_delay(one.handle, on, at.now); break;
            default: at.stack.set_keep_alive(one.handle, on, at.now); break;
        }
    }

    void do_to_segments(unsigned to, deed what) {
        auto& way = wire_.flying[to];
        switch (what) {
            case deed::deliver: wire_.deliver(to); break;
            case deed::deliver_burst:
                for (unsigned left = 1U + input_.take8() % 16; left != 0; --left) { wire_.deliver(to); }
                break;
            case deed::drop:
                if (!way.empty()) { way.pop_front(); }
                break;
            case deed::duplicate:
                if (!way.empty()) { way.push_front(way.front()); }
                break;
            case deed::put_last:
                if (way.size() > 1) {
                    way.push_back(way.front());
                    way.pop_front();
                }
                break;
            case deed::flip: flip(wire_, to, input_); break;
            case deed::forge: forge(wire_, to, input_); break;
            default: tell_icmp(wire_, to, input_); break;
        }
    }

    void do_to_all(unsigned which, deed what) {
        script_host& at = wire_.hosts[which];
        switch (what) {
            case deed::pass_time: pass(wire_.now + lengths[input_.take8() % lengths.size()]); break;
            case deed::reach_deadline:
                if (const auto due = at.deadline()) { pass(std::max(*due, wire_.now)); }
                break;
            case deed::exchange: wire_.exchange(); break;
            case deed::run: run_for(lengths[input_.take8() % lengths.size()]); break;
            case deed::pour: pour(which); break;
            case deed::scarcity: {
                const std::uint8_t more = input_.take8();
                at.buffers.limit = more > 127 ? script_buffers::count : at.buffers.out() + more % 8;
                break;
            }
            case deed::withhold: wire_.withhold(which, (input_.take8() & 1) != 0); break;
            default:
                at.stack.abort_all(at.now);
                for (std::size_t i = 0; i != at.held.size(); ++i) { at.note_shut(i); }
                break;
        }
    }

    /// Lets time pass, in which nothing arrives and what falls due is done.
    void pass(time_point at) {
        for (unsigned left = 100; left != 0; --left) {
            const time_point next = std::min(wire_.next_deadline(), at);
            wire_.go_to(std::max(wire_.now, next));
            for (script_host& one : wire_.hosts) { one.stack.advance(one.now); }
            if (next == at) { return; }
            wire_.flush();
        }
    }

    void run_for(nanoseconds length) {
        const time_point stop = wire_.now + length;
        wire_.flush();
        for (unsigned left = 200; left != 0; --left) {
            if (!wire_.step(stop)) { return pass(stop); }
        }
    }

    void pour(unsigned from) {
        const std::uint8_t choice = input_.take8();
        wire_.mishaps = input_.take32();
        const std::uint32_t octets = amounts[choice >> 5];
        const time_point stop = wire_.now + 10s;
        for (unsigned left = 60; left != 0; --left) {
            script_host& writer = wire_.hosts[from];
            if (!writer.held.empty()) { writer.write(choice % writer.held.size(), octets); }
            serve(wire_.hosts[1 - from]);
            wire_.send();
            if (!wire_.step(stop)) { break; }
        }
        wire_.mishaps = 0;
    }

    static void serve(script_host& at) {
        while (at.accept()) {}
        for (std::size_t i = 0; i != at.held.size(); ++i) {
            at.give_back(at.held[i]);
            while (at.read(i, 4096) != 0) {}
        }
    }

    /// The users behave from now on, and nobody disturbs the wire.
    void behave() {
        for (script_host& one : wire_.hosts) {
            one.buffers.limit = script_buffers::count;
            one.withholds = false;
        }
        const bool forged = wire_.streams.uncertain;
        const time_point latest = wire_.now + 300s;
        std::uint64_t far = 0;
        time_point since = wire_.now;
        const unsigned turns = forged ? 200 : 5000;
        const auto under_way = static_cast<unsigned>(wire_.flying[0].size() + wire_.flying[1].size());
        for (unsigned left = turns + 3 * under_way; !is_over(); --left) {
            if (left <= turns && left % 100 == 0) {  // what was under way has arrived, and has been answered
                const std::uint64_t further = wire_.hosts[0].progress() + wire_.hosts[1].progress();
                promise(further != far || wire_.now - since > 100ms, "segments do not answer each other without end");
                far = further;
                since = wire_.now;
            }
            for (script_host& one : wire_.hosts) {
                serve(one);
                for (std::size_t i = 0; i != one.held.size(); ++i) { wind_up(one, i); }
            }
            wire_.send();
            if (is_over() || (forged && left == 0)) { break; }
            promise(left != 0, "not for ever segments are sent");
            if (wire_.step(latest)) { continue; }
            if (forged || is_over()) { break; }
            promise(false, "each connection comes to an end");
        }
        if (!forged) { compare(); }
    }

    static void wind_up(script_host& at, std::size_t which) {
        held_connection& one = at.held[which];
        if (one.winds_up) { return; }
        one.winds_up = true;
        at.shutdown(which);
        at.stack.set_keep_alive(one.handle, true, at.now);  // a peer that is gone is noticed so
    }

    [[nodiscard]] bool is_over() const {
        for (const script_host& one : wire_.hosts) {
            for (const held_connection& held : one.held) {
                if (!held.winds_up || one.stack.find(held.handle)->state() != tcp::state::closed) { return false; }
            }
        }
        return true;
    }

    /// Where both ends say that a connection was closed in order, all that was written has been read.
    void compare() {
        for (unsigned i = 0; i != 2; ++i) {
            const script_host& at = wire_.hosts[i];
            for (const held_connection& one : at.held) { at.expect_all_read(one, wire_.hosts[1 - i]); }
        }
    }

    /// Ends everything at once.
    void finish() {
        for (script_host& one : wire_.hosts) {
            while (!one.listeners.empty()) { one.close_listener(0); }
            while (!one.held.empty()) { one.release(0, tcp::leaving::at_once); }
            one.stack.abort_all(one.now);
        }
        wire_.flush();
        for (unsigned left = 500;; --left) {
            wire_.flying[0].clear();
            wire_.flying[1].clear();
            if (!wire_.step(time_point::max())) { break; }
            promise(left != 0, "what is left comes to an end by itself");
        }
        for (const script_host& one : wire_.hosts) { one.expect_nothing_left(); }
    }

    script_input input_;
    script_wire wire_;
};

/// Runs a script; equal scripts give equal digests.
inline std::uint64_t run_script(std::span<const std::uint8_t> octets) {
    return script(octets).run();
}

}  // namespace tcp_script
