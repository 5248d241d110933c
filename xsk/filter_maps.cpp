// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/detail/filter_maps.hpp"

#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include <bpf/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

namespace fluxnet::detail {
namespace {

static_assert(packet_filter::most_rules == FLUX_MOST_RULES);
static_assert(packet_filter::most_extensions == FLUX_MOST_EXTENSIONS);
static_assert(FLUX_HIT_SLOTS >= 2 * FLUX_MOST_RULES);
static_assert(static_cast<int>(filter_verdict::redirect) == FLUX_REDIRECT);
static_assert(static_cast<int>(filter_verdict::pass) == FLUX_PASS);
static_assert(static_cast<int>(filter_verdict::drop) == FLUX_DROP);

void write_prefix(const ip_prefix& prefix, __u64 (&address)[2], __u64 (&mask)[2]) noexcept {
    std::array<std::uint8_t, 16> bits{};
    for (unsigned bit = 0; bit < prefix.length; ++bit) {
        bits[bit / 8] = static_cast<std::uint8_t>(bits[bit / 8] | 0x80U >> bit % 8);
    }
    std::memcpy(mask, bits.data(), sizeof mask);
    std::memcpy(address, prefix.address.data(), sizeof address);
}

}  // namespace

flux_rule compile(const filter_rule& rule) noexcept {
    flux_rule made{};
    made.verdict = static_cast<__u8>(rule.verdict);
    made.destination_last = made.source_last = 65535;
    const auto ask = [&made](__u64 mask, __u64 key) {
        made.mask |= mask;
        made.key |= key;
    };
    if (rule.ether_type) { ask(FLUX_KEY_ETHER_TYPE(0xffff), FLUX_KEY_ETHER_TYPE(*rule.ether_type)); }
    if (rule.ip_version) { ask(FLUX_KEY_VERSION(0xff), FLUX_KEY_VERSION(*rule.ip_version)); }
    if (rule.protocol) {
        // The bit that 4 and 6 have in common, and that a packet other than IP does not have: its protocol would read as 0.
        ask(FLUX_KEY_VERSION(4), FLUX_KEY_VERSION(4));
        ask(FLUX_KEY_PROTOCOL(0xff), FLUX_KEY_PROTOCOL(*rule.protocol));
    }
    if (rule.destination_ports) {
        made.destination_first = rule.destination_ports->first;
        made.destination_last = rule.destination_ports->last;
        ask(FLUX_KEY_PORTS, 0);
    }
    if (rule.source_ports) {
        made.source_first = rule.source_ports->first;
        made.source_last = rule.source_ports->last;
        ask(FLUX_KEY_PORTS, 0);
    }
    for (const auto* prefix : {&rule.destination, &rule.source}) {
        if (!*prefix) { continue; }
        // ARP's addresses are IPv4's, but it is no IP.
        if (rule.ether_type != 0x0806) { ask(FLUX_KEY_VERSION(0xff), FLUX_KEY_VERSION((*prefix)->version)); }
        ask(FLUX_KEY_ADDRESSES, 0);
    }
    if (rule.destination) { write_prefix(*rule.destination, made.destination, made.destination_mask); }
    if (rule.source) { write_prefix(*rule.source, made.source, made.source_mask); }
    return made;
}

filter_maps::~filter_maps() {
    if (hits_ != nullptr) { ::munmap(const_cast<flux_rule_hits*>(hits_), length_); }
}

int filter_maps::open(int filter, int hits, std::uint32_t cpus) noexcept {
    const std::size_t length = cpus * sizeof(flux_rule_hits);
    void* address = ::mmap(nullptr, length, PROT_READ, MAP_SHARED, hits, 0);
    if (address == MAP_FAILED) { return -errno; }
    filter_ = filter;
    hits_ = static_cast<const volatile flux_rule_hits*>(address);
    length_ = length;
    cpus_ = cpus;
    return 0;
}

std::uint64_t filter_maps::sum(std::uint16_t slot) const noexcept {
    std::uint64_t total = 0;
    for (std::uint32_t cpu = 0; cpu < cpus_; ++cpu) { total += hits_[cpu].of[slot]; }
    return total;
}

std::vector<filter_maps::counter> filter_maps::counters_for(const packet_filter& next) const {
    constexpr std::uint16_t none = FLUX_HIT_SLOTS;
    std::bitset<FLUX_HIT_SLOTS> taken;
    for (const counter& one : counters_) { taken.set(one.slot); }
    std::vector<counter> counters;
    std::vector<bool> kept(counters_.size());
    for (const filter_rule& rule : next.rules()) {
        counter found{none, 0};
        for (std::size_t i = 0; i < kept.size() && found.slot == none; ++i) {
            if (kept[i] || !(current_.rules()[i] == rule)) { continue; }
            kept[i] = true;
            found = counters_[i];
        }
        counters.push_back(found);
    }
    for (counter& one : counters) {
        if (one.slot != none) { continue; }
        one.slot = 0;
        while (taken[one.slot]) { ++one.slot; }
        taken.set(one.slot);
        one.zero = sum(one.slot);
    }
    return counters;
}

int filter_maps::put(const packet_filter& next) {
    const std::lock_guard lock(mutex_);
    packet_filter kept = next;
    std::vector<counter> counters = counters_for(next);
    const auto rules = std::make_unique<flux_rules>();
    rules->count = static_cast<__u32>(next.rules().size());
    for (std::size_t i = 0; i < counters.size(); ++i) {
        rules->rule[i] = compile(next.rules()[i]);
        rules->rule[i].slot = counters[i].slot;
    }
    const int made = above_streams(
        ::bpf_map_create(BPF_MAP_TYPE_ARRAY, "flux_generation", sizeof(__u32), sizeof(flux_rules), 1, nullptr));
    if (made < 0) { return -errno; }
    const __u32 only = 0;
    int r = ::bpf_map_update_elem(made, &only, rules.get(), BPF_ANY);
    if (r == 0) { r = ::bpf_map_update_elem(filter_, &only, &made, BPF_ANY); }
    ::close(made);  // the slot keeps it
    if (r < 0) { return r; }
    current_ = std::move(kept);
    counters_ = std::move(counters);
    return 0;
}

packet_filter filter_maps::current() const {
    const std::lock_guard lock(mutex_);
    return current_;
}

std::vector<std::pair<filter_rule, std::uint64_t>> filter_maps::count() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::pair<filter_rule, std::uint64_t>> counted;
    counted.reserve(counters_.size());
    for (std::size_t i = 0; i < counters_.size(); ++i) {
        counted.emplace_back(current_.rules()[i], sum(counters_[i].slot) - counters_[i].zero);
    }
    return counted;
}

}  // namespace fluxnet::detail
