// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes the datagrams of udp_kv. An input is a datagram, which is read as a request and as an answer.
#include "examples/udp_kv/kv_service.hpp"

#include "tests/fuzz/fuzz_input.hpp"

#include <string>
#include <vector>

using namespace fluxnet::proto;
using namespace kv_example;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::vector<std::byte> bytes = fuzz::fuzz_input(data, size).take_rest();
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto asked = read_request(text);
    const auto told = read_reply(text);
    fuzz::check(!asked || !told);
    if (told) {
        std::string again;
        write_reply(again, *told);
        const auto same = read_reply(again);
        fuzz::check(same && same->id == told->id && same->how == told->how && same->text == told->text);
    }
    kv_service service;
    const std::string answer(service.answer(text, {}, {}));
    fuzz::check(answer.empty() == !asked && answer.size() <= max_datagram);
    if (!asked) { return 0; }
    fuzz::look_at(std::as_bytes(std::span(asked->key)));
    fuzz::look_at(std::as_bytes(std::span(asked->value)));
    const auto read = read_reply(answer);
    fuzz::check(read && read->id == asked->id && (read->how == outcome::error) == (asked->wrong != nullptr));
    fuzz::check(service.answer(text, {}, {}) == answer);
    return 0;
}
