// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/token_bucket.hpp"

#include <doctest/doctest.h>

#include <chrono>

using fluxnet::proto::tcp::token_bucket;
using namespace std::chrono_literals;

namespace {

int take_all(token_bucket& from, token_bucket::time_point now) {
    int count = 0;
    while (count != 1000 && from.take(now)) { ++count; }
    return count;
}

}  // namespace

TEST_CASE("a token bucket gives its burst, and then so many in a second") {
    auto now = token_bucket::time_point(5s);
    token_bucket bucket(10, 20);
    CHECK(take_all(bucket, now) == 20);
    CHECK(take_all(bucket, now + 99ms) == 0);
    CHECK(take_all(bucket, now + 100ms) == 1);
    CHECK(take_all(bucket, now + 350ms) == 2);
    CHECK(take_all(bucket, now + 400ms) == 1);
    CHECK(take_all(bucket, now + 1h) == 20);
}

TEST_CASE("a token bucket gives nothing for a clock that goes back, and never more than its rate over long") {
    auto now = token_bucket::time_point(100s);
    token_bucket bucket(7, 3);
    int given = 0;
    for (int i = 0; i != 10'000; ++i) {
        now += 1ms;
        given += bucket.take(now) ? 1 : 0;
    }
    CHECK(given >= 70);
    CHECK(given <= 73);
    CHECK(take_all(bucket, now - 50s) == 0);
    token_bucket none(0, 2);
    CHECK(take_all(none, now) == 2);
    CHECK(take_all(none, now + 1h) == 0);
}
