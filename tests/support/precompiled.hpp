// SPDX-License-Identifier: BSD-3-Clause
// What nearly every test includes of other projects, compiled once: parsing it took half of a test's compile time. Nothing of
// ours is in it, so that a change of a header compiles again what uses that header, and no more; and the library itself is
// compiled without it, so that its headers still have to name what they need.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <source_location>
#include <span>
#include <sstream>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>
#include <boost/system/result.hpp>
#include <doctest/doctest.h>
