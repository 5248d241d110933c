// SPDX-License-Identifier: BSD-3-Clause
// `stack_subject`: this library's TCP, in a time that stands still.
#pragma once

#include "tests/e2e/tcp_differential/subject.hpp"
#include "tests/proto/tcp/two_stacks.hpp"

#include <cstdint>
#include <optional>

namespace tcp_differential {

class stack_subject final : public subject {
public:
    explicit stack_subject(std::uint64_t seed);

    void hear(std::span<const std::byte> segment) override;
    [[nodiscard]] std::vector<std::vector<std::byte>> answers() override;
    call_result accept() override;
    call_result read(std::size_t most, std::vector<std::byte>& into) override;
    call_result write(std::span<const std::byte> octets) override;
    void shutdown_write() override;
    void close() override;
    void abort() override;
    void clear() override;

private:
    void collect();
    [[nodiscard]] bool has_ended() const;

    stacks::time_point now_ = stacks::start;
    stacks::host host_;
    stacks::tcp::listener_handle door_;
    std::optional<stacks::tcp::connection_handle> mine_;
    std::vector<std::vector<std::byte>> sent_;
};

}  // namespace tcp_differential
