// SPDX-License-Identifier: BSD-3-Clause
#include "examples/asio_embed/sample_text.hpp"

#include "fluxnet/proto/reason.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>

using namespace fluxnet;

namespace embed_example {
namespace {

/// Writes members of an object. Names need no escapes.
class object_text {
public:
    template <std::integral N>
    object_text& add(std::string_view name, N number) {
        begin(name).append(std::to_string(number));
        return *this;
    }

    object_text& add(std::string_view name, const object_text& inner) {
        begin(name).append(inner.text());
        return *this;
    }

    /// Quotes and escapes: the name of an interface may be any bytes, of which the page gets those of ASCII.
    object_text& add(std::string_view name, std::string_view value) {
        std::string& to = begin(name).append("\"");
        for (const char each : value) {
            const auto byte = static_cast<unsigned char>(each);
            if (each == '"' || each == '\\') {
                to.append(1, '\\').append(1, each);
            } else {
                to.append(1, byte < 0x20 || byte > 0x7e ? '?' : each);
            }
        }
        to.append("\"");
        return *this;
    }

    [[nodiscard]] std::string text() const { return "{" + members_ + "}"; }

private:
    std::string& begin(std::string_view name) {
        if (!members_.empty()) { members_.append(","); }
        return members_.append("\"").append(name).append("\":");
    }

    std::string members_;
};

[[nodiscard]] object_text object_of(const traffic& of) {
    return object_text().add("packets", of.packets).add("bytes", of.bytes);
}

[[nodiscard]] object_text object_of(const ring_level& of) {
    return object_text().add("used", of.used).add("size", of.size);
}

[[nodiscard]] object_text object_of(const frame_census& of) {
    object_text made;
    made.add("free", of.free).add("fill", of.fill).add("rx", of.rx).add("tx", of.tx);
    return made.add("completion", of.completion).add("user", of.user).add("all", of.frames);
}

/// Every reason for which a packet was dropped, the host's and the kernel's.
[[nodiscard]] object_text drops_of(const packet_sample& of) {
    object_text made;
    const auto count = [&made](std::string_view reason, std::uint64_t packets) {
        if (packets != 0) { made.add(reason, packets); }
    };
    for (std::size_t i = 0; i < proto::reason_count; ++i) { count(name(static_cast<proto::reason>(i)), of.host.dropped[i]); }
    count("kernel_too_large_or_dropped", of.kernel.rx_dropped);
    count("kernel_rx_ring_full", of.kernel.rx_ring_full);
    count("kernel_fill_ring_empty", of.kernel.fill_ring_empty);
    count("kernel_not_sent", of.unsent);
    return made;
}

}  // namespace

std::string sample_text(const packet_sample& packets, const feed::counts& viewers, std::string_view source,
                        std::chrono::milliseconds age) {
    object_text replies;
    replies.add("arp", packets.host.arp_replies).add("icmp", packets.host.icmp_replies).add("udp", packets.host.udp_replies);
    object_text rings;
    rings.add("rx", object_of(packets.rx)).add("fill", object_of(packets.fill));
    rings.add("tx", object_of(packets.tx)).add("completion", object_of(packets.completion));
    object_text watched;
    watched.add("viewers", viewers.viewers).add("frames", viewers.frames).add("skipped", viewers.skipped);
    object_text all;
    all.add("ms", age.count()).add("source", source);
    all.add("rx", object_of(packets.received)).add("tx", object_of(packets.sent));
    all.add("replies", replies).add("drops", drops_of(packets)).add("frames", object_of(packets.frames));
    return all.add("rings", rings).add("feed", watched).text();
}

}  // namespace embed_example
