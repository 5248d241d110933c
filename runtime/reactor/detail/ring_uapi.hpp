// SPDX-License-Identifier: BSD-3-Clause
// What io_uring has in kernels newer than the headers that this is built with.
//
// Plain declarations. Source: include/uapi/linux/io_uring.h of Linux 6.18.
#pragma once

#include <cstdint>

namespace fluxnet::detail::uapi {

/// A call of io_uring_register: 1 argument, a napi. Linux 6.9.
inline constexpr unsigned register_napi = 27;

/// The kernel's struct io_uring_napi. It writes back what was set before.
struct napi {
    std::uint32_t busy_poll_us = 0;
    std::uint8_t prefer_busy_poll = 0;
    std::uint8_t operation = 0;  // 0: registers
    std::uint8_t unused[2] = {};
    std::uint32_t parameter = 0;  // 0: the devices of the sockets that are used
    std::uint32_t reserved = 0;
};
static_assert(sizeof(napi) == 16);

/// In the priority of a send or receive: several buffers at once. Linux 6.10; a multi-shot receive takes a limit of bytes
/// for each completion since 6.17.
inline constexpr unsigned short receive_bundle = 1U << 4;

/// Among the features of a ring: it knows that.
inline constexpr unsigned feature_bundle = 1U << 14;

}  // namespace fluxnet::detail::uapi
