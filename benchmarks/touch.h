/* SPDX-License-Identifier: BSD-3-Clause */
/* What every loop of the benchmark does with a packet, in C and in C++ alike: it reads the type field of the Ethernet header
 * and the first byte behind it, after a look at the length, as a program must that takes packets from a wire. Deliberately
 * little, so that what is left is the cost of receiving and recycling. */
#pragma once

#include <stdint.h>

static inline uint64_t touch(const void* packet, uint64_t length) {
    const unsigned char* bytes = (const unsigned char*)packet;
    if (length < 15) { return 0; }
    return ((uint64_t)bytes[12] << 8) + bytes[13] + bytes[14];
}
