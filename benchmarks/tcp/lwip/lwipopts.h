/* SPDX-License-Identifier: BSD-3-Clause */
/* lwIP as it is compared: without threads, with pools for everything, and with what our stack has by default: timestamps,
 * SACK, window scaling, data kept beyond gaps. What it can do without is off, IPv6 too, which ours has. Of what can be chosen
 * (pools or a heap, checksums with the copy or after it), it has what costs it least. */
#ifndef BENCHMARK_LWIPOPTS_H
#define BENCHMARK_LWIPOPTS_H

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0

#define LWIP_IPV4 1
#define LWIP_IPV6 0
#define LWIP_ARP 1
#define ETHARP_SUPPORT_STATIC_ENTRIES 1
#define LWIP_SINGLE_NETIF 1
#define LWIP_ICMP 1
#define LWIP_RAW 0
#define LWIP_UDP 0
#define LWIP_DHCP 0
#define IP_REASSEMBLY 1
#define IP_FRAG 0
#define LWIP_STATS 0
#define LWIP_NOASSERT 1
#define LWIP_SUPPORT_CUSTOM_PBUF 1

#define LWIP_TCP 1
#define TCP_MSS 1460
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 1
#define TCP_WND 65535U
#define TCP_SND_BUF 65535U
#define TCP_SND_QUEUELEN 256
#define TCP_QUEUE_OOSEQ 1
#define LWIP_TCP_SACK_OUT 1
#define LWIP_TCP_TIMESTAMPS 1
#define TCP_LISTEN_BACKLOG 1

#define LWIP_CHKSUM_ALGORITHM BENCHMARK_CHECKSUM_ROUTINE
#define CHECKSUM_GEN_TCP BENCHMARK_CHECKSUMS
#define CHECKSUM_CHECK_TCP BENCHMARK_CHECKSUMS

#define MEM_ALIGNMENT 8
#define MEM_USE_POOLS 1
#define MEMP_USE_CUSTOM_POOLS 1
#define MEMP_NUM_TCP_PCB 1100
#define MEMP_NUM_TCP_PCB_LISTEN 4
#define MEMP_NUM_TCP_SEG 8192
#define MEMP_NUM_PBUF 8192
#define PBUF_POOL_SIZE 64

#endif
