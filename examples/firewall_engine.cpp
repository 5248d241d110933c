// SPDX-License-Identifier: BSD-3-Clause
// A firewall for IPv4 between two interfaces, on the engine: what its rules allow leaves by the other interface, unchanged
// and not copied; the rest is dropped. Usage:
// firewall_engine --interface A --interface B --rules FILE [--mode auto|native|generic] [--queue N]
//                 [--poller busy|adaptive|wait] [--duration SECONDS] [--quiet]
// SIGHUP reads the rules again (firewall/rules.hpp says how they are written), and a file with a mistake leaves the old ones
// in force; SIGUSR1 prints the counters, SIGINT and SIGTERM end it.
//
// It is transparent, as a cable is: hosts on both sides are in one subnet. So it has no addresses, and hears frames for
// others only when the interfaces let them through: ip link set NAME promisc on; ethtool -K NAME gro off lro off rxvlan off
#include "examples/command_line.hpp"
#include "examples/firewall/filter.hpp"
#include "examples/firewall/report.hpp"
#include "examples/opening_report.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/packets/engine.hpp"

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

using namespace fluxnet;
using namespace firewall;

struct settings {
    std::vector<std::string> interfaces;
    std::string file;
    xdp_mode mode = xdp_mode::automatic;
    std::uint32_t queue = 0;
    std::string poller = "adaptive";
    double seconds = 0;
    bool quiet = false;
};

static void declare(command_line& options, settings& given) {
    options.required("--interface", given.interfaces, "the two interfaces to stand between");
    options.expect("--interface", 2);
    options.required("--rules", given.file, "file of rules, read again on SIGHUP");
    options.mode(given.mode);
    options.optional("--queue", given.queue, "receive queue of both interfaces");
    options.choice("--poller", given.poller, "busy, adaptive or wait", {"busy", "adaptive", "wait"});
    options.optional("--duration", given.seconds, "seconds to run; until a signal when 0", {0.0, 1e9});
    options.flag("--quiet", given.quiet, "no line every second");
}

static void reload(filter& rules, const std::string& path) {
    auto next = rule_set::load(path);
    if (!next) {
        std::fprintf(stderr, "%s; keeping the %zu rules in force\n", next.error().message().c_str(), rules.rules().size());
        return;
    }
    rules.replace(std::move(*next));
    std::printf("reloaded: %zu rules\n", rules.rules().size());
}

/// Runs between batches, on the engine's own thread: no packet meets half of a set of rules, and no lock is needed.
static task<void> obey_signals(signal_set& signals, engine& loop, filter& rules, const std::string& path) {
    for (;;) {
        const int number = co_await signals.next();
        switch (number) {
            case SIGHUP: reload(rules, path); break;
            case SIGUSR1: print_counts(loop, rules); break;
            default: loop.stop(); co_return;
        }
        std::fflush(stdout);
    }
}

static task<void> stop_after(engine& loop, std::chrono::nanoseconds duration) {
    const std::error_code canceled = co_await sleep_for(duration);
    if (!canceled) { loop.stop(); }
}

static task<void> print_every_second(const filter& rules) {
    filter_counts before;
    for (;;) {
        const std::error_code canceled = co_await sleep_for(std::chrono::seconds(1));
        if (canceled) { co_return; }
        const filter_counts& now = rules.counts();
        std::printf("rx %llu/s passed %llu/s | total rx %llu passed %llu\n", 0ULL + now.frames - before.frames,
                    0ULL + now.passed() - before.passed(), 0ULL + now.frames, 0ULL + now.passed());
        std::fflush(stdout);
        before = now;
    }
}

int main(int argc, char** argv) try {
    settings given;
    command_line options(
        "A firewall between two interfaces: what its rules allow leaves by the other one, the rest is dropped");
    declare(options, given);
    options.parse(argc, argv);

    if (given.interfaces[0] == given.interfaces[1]) {
        return std::fprintf(stderr, "check --interface %s: it is named twice; name two\n", given.interfaces[0].c_str()), 1;
    }
    auto read = rule_set::load(given.file);
    if (!read) { return std::fprintf(stderr, "%s\n", read.error().message().c_str()), 1; }
    filter rules(std::move(*read));
    signal_set signals{SIGHUP, SIGUSR1, SIGINT, SIGTERM};
    std::vector<builder> ports;
    for (const std::string& name : given.interfaces) {
        ports.push_back(builder(name).mode(given.mode).queue(given.queue).tx_frames(0));  // what is sent has been received
    }
    const idle_policy idle{.how = given.poller == "busy"   ? poller::busy
                                  : given.poller == "wait" ? poller::wait
                                                           : poller::adaptive};
    auto opened = open_engine(ports, idle);
    if (!opened) { return std::fprintf(stderr, "%s\n", opened.error().message().c_str()), 1; }
    engine& loop = **opened;
    for (std::size_t i = 0; i < loop.ports(); ++i) { print_opening_report(loop.port(i).refusals(), loop.port(i).notes()); }
    std::printf("filtering between %s and %s queue %u by %zu rules: %s and %s XDP\n", given.interfaces[0].c_str(),
                given.interfaces[1].c_str(), given.queue, rules.rules().size(),
                name(loop.port(0).receiving().redirect()->mode()), name(loop.port(1).receiving().redirect()->mode()));
    std::fflush(stdout);

    loop.spawn(obey_signals(signals, loop, rules, given.file));
    if (given.seconds > 0) {
        loop.spawn(stop_after(loop, std::chrono::nanoseconds(static_cast<std::int64_t>(given.seconds * 1e9))));
    }
    if (!given.quiet) { loop.spawn(print_every_second(rules)); }
    const std::error_code failed = loop.run([&](packet_batch& batch) {
        const auto other_port = static_cast<std::uint8_t>(1 - batch.port());
        for (const packet_ref one : batch) {
            if (rules.passes(one.data())) { one.send(other_port); }
        }
    });

    print_counts(loop, rules);
    const bool whole = print_accounts(loop, rules);
    for (std::size_t i = 0; i < loop.ports(); ++i) {
        const std::error_code why = loop.port(i).failure();
        if (why) { std::fprintf(stderr, "stopped on %s: %s\n", given.interfaces[i].c_str(), why.message().c_str()); }
    }
    return whole && !failed ? 0 : 1;
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
