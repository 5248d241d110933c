// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/engine.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <numeric>
#include <string>

namespace fluxnet {

engine_port::engine_port(executor& on, system_sockets sockets, const batch_options& options, std::uint8_t number)
    : rx_(on, std::move(sockets.rx)), tx_(on, std::move(sockets.tx)), in_(&rx_.socket()), out_(&tx_.socket()),
      batch_(rx_.socket(), number), options_(options), refusals_(std::move(sockets.refusals)),
      notes_(std::move(sockets.notes)) {
    rx_.listen(true);
}

void engine_port::commit(std::span<fluxnet::tx* const> outs) noexcept {
    counts_.received.add(batch_.size());
    const packet_batch::outcome done = batch_.commit(outs);
    counts_.recycled.add(done.recycled);
    if ((done.sent | done.extracted | done.no_room | done.refused) == 0) [[likely]] { return; }
    counts_.sent.add(done.sent);
    counts_.extracted.add(done.extracted);
    counts_.no_room.add(done.no_room);
    counts_.refused.add(done.refused);
}

port_counts engine_port::counts() const noexcept {
    return {counts_.received.get(),  counts_.recycled.get(), counts_.sent.get(),
            counts_.extracted.get(), counts_.no_room.get(),  counts_.refused.get()};
}

std::error_code engine_port::failure() const noexcept {
    const std::error_code receiving = rx_.socket().failure();
    return receiving ? receiving : tx_.socket().failure();
}

result<std::uint8_t> engine::add_port(system_sockets sockets, const batch_options& options) {
    const std::string step = "add " + sockets.rx.interface().name + " queue " + std::to_string(sockets.rx.queue()) +
                             " to an engine as port " + std::to_string(ports_.size());
    if (!std::has_single_bit(options.size) || options.size > packet_batch::max_size) {
        return make_error(errc::invalid_option, step,
                          "the batch size " + std::to_string(options.size) + " is not a power of two from 1 to 64",
                          "use 64");
    }
    if (ports_.size() == max_ports) {
        return make_error(errc::invalid_option, step, "an engine has at most 64 ports", "use several engines");
    }
    if (!ports_.empty() && &sockets.rx.pool() != &ports_.front()->receiving().pool()) {
        return make_error(errc::invalid_option, step, "its UMEM is not that of the other ports",
                          "open all ports over one UMEM (builder::over)");
    }
    const auto number = static_cast<std::uint8_t>(ports_.size());
    outs_.reserve(ports_.size() + 1);
    ports_.push_back(std::make_unique<engine_port>(*this, std::move(sockets), options, number));
    outs_.push_back(&ports_.back()->sending());
    return number;
}

std::optional<std::uint8_t> engine::failed_port() const noexcept {
    const auto found = std::ranges::find_if(ports_, [](const auto& port) { return port->failed(); });
    if (found == ports_.end()) { return std::nullopt; }
    return static_cast<std::uint8_t>(found - ports_.begin());
}

std::uint32_t engine::credit_for(engine_port& port) noexcept {
    // Any packet may leave by any port.
    std::uint32_t room = port.options_.size;
    for (tx* const out : outs_) {
        if (out->credit() == 0) { out->flush(); }
        room = std::min(room, out->credit());
    }
    // The handle that has no room tries again by itself; packets here must not end the executor's sleep before.
    port.rx_.listen(room != 0);
    return room;
}

result<std::unique_ptr<engine>> open_engine(const builder& options, const idle_policy& idle, reactor_kind kind) {
    return open_engine(std::span(&options, 1), idle, kind);
}

result<std::unique_ptr<engine>> open_engine(std::span<const builder> ports, const idle_policy& idle, reactor_kind kind) {
    auto made = std::make_unique<engine>(idle, kind);
    if (ports.empty()) { return made; }
    builder all = ports.front();
    all.frames(std::accumulate(ports.begin(), ports.end(), 0U,
                               [](std::uint32_t sum, const builder& port) { return sum + port.memory().frame_count; }));
    auto memory = all.find_memory(1);
    if (!memory) { return memory.error(); }
    std::map<std::string, std::shared_ptr<program>> loaded;  // by interface: its queues share one
    for (const builder& options : ports) {
        builder port = options;
        std::shared_ptr<program>& shared = loaded[options.socket().interface];
        if (options.socket().attach && options.socket().shared_program == nullptr) { port.use_program(shared); }
        auto sockets = port.over(*memory).build_system();
        if (!sockets) { return sockets.error(); }
        if (sockets->rx.redirect() != nullptr) { shared = sockets->rx.redirect(); }
        auto added = made->add_port(std::move(*sockets), options.batching());
        if (!added) { return added.error(); }
    }
    return made;
}

}  // namespace fluxnet
