// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes the commands of redis_lite. An input is the size of the pieces in which the bytes behind it come in.
#include "examples/redis_lite/command_reader.hpp"
#include "examples/redis_lite/commands.hpp"

#include "tests/fuzz/fuzz_input.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

using namespace fluxnet::proto;
using namespace redis_example;

namespace {

constexpr reader_limits limits{.argument_bytes = 100, .arguments = 8, .command_bytes = 200, .line_bytes = 60};

/// Reads commands and carries them out. Returns what was answered.
std::string answers_to(std::span<const std::byte> bytes, std::size_t piece) {
    store_example::bounded_store store({.keys = 4, .octets = 2000});
    store_example::bounded_store::time_point now{};
    command_reader reader(limits);
    std::string all;
    while (!bytes.empty() && reader.refusal() == nullptr) {
        const std::size_t count = std::min({piece, bytes.size(), reader.room().size()});
        std::memcpy(reader.room().data(), bytes.data(), count);
        bytes = bytes.subspan(count);
        reader.received(count);
        while (reader.next()) {
            std::size_t size = 0;
            for (const std::string_view word : reader.words()) {
                fuzz::look_at(std::as_bytes(std::span(word)));
                size += word.size();
            }
            fuzz::check(!reader.words().empty() && reader.words().size() <= limits.arguments &&
                        size <= limits.command_bytes);
            execute(store, reader.words(), now, all);
            fuzz::check(all.ends_with("\r\n"));
            fuzz::check(store.size() <= 4 && store.octets() <= 2000);
            now += std::chrono::milliseconds(1);
        }
    }
    return all;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::fuzz_input input(data, size);
    const std::size_t piece = 1 + std::size_t{input.take8()};
    const std::vector<std::byte> bytes = input.take_rest();
    fuzz::check(answers_to(bytes, piece) == answers_to(bytes, bytes.size() + 1));
    return 0;
}
