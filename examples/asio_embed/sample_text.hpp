// SPDX-License-Identifier: BSD-3-Clause
// `sample_text()`: what asio_embed knows at one moment as JSON, for the page. A function without state.
#pragma once

#include "examples/asio_embed/feed.hpp"
#include "examples/asio_embed/packet_host.hpp"

#include <chrono>
#include <string>
#include <string_view>

namespace embed_example {

/// Writes an object on one line. `age`: since the program's start. Rates are for the reader to make, of two samples: it may
/// have missed any number in between.
///
///     {"ms":1500,"source":"flux0, native XDP, copy","rx":{"packets":10,"bytes":980},"tx":{...},
///      "replies":{"arp":1,"icmp":9,"udp":0},"drops":{"udp_port_not_served":2},
///      "frames":{"free":..,"fill":..,"rx":..,"tx":..,"completion":..,"user":..,"all":2048},
///      "rings":{"rx":{"used":0,"size":2048},"fill":{...},"tx":{...},"completion":{...}},
///      "feed":{"viewers":1,"frames":4,"skipped":0}}
[[nodiscard]] std::string sample_text(const packet_sample& packets, const feed::counts& viewers, std::string_view source,
                                      std::chrono::milliseconds age);

}  // namespace embed_example
