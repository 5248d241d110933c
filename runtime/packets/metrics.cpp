// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/metrics.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace fluxnet {
namespace {

/// How many octets the character takes with which a text begins; 0 where that is no UTF-8 (RFC 3629 section 4).
std::size_t character_length(std::string_view text) {
    const auto octet = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
    const unsigned first = octet(0);
    if (first < 0x80) { return 1; }
    const std::size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (length == 0 || length > text.size()) { return 0; }
    // Of some first octets not all second ones follow: those of longer forms, of surrogates and of what is beyond Unicode.
    const unsigned least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const unsigned most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (octet(1) < least || octet(1) > most) { return 0; }
    for (std::size_t at = 2; at != length; ++at) {
        if (octet(at) < 0x80 || octet(at) > 0xbf) { return 0; }
    }
    return length;
}

/// A label's value, or a help: backslash and line feed are escaped, and in a value the quote; octets that are no UTF-8 are
/// replaced, since whoever reads the page would refuse all of it.
std::string escaped(std::string_view plain, bool quotes) {
    std::string text;
    while (!plain.empty()) {
        const std::size_t length = character_length(plain);
        const char c = plain.front();
        if (c == '\\' || (c == '"' && quotes)) { text += '\\'; }
        if (length == 0) {
            text += "\xef\xbf\xbd";  // U+FFFD
        } else if (c == '\n') {
            text += "\\n";
        } else {
            text += plain.substr(0, length);
        }
        plain.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return text;
}

double ratio(std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

/// Whether Prometheus takes it as a name.
bool is_name(std::string_view name, bool may_have_colons) {
    const auto letter = [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c == ':' && may_have_colons);
    };
    return !name.empty() && letter(name.front()) &&
           std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

void require_names(std::string_view family, std::initializer_list<metrics::label> labels) {
    if (!is_name(family, true)) {
        throw std::invalid_argument("metrics: no name of a family: '" + std::string(family) + "'; use one like orders_total");
    }
    for (const metrics::label& one : labels) {
        if (!is_name(one.name, false) || one.name.starts_with("__")) {
            throw std::invalid_argument("metrics: no name of a label of " + std::string(family) + ": '" +
                                        std::string(one.name) + "'; use one like side");
        }
        if (std::ranges::count(labels, one.name, &metrics::label::name) != 1) {
            throw std::invalid_argument("metrics: a sample of " + std::string(family) + " has the label " +
                                        std::string(one.name) + " twice; leave one out");
        }
    }
}

/// The shortest text that reads back as the number.
template <class Number>
class number_text {
public:
    explicit number_text(Number value) : end_(std::to_chars(text_, text_ + sizeof text_, value).ptr) {}
    operator std::string_view() const { return {text_, end_}; }  // NOLINT(google-explicit-constructor): is one

private:
    char text_[32];
    char* end_;
};

}  // namespace

void metrics::sample(std::string_view name, std::string_view help, kind type, std::initializer_list<label> labels,
                     std::string_view number) {
    auto found = std::ranges::find(families_, name, &family::name);
    if (found == families_.end()) {
        found = families_.insert(families_.end(), {std::string(name), escaped(help, false), type, {}, {}});
    }
    if (found->type != type) {
        throw std::invalid_argument("metrics: " + std::string(name) + " is a counter and a gauge; give one another name");
    }
    std::vector<std::string> pairs;
    for (const label& one : labels) { pairs.push_back(std::string(one.name) + "=\"" + escaped(one.value, true) + '"'); }
    const auto joined = [&pairs] {
        std::string text;
        for (const std::string& one : pairs) { text.append(text.empty() ? "{" : ",").append(one); }
        return pairs.empty() ? text : text + '}';
    };
    const std::string written = std::string(name) + joined();
    std::ranges::sort(pairs);  // their order tells no samples apart
    if (!found->keys.insert(joined()).second) {
        throw std::invalid_argument("metrics: the sample " + written + " is there already; tell them apart by a label");
    }
    found->samples.append(written).append(" ").append(number).append("\n");
}

void metrics::add_counter(std::string_view family, std::string_view help, std::uint64_t value,
                          std::initializer_list<label> labels) {
    require_names(family, labels);
    sample(family, help, kind::counter, labels, number_text(value));
}

void metrics::add_gauge(std::string_view family, std::string_view help, double value,
                        std::initializer_list<label> labels) {
    require_names(family, labels);
    if (std::isnan(value)) { return sample(family, help, kind::gauge, labels, "NaN"); }
    if (std::isinf(value)) { return sample(family, help, kind::gauge, labels, value > 0 ? "+Inf" : "-Inf"); }
    sample(family, help, kind::gauge, labels, number_text(value));
}

void metrics::add(std::string_view name, const executor& from) {
    const auto count = [&](std::string_view family, std::string_view help, std::uint64_t value) {
        add_counter(family, help, value, {{"executor", name}});
    };
    count("fluxnet_executor_turns_total", "Rounds of the run loop.", from.turns());
    count("fluxnet_executor_sleeps_total", "Times it slept in the kernel.", from.sleeps());
    count("fluxnet_executor_spins_total", "Rounds that found nothing to do and did not sleep.", from.spins());
    count("fluxnet_executor_resumptions_total", "Coroutines and other nodes resumed.", from.resumptions());
    count("fluxnet_executor_completions_total", "Operations of the reactor that fired.", from.reactor_completions());
}

void metrics::add(std::string_view name, const async_rx& from) {
    const rx& socket = from.socket();
    const std::uint64_t packets = socket.home().received();
    add_counter("fluxnet_rx_packets_total", "Packets received.", packets, {{"socket", name}});
    add_counter("fluxnet_rx_wakeups_total", "Times that arriving packets woke the executor.", from.wakeups(),
                {{"socket", name}});
    add_gauge("fluxnet_rx_packets_per_wakeup", "Packets received for each wake-up.", ratio(packets, from.wakeups()),
              {{"socket", name}});
    const socket_statistics kernel = socket.statistics();
    for (const auto& [reason, value] :
         {std::pair<std::string_view, std::uint64_t>{"too_large_or_dropped", kernel.rx_dropped},
          {"rx_ring_full", kernel.rx_ring_full},
          {"fill_ring_empty", kernel.fill_ring_empty}}) {
        add_counter("fluxnet_rx_kernel_drops_total", "Packets that the kernel dropped, by reason.", value,
                    {{"socket", name}, {"reason", reason}});
    }
}

void metrics::add(std::string_view name, const async_tx& from) {
    const tx& socket = from.socket();
    add_gauge("fluxnet_tx_in_flight", "Packets queued or taken whose frames have not come back.", socket.in_flight(),
              {{"socket", name}});
    add_counter("fluxnet_tx_kernel_drops_total", "Packets that the kernel dropped instead of sending them.",
                socket.dropped_by_kernel(), {{"socket", name}});
}

void metrics::add(std::string_view name, const engine_port& from) {
    const port_counts counts = from.counts();
    for (const auto& [outcome, value] : {std::pair<std::string_view, std::uint64_t>{"recycled", counts.recycled},
                                         {"sent", counts.sent},
                                         {"extracted", counts.extracted}}) {
        add_counter("fluxnet_port_packets_total", "Packets received by the port, by what became of them.", value,
                    {{"port", name}, {"outcome", outcome}});
    }
    for (const auto& [reason, value] :
         {std::pair<std::string_view, std::uint64_t>{"no_room", counts.no_room}, {"refused", counts.refused}}) {
        add_counter("fluxnet_port_drops_total", "Packets that were to be sent and were recycled, by reason.", value,
                    {{"port", name}, {"reason", reason}});
    }
}

void metrics::add(std::string_view name, frame_pool& from) {
    const frame_census census = from.census();
    for (const auto& [state, value] : {std::pair<std::string_view, std::int64_t>{"free", census.free},
                                       {"fill", census.fill},
                                       {"rx", census.rx},
                                       {"tx", census.tx},
                                       {"completion", census.completion},
                                       {"user", census.user}}) {
        add_gauge("fluxnet_frames", "Frames of the UMEM, by where they are.", static_cast<double>(value),
                  {{"umem", name}, {"state", state}});
    }
}

std::string metrics::text() const {
    std::string all;
    for (const family& one : families_) {
        all.append("# HELP ").append(one.name).append(" ").append(one.help).append("\n# TYPE ").append(one.name);
        all.append(one.type == kind::counter ? " counter\n" : " gauge\n").append(one.samples);
    }
    return all;
}

}  // namespace fluxnet
