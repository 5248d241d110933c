// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/detail/holders.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string_view>
#include <system_error>
#include <vector>

#include <bpf/bpf.h>
#include <sys/stat.h>
#include <unistd.h>

// The kernel names no holder of a queue. /proc shows which processes have AF_XDP rings mapped: a mapping of a socket at the
// offset of the fill ring (XDP_UMEM_PGOFF_FILL_RING) can be nothing else. The fdinfo of each descriptor of a bpf_link
// describes the link.

namespace fluxnet::detail {
namespace {

namespace fs = std::filesystem;

/// A bound socket of this process.
struct bound_entry {
    int fd = -1;
    std::uint64_t inode = 0;
    int interface_index = 0;
    std::uint64_t network_namespace = 0;
    std::uint32_t queue = 0;
};

struct bound_list {
    std::mutex mutex;
    std::vector<bound_entry> entries;
};

bound_list& own_sockets() {
    static bound_list instance;
    return instance;
}

std::uint64_t inode_of(int fd) noexcept {
    struct stat about {};
    return ::fstat(fd, &about) == 0 ? about.st_ino : 0;
}

/// The inodes of the sockets whose fill rings a process has mapped.
std::vector<std::uint64_t> mapped_fill_rings(const fs::path& process) {
    std::vector<std::uint64_t> inodes;
    std::ifstream maps(process / "maps");
    for (std::string line; std::getline(maps, line);) {
        const std::size_t at = line.find("socket:[");
        if (at == std::string::npos || line.find(" 100000000 ") == std::string::npos) { continue; }
        inodes.push_back(std::strtoull(line.c_str() + at + std::string_view("socket:[").size(), nullptr, 10));
    }
    return inodes;
}

std::string describe_process(const fs::path& process) {
    std::string command;
    std::ifstream comm(process / "comm");
    std::getline(comm, command);
    return command + " pid " + process.filename().string();
}

/// Calls `use` with the folder of every process that is visible.
template <class Use>
void for_each_process(Use use) {
    std::error_code ignored;
    for (auto entry = fs::directory_iterator("/proc", ignored); !ignored && entry != fs::directory_iterator();
         entry.increment(ignored)) {
        if (entry->path().filename().string().find_first_not_of("0123456789") == std::string::npos) { use(entry->path()); }
    }
}

/// Tells whether a socket of this process, other than the attempt, holds the queue or may do so.
bool held_by_us(std::uint64_t mapped, std::uint64_t attempt, const interface_info& interface, std::uint32_t queue) {
    if (mapped == attempt) { return false; }
    bound_list& own = own_sockets();
    const std::lock_guard lock(own.mutex);
    const auto found = std::ranges::find(own.entries, mapped, &bound_entry::inode);
    if (found == own.entries.end()) { return true; }
    return found->interface_index == interface.index && found->network_namespace == interface.network_namespace &&
           found->queue == queue;
}

/// Reads the link's number out of one descriptor's fdinfo; 0 when it is no XDP link, or that of another program.
std::uint32_t link_in(const fs::path& fdinfo, std::uint32_t program_id) {
    std::ifstream file(fdinfo);
    bool xdp = false;
    std::uint32_t link = 0;
    std::uint32_t program = 0;
    for (std::string line; std::getline(file, line);) {
        const auto number_after = [&](std::string_view key) {
            return static_cast<std::uint32_t>(std::strtoul(line.c_str() + key.size(), nullptr, 10));
        };
        if (line.starts_with("link_type:")) { xdp = line.find("xdp") != std::string::npos; }
        if (line.starts_with("link_id:")) { link = number_after("link_id:"); }
        if (line.starts_with("prog_id:")) { program = number_after("prog_id:"); }
    }
    return xdp && program == program_id ? link : 0;
}

/// Looks through all links of the system, which takes CAP_SYS_ADMIN.
std::uint32_t find_link(std::uint32_t program_id) {
    std::uint32_t id = 0;
    while (bpf_link_get_next_id(id, &id) == 0) {
        const int fd = bpf_link_get_fd_by_id(id);
        if (fd < 0) { continue; }
        bpf_link_info info{};
        std::uint32_t size = sizeof info;
        const bool ours =
            bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == BPF_LINK_TYPE_XDP && info.prog_id == program_id;
        ::close(fd);
        if (ours) { return id; }
    }
    return 0;
}

}  // namespace

void note_bound(int fd, const interface_info& interface, std::uint32_t queue) {
    bound_list& own = own_sockets();
    const std::lock_guard lock(own.mutex);
    own.entries.push_back({fd, inode_of(fd), interface.index, interface.network_namespace, queue});
}

void forget_bound(int fd) noexcept {
    bound_list& own = own_sockets();
    const std::lock_guard lock(own.mutex);
    std::erase_if(own.entries, [&](const bound_entry& entry) { return entry.fd == fd; });
}

std::string describe_ring_holders(int attempt, const interface_info& interface, std::uint32_t queue) {
    std::string text;
    std::error_code ignored;
    const fs::path ours = fs::read_symlink("/proc/thread-self/ns/net", ignored);
    const std::string self = std::to_string(::getpid());
    const std::uint64_t failing = inode_of(attempt);
    for_each_process([&](const fs::path& process) {
        std::vector<std::uint64_t> rings = mapped_fill_rings(process);
        const bool own = process.filename() == self;
        if (own) {
            std::erase_if(rings, [&](std::uint64_t inode) { return !held_by_us(inode, failing, interface, queue); });
        }
        if (rings.empty()) { return; }
        std::error_code unreadable;
        if (!own && (fs::read_symlink(process / "ns/net", unreadable) != ours || unreadable)) { return; }
        text += (text.empty() ? "" : ", ") + describe_process(process);
        if (own) { text += ", this process by another socket"; }
    });
    return text;
}

link_holder find_link_holder(std::uint32_t program_id) {
    link_holder found;
    for_each_process([&](const fs::path& process) {
        std::error_code unreadable;
        for (auto entry = fs::directory_iterator(process / "fdinfo", unreadable);
             !unreadable && entry != fs::directory_iterator(); entry.increment(unreadable)) {
            const std::uint32_t link = link_in(entry->path(), program_id);
            if (link == 0) { continue; }
            found.link_id = link;
            found.processes += (found.processes.empty() ? "" : ", ") + describe_process(process);
            return;
        }
    });
    if (found.link_id == 0) { found.link_id = find_link(program_id); }
    return found;
}

}  // namespace fluxnet::detail
