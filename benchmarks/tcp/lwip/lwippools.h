/* SPDX-License-Identifier: BSD-3-Clause */
/* The pools in lwIP's heap's place: for the header of an ACK, and for a whole segment. lwIP includes this more than once. */
LWIP_MALLOC_MEMPOOL_START
LWIP_MALLOC_MEMPOOL(8192, 256)
LWIP_MALLOC_MEMPOOL(8192, 1700)
LWIP_MALLOC_MEMPOOL_END
