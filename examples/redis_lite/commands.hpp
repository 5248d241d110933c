// SPDX-License-Identifier: BSD-3-Clause
// execute(): carries out a command of redis_lite. No I/O, no clock.
//
// There is PING [text], ECHO text, SET key value [EX seconds | PX milliseconds], GET key, DEL key..., EXISTS key..., INCR
// key. What they answer is what Redis does, in RESP2. One thread at a time. Source: redis.io/commands.
#pragma once

#include "examples/bounded_store.hpp"

#include <span>
#include <string>
#include <string_view>

namespace redis_example {

/// Appends the answer to `out`. `words`: the name and the arguments, one at least. Throws std::bad_alloc.
void execute(store_example::bounded_store& store, std::span<const std::string_view> words,
             store_example::bounded_store::time_point now, std::string& out);

/// Appends an error. The text has no line end.
void write_error(std::string& out, std::string_view text);

}  // namespace redis_example
