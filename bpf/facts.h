/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * What a packet shows of itself to a filter: parse helpers for XDP programs.
 *
 * Headers at fixed offsets are read from the packet directly. Others are copied by bpf_xdp_load_bytes (Linux 5.18, as
 * is the section xdp.frags): the verifier refuses a variable offset into a packet to those who have CAP_BPF without
 * CAP_PERFMON. That also reads what lies in another buffer of the packet than the first.
 */
#ifndef FLUXNET_BPF_FACTS_H
#define FLUXNET_BPF_FACTS_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "rules.h"

/* Why a packet hides something. */
enum flux_hidden { FLUX_HIDES_NOTHING, FLUX_FRAGMENT, FLUX_TAGGED, FLUX_UNREADABLE };

struct flux_facts {
	__u64 key;
	__u64 unknown; /* what of the key is not known, and FLUX_KEY_ADDRESSES, FLUX_KEY_PORTS */
	__u64 destination[2];
	__u64 source[2];
	__u16 ports[2]; /* source, destination; host's byte order */
	__u32 why;      /* enum flux_hidden, for all of `unknown` */
};

#define FLUX_WHOLE_VERSION FLUX_KEY_VERSION(0xff)
#define FLUX_WHOLE_PROTOCOL FLUX_KEY_PROTOCOL(0xff)

struct flux_ethernet {
	__u8 addresses[12];
	__be16 type;
};

struct flux_ipv4 {
	__u8 version_and_words;
	__u8 service;
	__be16 length;
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__be16 checksum;
	__be32 source;
	__be32 destination;
};

struct flux_ipv6 {
	__be32 version_and_flow;
	__be16 length;
	__u8 next;
	__u8 hops;
	__be32 source[4];
	__be32 destination[4];
};

/* RFC 826, of Ethernet and IPv4. */
struct flux_arp {
	__be16 hardware;
	__be16 protocol;
	__u8 sizes[2];
	__be16 operation;
	__u8 sender[6];
	__u8 sender_ip[4];
	__u8 target[6];
	__u8 target_ip[4];
};

#define FLUX_IP_AT sizeof(struct flux_ethernet) /* ARP, too */

/* Copies bytes of the packet; 0 when they are there. For a constant `offset` the usual case is a plain load. */
static __always_inline long flux_load(struct xdp_md *ctx, __u32 offset, void *to, __u32 size)
{
	if (__builtin_constant_p(offset)) {
		void *data = (void *)(long)ctx->data;
		void *end = (void *)(long)ctx->data_end;

		if (data + offset + size <= end) {
			__builtin_memcpy(to, data + offset, size);
			return 0;
		}
	}
	return bpf_xdp_load_bytes(ctx, offset, to, size);
}

static __always_inline int flux_has_ports(__u8 protocol)
{
	return protocol == 6 || protocol == 17 || protocol == 33 || protocol == 132 || protocol == 136;
}

/* RFC 8200 section 4, and those of RFC 6275, 7401 and 5533, which have the same form; the authentication header too. */
static __always_inline int flux_is_extension(__u8 next)
{
	return next == 0 || next == 43 || next == 60 || next == 51 || next == 135 || next == 139 || next == 140;
}

static __always_inline void flux_hide(struct flux_facts *facts, __u64 what, __u32 why)
{
	facts->unknown |= what;
	facts->why = why;
}

/* Reads the ports at `offset`, of an IP packet that ends `left` bytes behind it by its own account. */
static __always_inline void flux_read_ports(struct xdp_md *ctx, struct flux_facts *facts, __u32 offset, __s32 left)
{
	__be16 ports[2];

	if (left < (__s32)sizeof ports || flux_load(ctx, offset, ports, sizeof ports)) {
		flux_hide(facts, FLUX_KEY_PORTS, FLUX_UNREADABLE);
		return;
	}
	facts->ports[0] = bpf_ntohs(ports[0]);
	facts->ports[1] = bpf_ntohs(ports[1]);
}

static __always_inline void flux_read_arp(struct xdp_md *ctx, struct flux_facts *facts)
{
	struct flux_arp arp;

	if (flux_load(ctx, FLUX_IP_AT, &arp, sizeof arp) || arp.hardware != bpf_htons(1) || arp.protocol != bpf_htons(0x0800) ||
	    arp.sizes[0] != 6 || arp.sizes[1] != 4) {
		flux_hide(facts, FLUX_KEY_ADDRESSES, FLUX_UNREADABLE);
		return;
	}
	__builtin_memcpy(&facts->source[0], arp.sender_ip, sizeof arp.sender_ip);
	__builtin_memcpy(&facts->destination[0], arp.target_ip, sizeof arp.target_ip);
}

static __always_inline void flux_read_ipv4(struct xdp_md *ctx, struct flux_facts *facts)
{
	struct flux_ipv4 ip;
	__u32 size;
	__s32 left;

	facts->key |= FLUX_KEY_VERSION(4);
	if (flux_load(ctx, FLUX_IP_AT, &ip, sizeof ip))
		goto unreadable;
	size = (ip.version_and_words & 15) * 4;
	left = (__s32)bpf_ntohs(ip.length) - (__s32)size;
	if (ip.version_and_words >> 4 != 4 || size < sizeof ip || left < 0)
		goto unreadable;
	facts->key |= FLUX_KEY_PROTOCOL(ip.protocol);
	__builtin_memcpy(&facts->source[0], &ip.source, sizeof ip.source);
	__builtin_memcpy(&facts->destination[0], &ip.destination, sizeof ip.destination);
	if (!flux_has_ports(ip.protocol))
		return;
	if (ip.fragment & bpf_htons(0x3fff)) { /* more fragments, or an offset */
		flux_hide(facts, FLUX_KEY_PORTS, FLUX_FRAGMENT);
		return;
	}
	if (size == sizeof ip)
		flux_read_ports(ctx, facts, FLUX_IP_AT + sizeof ip, left);
	else
		flux_read_ports(ctx, facts, FLUX_IP_AT + size, left);
	return;
unreadable:
	flux_hide(facts, FLUX_WHOLE_PROTOCOL | FLUX_KEY_ADDRESSES | FLUX_KEY_PORTS, FLUX_UNREADABLE);
}

static __always_inline void flux_read_ipv6(struct xdp_md *ctx, struct flux_facts *facts)
{
	struct flux_ipv6 ip;
	__u32 offset = FLUX_IP_AT + sizeof ip;
	__s32 left;
	__u8 next;
	int i;

	facts->key |= FLUX_KEY_VERSION(6);
	if (flux_load(ctx, FLUX_IP_AT, &ip, sizeof ip) || (ip.version_and_flow & bpf_htonl(0xf0000000)) != bpf_htonl(0x60000000)) {
		flux_hide(facts, FLUX_WHOLE_PROTOCOL | FLUX_KEY_ADDRESSES | FLUX_KEY_PORTS, FLUX_UNREADABLE);
		return;
	}
	__builtin_memcpy(facts->source, ip.source, sizeof ip.source);
	__builtin_memcpy(facts->destination, ip.destination, sizeof ip.destination);
	next = ip.next;
	left = bpf_ntohs(ip.length);
	for (i = 0; i < FLUX_MOST_EXTENSIONS; i++) {
		__u8 head[8];
		__u32 size;

		if (next != 44 && !flux_is_extension(next))
			break;
		if (left < (__s32)sizeof head || flux_load(ctx, offset, head, sizeof head))
			goto unreadable;
		if (next == 44 && (head[2] != 0 || (head[3] & 0xf9) != 0)) {
			/* In pieces. A header that is an extension stands in the first of them alone. */
			next = head[0];
			facts->key |= FLUX_KEY_PROTOCOL(next);
			if (next == 44 || flux_is_extension(next))
				flux_hide(facts, FLUX_WHOLE_PROTOCOL | FLUX_KEY_PORTS, FLUX_FRAGMENT);
			else
				flux_hide(facts, FLUX_KEY_PORTS, FLUX_FRAGMENT);
			return;
		}
		size = next == 44 ? 8 : next == 51 ? (head[1] + 2) * 4 : (head[1] + 1) * 8;
		offset += size;
		left -= (__s32)size;
		if (left < 0)
			goto unreadable;
		next = head[0];
	}
	if (next == 44 || flux_is_extension(next))
		goto unreadable;
	facts->key |= FLUX_KEY_PROTOCOL(next);
	if (!flux_has_ports(next))
		return;
	if (offset == FLUX_IP_AT + sizeof ip)
		flux_read_ports(ctx, facts, FLUX_IP_AT + sizeof ip, left);
	else
		flux_read_ports(ctx, facts, offset, left);
	return;
unreadable:
	flux_hide(facts, FLUX_WHOLE_PROTOCOL | FLUX_KEY_PORTS, FLUX_UNREADABLE);
}

/* The caller hands over facts that are all 0. Returns nonzero when there is no Ethernet header, which no device delivers. */
static __always_inline long flux_read_facts(struct xdp_md *ctx, struct flux_facts *facts)
{
	struct flux_ethernet ethernet;
	__u16 type;

	if (flux_load(ctx, 0, &ethernet, sizeof ethernet))
		return -1;
	type = bpf_ntohs(ethernet.type);
	facts->key = FLUX_KEY_ETHER_TYPE(type);
	if (type == 0x0800)
		flux_read_ipv4(ctx, facts);
	else if (type == 0x86dd)
		flux_read_ipv6(ctx, facts);
	else if (type == 0x0806)
		flux_read_arp(ctx, facts);
	else if (type == 0x8100 || type == 0x88a8)
		flux_hide(facts, FLUX_WHOLE_VERSION | FLUX_WHOLE_PROTOCOL | FLUX_KEY_ADDRESSES | FLUX_KEY_PORTS, FLUX_TAGGED);
	return 0;
}

#endif
