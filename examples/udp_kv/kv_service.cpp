// SPDX-License-Identifier: BSD-3-Clause
#include "examples/udp_kv/kv_service.hpp"

namespace kv_example {

std::string_view kv_service::answer(std::string_view datagram, const fluxnet::proto::ip_endpoint& from, time_point now) {
    const auto asked = read_request(datagram);
    if (!asked) {
        ++counts_.ignored;
        return {};
    }
    expire(now);
    client& who = clients_.seen(from, now);
    if (who.last_id && asked->id == *who.last_id) {
        ++counts_.repeated;
        return who.answer;
    }
    if (who.last_id && asked->id < *who.last_id) {
        ++counts_.late;
        write_reply(refusal_, {outcome::error, asked->id, "the number is lower than that of a request before"});
        return refusal_;
    }
    ++counts_.requests;
    who.last_id.reset();  // should there be no memory, the client is not told the answer to another request
    write_reply(who.answer, perform(*asked, now));
    who.last_id = asked->id;
    return who.answer;
}

reply kv_service::perform(const request& asked, time_point now) {
    if (asked.wrong != nullptr) { return {outcome::error, asked.id, asked.wrong}; }
    switch (asked.what) {
        case verb::get:
            if (const std::string* const value = store_.find(asked.key, now)) { return {outcome::ok, asked.id, *value}; }
            return {outcome::none, asked.id, {}};
        case verb::set:
            if (store_.set(asked.key, asked.value, store_example::bounded_store::never, now)) {
                return {outcome::ok, asked.id, {}};
            }
            return {outcome::error, asked.id, "the store is full"};
        case verb::erase: break;
    }
    return {store_.erase(asked.key, now) ? outcome::ok : outcome::none, asked.id, {}};
}

}  // namespace kv_example
