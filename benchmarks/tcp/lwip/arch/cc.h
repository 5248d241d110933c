/* SPDX-License-Identifier: BSD-3-Clause */
/* What lwIP asks of its surroundings. Its names for the sizes of integers are the compiler's. */
#ifndef BENCHMARK_LWIP_CC_H
#define BENCHMARK_LWIP_CC_H

#include <stdio.h>
#include <stdlib.h>

#define LWIP_RAND() ((u32_t)rand())
#define LWIP_PLATFORM_DIAG(x) do { printf x; } while (0)
#define LWIP_PLATFORM_ASSERT(x) abort()

#endif
