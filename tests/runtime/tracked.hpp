// SPDX-License-Identifier: BSD-3-Clause
// `tracked`: a value that knows where it lies, and so notices what a compiler does wrong with temporaries in coroutines:
// objects copied byte by byte, destroyed twice, never, or used after that. The counters belong to the process; one thread.
#pragma once

#include <utility>

namespace fluxnet::test {

class tracked {
public:
    explicit tracked(int value) noexcept : value_(value) { ++living; }
    tracked(const tracked& other) noexcept : value_(other.get()) { ++living; }
    tracked(tracked&& other) noexcept : value_(std::exchange(other.value_, moved)) {
        other.check();
        ++living;
    }
    tracked& operator=(const tracked& other) noexcept {
        check();
        value_ = other.get();
        return *this;
    }
    tracked& operator=(tracked&& other) noexcept {
        check();
        other.check();
        value_ = std::exchange(other.value_, moved);
        return *this;
    }
    ~tracked() {
        check();
        self_ = nullptr;
        --living;
    }

    [[nodiscard]] int get() const noexcept {
        check();
        return value_;
    }

    static void reset() noexcept {
        living = 0;
        faults = 0;
    }

    static inline int living = 0;  ///< Constructed and not destroyed.
    static inline int faults = 0;  ///< Uses of what was not constructed there, or was destroyed.

private:
    static constexpr int moved = -1000;

    void check() const noexcept { faults += self_ == this ? 0 : 1; }

    int value_;
    const tracked* volatile self_ = this;
};

}  // namespace fluxnet::test
