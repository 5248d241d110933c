// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/program.hpp"

#include "fluxnet/xsk/detail/capabilities.hpp"
#include "fluxnet/xsk/detail/filter_maps.hpp"
#include "fluxnet/xsk/detail/holders.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <utility>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/capability.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include "bpf/verdicts.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-function"
#include "flux_redirect_bpf.skel.h"
#pragma GCC diagnostic pop

namespace fluxnet {
namespace {

/// Keeps what libbpf and libxdp would print to stderr, for the duration of one call, and restores the host program's
/// printer. Both libraries have one printer per process, hence the mutex.
class quiet_libraries {
public:
    quiet_libraries() : lock_(mutex()) {
        said().clear();
        bpf_ = libbpf_set_print(keep_bpf);
        xdp_ = libxdp_set_print(drop_xdp);
    }
    ~quiet_libraries() {
        libbpf_set_print(bpf_);
        libxdp_set_print(xdp_);
    }

    /// The last line that libbpf had to say.
    static std::string& said() {
        static std::string text;
        return text;
    }

private:
    static std::mutex& mutex() {
        static std::mutex instance;
        return instance;
    }

    __attribute__((format(printf, 2, 0))) static int keep_bpf(libbpf_print_level level, const char* format,
                                                              va_list arguments) {
        if (level != LIBBPF_WARN) { return 0; }
        char line[512];
        const int length = std::vsnprintf(line, sizeof line, format, arguments);
        if (length > 0) {
            std::string text(line, std::min(static_cast<std::size_t>(length), sizeof line - 1));
            while (!text.empty() && text.back() == '\n') { text.pop_back(); }
            said() = std::move(text);
        }
        return length;
    }

    __attribute__((format(printf, 2, 0))) static int drop_xdp(libxdp_print_level, const char*, va_list) { return 0; }

    std::lock_guard<std::mutex> lock_;
    libbpf_print_fn_t bpf_;
    libxdp_print_fn_t xdp_;
};

error load_failure(const interface_info& interface, int number, const std::string& said) {
    const std::string step = "load the XDP program for " + interface.name;
    std::string cause = "bpf answered " + errno_text(number);
    if (!said.empty()) { cause += " [" + said + ']'; }
    if (number == EPERM || number == EACCES) {
        return make_error(errc::permission_denied, step, cause, detail::remedy_for_permission({CAP_BPF, CAP_NET_ADMIN}));
    }
    if (number == EINVAL || number == ENOSYS || number == EOPNOTSUPP) {
        return make_error(errc::kernel_not_supported, step, cause, "use Linux 5.18 or later with BPF and AF_XDP enabled");
    }
    return make_error(errc::system_failure, step, cause, "see bpf(2) for this error");
}

/// The processes that attached the program which is on an interface already, and how to get rid of it.
struct in_the_way {
    std::string held_by;
    std::string remedy;
};

in_the_way find_in_the_way(const interface_info& interface) {
    bpf_xdp_query_opts query{};
    query.sz = sizeof query;
    const bool known = bpf_xdp_query(interface.index, 0, &query) == 0;
    std::uint32_t id = query.prog_id;
    const bool generic = known && query.attach_mode == XDP_ATTACHED_SKB;
    if (id == 0) { id = generic ? query.skb_prog_id : query.drv_prog_id; }
    const detail::link_holder holder = id != 0 ? detail::find_link_holder(id) : detail::link_holder{};
    if (holder.link_id == 0) {
        return {"", "end the process that attached it, or remove it with 'ip link set dev " + interface.name +
                        (generic ? " xdpgeneric off'" : " xdp off'")};
    }
    // `ip link` cannot remove what a bpf_link holds.
    const std::string link = "bpf_link " + std::to_string(holder.link_id);
    const std::string detach = "remove it with 'bpftool link detach id " + std::to_string(holder.link_id) + "'";
    if (holder.processes.empty()) { return {", attached by " + link, detach}; }
    return {", attached by " + link + " of " + holder.processes, "end that process, or " + detach};
}

error attach_failure(const interface_info& interface, attach_mode mode, int number) {
    const std::string step = std::string("attach the XDP program to ") + interface.name + " in " + name(mode) + " mode";
    const std::string cause = "bpf answered " + errno_text(number);
    switch (number) {
        case EBUSY:
        case EEXIST: {
            const std::string others = describe_programs(interface.index);
            const in_the_way found = find_in_the_way(interface);
            return make_error(errc::program_conflict, step,
                              cause + (others.empty() ? std::string() : ": the interface runs " + others) + found.held_by,
                              found.remedy);
        }
        case EOPNOTSUPP:
            return make_error(errc::interface_not_supported, step, cause + ": the driver has no such XDP mode",
                              "use mode auto or generic");
        case EINVAL: {
            // What bpf(2) answers for an interface that does not exist, too.
            char found[IF_NAMESIZE];
            if (::if_indextoname(static_cast<unsigned>(interface.index), found) == nullptr) {
                return make_error(errc::interface_gone, step, cause, "check that the interface still exists");
            }
            return make_error(errc::interface_not_supported, step, cause + ": the driver refused the program",
                              "use mode auto or generic");
        }
        case ERANGE:
        case EMSGSIZE:
            return make_error(errc::mtu_too_large, step, cause + " with MTU " + std::to_string(interface.mtu),
                              "lower the MTU of the interface and of its peer, or use mode generic");
        case ENODEV:
        case ENXIO: return make_error(errc::interface_gone, step, cause, "check that the interface still exists");
        case EPERM:
        case EACCES:
            return make_error(errc::permission_denied, step, cause, detail::remedy_for_permission({CAP_BPF, CAP_NET_ADMIN}));
        default: return make_error(errc::system_failure, step, cause, "try mode generic, or see bpf(2) for this error");
    }
}

std::string describe_one(const xdp_program* entry) {
    const char* known = xdp_program__name(entry);
    return std::string(known != nullptr ? known : "a program") + " id " + std::to_string(xdp_program__id(entry));
}

}  // namespace

const char* name(attach_mode mode) noexcept {
    return mode == attach_mode::native ? "native" : "generic";
}

struct program::loaded {
    flux_redirect_bpf* skeleton = nullptr;
    void* verdicts = MAP_FAILED;
    std::size_t verdicts_length = 0;
    std::uint32_t cpus = 0;
    std::unique_ptr<detail::filter_maps> filter;  // null: loaded without one

    [[nodiscard]] bpf_program* entry() const noexcept {
        return filter != nullptr ? skeleton->progs.flux_filter : skeleton->progs.flux_redirect;
    }

    loaded() = default;
    loaded(const loaded&) = delete;
    loaded& operator=(const loaded&) = delete;
    ~loaded() {
        if (verdicts != MAP_FAILED) { ::munmap(verdicts, verdicts_length); }
        flux_redirect_bpf__destroy(skeleton);
    }
};

result<std::shared_ptr<program>> program::load(const interface_info& interface, const std::optional<packet_filter>& filter) {
    if (filter) {
        if (auto valid = filter->validate(); !valid) { return valid.error(); }
    }
    const quiet_libraries quiet;
    auto objects = std::make_unique<loaded>();
    objects->skeleton = flux_redirect_bpf__open();
    if (objects->skeleton == nullptr) { return load_failure(interface, errno, quiet.said()); }

    const int cpus = libbpf_num_possible_cpus();
    if (cpus < 0) { return load_failure(interface, -cpus, quiet.said()); }
    objects->cpus = static_cast<std::uint32_t>(cpus);
    const std::uint32_t queues = std::max(interface.queues, 64U);
    bpf_map__set_max_entries(objects->skeleton->maps.xsks, queues);
    bpf_map__set_max_entries(objects->skeleton->maps.verdicts, objects->cpus);
    bpf_map__set_max_entries(objects->skeleton->maps.rule_hits, objects->cpus);
    bpf_map__set_autocreate(objects->skeleton->maps.rule_hits, filter.has_value());
    bpf_map__set_autocreate(objects->skeleton->maps.filter, filter.has_value());
    bpf_program__set_autoload(objects->skeleton->progs.flux_filter, filter.has_value());
    bpf_program__set_autoload(objects->skeleton->progs.flux_redirect, !filter.has_value());
    if (const int r = flux_redirect_bpf__load(objects->skeleton); r < 0) {
        return load_failure(interface, -r, quiet.said());
    }
    objects->verdicts_length = objects->cpus * sizeof(flux_verdicts);
    objects->verdicts =
        ::mmap(nullptr, objects->verdicts_length, PROT_READ, MAP_SHARED, bpf_map__fd(objects->skeleton->maps.verdicts), 0);
    if (objects->verdicts == MAP_FAILED) { return load_failure(interface, errno, "mmap of the verdict counters"); }
    if (filter) {
        objects->filter = std::make_unique<detail::filter_maps>();
        int r = objects->filter->open(bpf_map__fd(objects->skeleton->maps.filter),
                                      bpf_map__fd(objects->skeleton->maps.rule_hits), objects->cpus);
        if (r == 0) { r = objects->filter->put(*filter); }
        if (r < 0) { return load_failure(interface, -r, "the rules of the filter"); }
    }
    return std::shared_ptr<program>(new program(std::move(objects), interface));
}

program::program(std::unique_ptr<loaded> objects, const interface_info& interface)
    : loaded_(std::move(objects)), interface_(interface), opened_by_(::getpid()) {
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd(), &info, &size) == 0) { id_ = info.id; }
}

program::~program() {
    detach();
}

result<void> program::attach(attach_mode mode) {
    if (attached() && mode == mode_ && !displaced()) { return {}; }
    if (attached()) { bpf_link_detach(link_); }  // whatever program it has now: the interface is free for ours
    detach();
    bpf_link_create_opts options{};
    options.sz = sizeof options;
    options.flags = mode == attach_mode::native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
    const int link = bpf_link_create(fd(), interface_.index, BPF_XDP, &options);
    if (link < 0) { return attach_failure(interface_, mode, -link); }
    mode_ = mode;
    const std::lock_guard lock(mutex_);
    link_ = link;
    return {};
}

bool program::displaced() const noexcept {
    const std::lock_guard lock(mutex_);
    return link_ >= 0 && is_displaced();
}

bool program::is_displaced() const noexcept {
    bpf_link_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(link_, &info, &size) != 0) { return false; }
    return info.prog_id != id_ || info.xdp.ifindex == 0;  // a link that was detached has no interface
}

void program::detach() noexcept {
    const std::lock_guard lock(mutex_);
    if (link_ < 0) { return; }
    // A link that is open anywhere keeps its program on the interface, and whoever lists the system's links opens each for a
    // moment. A forked copy of this process leaves the program where it is, and so does a program that has taken our place.
    if (::getpid() == opened_by_ && !is_displaced()) { bpf_link_detach(link_); }
    ::close(std::exchange(link_, -1));
}

result<void> program::insert(std::uint32_t queue, int socket_fd) {
    const int map = bpf_map__fd(loaded_->skeleton->maps.xsks);
    const std::lock_guard lock(mutex_);
    if (const int r = bpf_map_update_elem(map, &queue, &socket_fd, BPF_ANY); r < 0) {
        return make_error(errc::system_failure,
                          "direct queue " + std::to_string(queue) + " of " + interface_.name + " to the socket",
                          "bpf answered " + errno_text(-r), "check that the queue exists");
    }
    directed_[queue] = socket_fd;
    return {};
}

void program::remove(std::uint32_t queue, int socket_fd) noexcept {
    const std::lock_guard lock(mutex_);
    const auto entry = directed_.find(queue);
    if (entry == directed_.end() || entry->second != socket_fd) { return; }
    directed_.erase(entry);
    // A forked copy of this process shares the map with the process that made the entry.
    if (::getpid() == opened_by_) { bpf_map_delete_elem(bpf_map__fd(loaded_->skeleton->maps.xsks), &queue); }
}

std::vector<std::uint32_t> program::queues() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::uint32_t> served;
    for (const auto& [queue, socket_fd] : directed_) { served.push_back(queue); }
    return served;
}

int program::fd() const noexcept {
    return bpf_program__fd(loaded_->entry());
}

verdict_counts program::count() const noexcept {
    verdict_counts sum;
    const auto* slots = static_cast<const volatile flux_verdicts*>(loaded_->verdicts);
    for (std::uint32_t cpu = 0; cpu < loaded_->cpus; ++cpu) {
        sum.redirected += slots[cpu].redirected;
        sum.passed += slots[cpu].passed;
        sum.dropped += slots[cpu].dropped;
        sum.unmatched += slots[cpu].unmatched;
        sum.fragment += slots[cpu].fragment;
        sum.tagged += slots[cpu].tagged;
        sum.unreadable += slots[cpu].unreadable;
    }
    return sum;
}

result<void> program::set_filter(const packet_filter& filter) {
    const std::string step = "change the filter of " + interface_.name;
    if (loaded_->filter == nullptr) {
        return make_error(errc::invalid_option, step, "its XDP program was loaded without one",
                          "open the interface with builder::only(packet_filter::everything()), or a narrower one");
    }
    if (auto valid = filter.validate(); !valid) { return valid.error(); }
    if (const int r = loaded_->filter->put(filter); r < 0) {
        return make_error(errc::system_failure, step, "bpf answered " + errno_text(-r), "the former filter stays in force");
    }
    return {};
}

std::optional<packet_filter> program::filter() const {
    if (loaded_->filter == nullptr) { return std::nullopt; }
    return loaded_->filter->current();
}

std::vector<rule_count> program::count_rules() const {
    std::vector<rule_count> counts;
    if (loaded_->filter == nullptr) { return counts; }
    for (const auto& [rule, packets] : loaded_->filter->count()) { counts.push_back({rule, packets}); }
    return counts;
}

std::string describe_programs(int interface_index) {
    const quiet_libraries quiet;
    std::string text;
    xdp_multiprog* found = xdp_multiprog__get_from_ifindex(interface_index);
    if (libxdp_get_error(found) != 0 || found == nullptr) { return text; }
    if (const xdp_program* main = xdp_multiprog__main_prog(found)) { text = describe_one(main); }
    for (xdp_program* entry = nullptr; (entry = xdp_multiprog__next_prog(entry, found)) != nullptr;) {
        text += (text.empty() ? "" : ", ") + describe_one(entry);
    }
    if (!text.empty()) { text += xdp_multiprog__attach_mode(found) == XDP_MODE_SKB ? " (generic)" : " (native)"; }
    xdp_multiprog__close(found);
    return text;
}

}  // namespace fluxnet
