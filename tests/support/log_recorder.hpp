// SPDX-License-Identifier: BSD-3-Clause
// `log_recorder`: hears the events of the library while it lives. May be called on any thread.
#pragma once

#include "fluxnet/xsk/base/log.hpp"

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

namespace fluxnet::test {

class log_recorder final : public log_sink {
public:
    log_recorder() : before_(set_log_sink(this)) {}
    ~log_recorder() { set_log_sink(before_); }
    log_recorder(const log_recorder&) = delete;
    log_recorder& operator=(const log_recorder&) = delete;

    void on_event(const log_event& event) noexcept override {
        const std::lock_guard lock(mutex_);
        told_.push_back(std::string(name(event.kind)) + ": " + std::string(event.text));
    }

    [[nodiscard]] std::vector<std::string> told() {
        const std::lock_guard lock(mutex_);
        return told_;
    }
    /// How many events have the text in them.
    [[nodiscard]] long count(const std::string& text) {
        const std::lock_guard lock(mutex_);
        return std::ranges::count_if(told_, [&](const std::string& one) { return one.find(text) != std::string::npos; });
    }

private:
    std::mutex mutex_;
    std::vector<std::string> told_;
    log_sink* const before_;
};

}  // namespace fluxnet::test
