// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/detail/token_bucket.hpp"

#include <doctest/doctest.h>

#include <chrono>

using fluxnet::proto::detail::token_bucket;
using namespace std::chrono_literals;

TEST_CASE("a bucket gives its burst at once and then its rate") {
    token_bucket bucket(10, 3);
    const token_bucket::time_point start(100s);
    CHECK(bucket.when() < start);
    for (int i = 0; i != 3; ++i) { CHECK(bucket.take(start)); }
    CHECK_FALSE(bucket.take(start));
    CHECK(bucket.when() == start + 100ms);
    CHECK_FALSE(bucket.take(start + 100ms - 1ns));
    CHECK(bucket.take(start + 100ms));
    CHECK_FALSE(bucket.take(start + 100ms));
    CHECK_FALSE(bucket.holds(start + 299ms, 2));
    CHECK(bucket.holds(start + 300ms, 2));
    CHECK(bucket.take(start + 300ms, 2));
}

TEST_CASE("a bucket holds no more than its burst, however long it rests") {
    token_bucket bucket(10, 3);
    const token_bucket::time_point start(0s);
    CHECK(bucket.take(start, 3));
    int taken = 0;
    while (bucket.take(start + 24h)) { ++taken; }
    CHECK(taken == 3);
    CHECK_FALSE(bucket.take(start + 48h, 4));
}

TEST_CASE("a bucket may be made to owe, and waits until that is paid") {
    token_bucket bucket(10, 3);
    const token_bucket::time_point start(0s);
    bucket.pay(start, 5);
    CHECK_FALSE(bucket.holds(start + 299ms));
    CHECK(bucket.take(start + 300ms));
}
