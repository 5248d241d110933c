// SPDX-License-Identifier: BSD-3-Clause
// lwIP's end: NO_SYS, its raw API and a driver that copies what is sent into a frame, as ours does. Built into a shared
// object with lwIP itself; each copy that is loaded is an lwIP of its own.
#include "benchmarks/tcp/node.hpp"

#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>
#include <netif/ethernet.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace {

std::int64_t now_of_lwip_ns = 0;

}  // namespace

extern "C" u32_t sys_now() {
    return static_cast<u32_t>(now_of_lwip_ns / 1'000'000);
}

namespace benchmark::tcp {
namespace {

/// A received frame: lwIP's pbuf beside it, not before it.
struct received {
    pbuf_custom head;  // first: lwIP gives it back by its address
    std::byte* chunk = nullptr;
};

class lwip_node final : public node {
public:
    explicit lwip_node(const setting& chosen) : node(chosen), received_(chosen.frames) {
        of_frames = this;
        lwip_init();
        ip4_addr_t own, mask;
        IP4_ADDR(&own, 192, 0, 2, chosen.own);
        IP4_ADDR(&mask, 255, 255, 255, 0);
        IP4_ADDR(&peer_, 192, 0, 2, chosen.peer);
        for (received& one : received_) { one.head.custom_free_function = &give_back; }
        if (netif_add(&card_, &own, &mask, IP4_ADDR_ANY4, this, &prepare, &ethernet_input) == nullptr) { std::abort(); }
        netif_set_default(&card_);
        netif_set_up(&card_);
        netif_set_link_up(&card_);
        eth_addr there{{2, 0, 0, 0, 0, chosen.peer}};
        if (etharp_add_static_entry(&peer_, &there) != ERR_OK) { std::abort(); }
    }

    void listen() override {
        tcp_pcb* door = tcp_new_ip_type(IPADDR_TYPE_V4);
        ip_addr_t own;
        ip_addr_copy_from_ip4(own, *netif_ip4_addr(&card_));
        if (door == nullptr || tcp_bind(door, &own, port) != ERR_OK) { std::abort(); }
        door = tcp_listen_with_backlog(door, 0xff);
        tcp_arg(door, this);
        tcp_accept(door, [](void* self, tcp_pcb* one, err_t) { return static_cast<lwip_node*>(self)->begin(one); });
    }
    void connect(std::int64_t now_ns) override {
        now_of_lwip_ns = now_ns;
        tcp_pcb* const one = tcp_new_ip_type(IPADDR_TYPE_V4);
        ip_addr_t to;
        ip_addr_copy_from_ip4(to, peer_);
        tcp_arg(one, this);
        const err_t told = tcp_connect(
            one, &to, port, [](void* self, tcp_pcb* made, err_t) { return static_cast<lwip_node*>(self)->begin(made); });
        if (told != ERR_OK) { std::abort(); }
    }
    void turn(std::span<const descriptor> arrived, std::int64_t now_ns) override {
        now_of_lwip_ns = now_ns;
        for (const descriptor& one : arrived) { receive(one); }
        sys_check_timeouts();
    }
    [[nodiscard]] std::uint32_t established() const override { return established_; }

private:
    static err_t prepare(netif* card) {
        auto* const self = static_cast<lwip_node*>(card->state);
        card->name[0] = 'b';
        card->name[1] = 'm';
        card->output = &etharp_output;
        card->linkoutput = &send;
        card->mtu = 1500;
        card->hwaddr_len = 6;
        const std::uint8_t own[6]{2, 0, 0, 0, 0, self->chosen_.own};
        std::memcpy(card->hwaddr, own, sizeof own);
        card->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
        return ERR_OK;
    }

    void receive(const descriptor& one) noexcept {
        received& mine = received_[frames_.number_of(one.data)];
        mine.chunk = one.data;
        pbuf* const whole =
            pbuf_alloced_custom(PBUF_RAW, static_cast<u16_t>(one.length), PBUF_REF, &mine.head, one.data, chunks::size);
        if (card_.input(whole, &card_) != ERR_OK) { pbuf_free(whole); }
    }
    static void give_back(pbuf* one) { of_frames->frames_.give(reinterpret_cast<received*>(one)->chunk); }

    static err_t send(netif* card, pbuf* whole) {
        auto* const self = static_cast<lwip_node*>(card->state);
        std::byte* const chunk = self->frames_.take();
        if (chunk == nullptr) { std::abort(); }
        std::byte* to = chunk;
        for (const pbuf* one = whole; one != nullptr; one = one->next) {
            std::memcpy(to, one->payload, one->len);
            to += one->len;
        }
        self->sent_.push_back({chunk, whole->tot_len});
        return ERR_OK;
    }

    err_t begin(tcp_pcb* one) noexcept {
        ++established_;
        tcp_arg(one, this);
        tcp_recv(one, &came);
        tcp_sent(one, chosen_.does == program::source ? &room : nullptr);
        if (chosen_.does == program::ask) {
            write(one, 1);
        } else if (chosen_.does == program::source) {
            fill(one);
        }
        return ERR_OK;
    }

    static err_t came(void* of, tcp_pcb* one, pbuf* octets, err_t) {
        auto* const self = static_cast<lwip_node*>(of);
        if (octets == nullptr) { return tcp_close(one); }
        std::size_t read = 0;
        while (read != octets->tot_len) {
            read += pbuf_copy_partial(octets, self->scratch_.data(), most_read, static_cast<u16_t>(read));
        }
        self->octets_read_ += read;
        tcp_recved(one, octets->tot_len);
        pbuf_free(octets);
        if (self->chosen_.does == program::sink) { return ERR_OK; }
        self->write(one, 1);
        return tcp_output(one);
    }

    static err_t room(void* of, tcp_pcb* one, u16_t) {
        static_cast<lwip_node*>(of)->fill(one);
        return ERR_OK;
    }

    void fill(tcp_pcb* one) noexcept {
        for (;;) {
            const auto most = std::min<std::size_t>(tcp_sndbuf(one), most_read);
            if (most == 0 || !write(one, static_cast<u16_t>(most))) { break; }
        }
        static_cast<void>(tcp_output(one));
    }

    bool write(tcp_pcb* one, u16_t octets) noexcept {
        if (tcp_write(one, scratch_.data(), octets, TCP_WRITE_FLAG_COPY) != ERR_OK) { return false; }
        octets_written_ += octets;
        return true;
    }

    static lwip_node* of_frames;

    netif card_{};
    ip4_addr_t peer_{};
    std::vector<received> received_;  // one for each chunk
    std::uint32_t established_ = 0;
};

lwip_node* lwip_node::of_frames = nullptr;

}  // namespace

extern "C" [[gnu::visibility("default")]] node* make_node(const setting& chosen) {
    return new lwip_node(chosen);
}

}  // namespace benchmark::tcp
