// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/simulation/detail/simulated_driver.hpp"

#include "fluxnet/xsk/base/detail/probe.hpp"
namespace fluxnet::detail {

void simulated_driver::start(simulated_socket& of) {
    of.sending.reserve(of.comp.writable());
}

void simulated_driver::kick_tx(simulated_socket& of) {
    if (!of.need_wakeup || !of.driver_awake) { wake(of); }
}

void simulated_driver::kick_rx(simulated_socket& of) {
    if (!of.starved) { return; }
    look_for_frames(of);
    if (temper_ == driver_temper::looks_again) { wake(of); }
}

void simulated_driver::wake(simulated_socket& of) {
    of.driver_awake = true;
    if (of.need_wakeup && temper_ == driver_temper::looks_again) { of.tx.set_needs_wakeup(false); }
    poll(of);
    if (of.driver_awake) { awake_(); }
}

void simulated_driver::poll(simulated_socket& of) {
    if (temper_ == driver_temper::looks_again) { look_for_frames(of); }
    for (const frame_addr sent : of.sending) { complete_(of, sent); }
    of.sending.clear();
    transmit(of);
    if (!of.sending.empty()) { return; }
    of.driver_awake = false;
    if (!of.need_wakeup || temper_ == driver_temper::waits_for_kicks) { return; }
    if (!of.tx.empty_with_flag_raised() && of.completion_room() != 0) {
        of.driver_awake = true;
        of.tx.set_needs_wakeup(false);
    }
}

void simulated_driver::raise_owed_flag(simulated_socket& of) noexcept {
    if (!of.owes_flag) { return; }
    of.owes_flag = false;
    probe<"driver: fill flag raised late">();
    of.fill.set_needs_wakeup(true);
}

void simulated_driver::transmit(simulated_socket& of) {
    if (of.tx.readable() == 0) { ++of.statistics.tx_ring_empty_descs; }
    for (std::uint32_t i = 0; i < batch && of.tx.readable() != 0 && of.completion_room() != 0; ++i) {
        const xdp_desc desc = of.tx.take();
        if (!of.valid(desc)) {
            ++of.statistics.tx_invalid_descs;  // and its frame does not come back
            continue;
        }
        send_(of, desc);
        of.sending.push_back(desc.addr);
    }
}

void simulated_driver::starve(simulated_socket& of) noexcept {
    if (!of.need_wakeup) { return; }
    of.starved = true;
    probe<"driver: ran out of frames">();
    if (temper_ == driver_temper::waits_for_kicks) {
        of.owes_flag = true;
        awake_();
        return;
    }
    if (!of.fill.empty_with_flag_raised()) { look_for_frames(of); }
}

void simulated_driver::look_for_frames(simulated_socket& of) noexcept {
    if (!of.starved || of.fill.readable() == 0) { return; }
    of.starved = of.owes_flag = false;
    of.fill.set_needs_wakeup(false);
}

}  // namespace fluxnet::detail
