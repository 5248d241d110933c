// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/detail/bind_ladder.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include <unistd.h>

// The kernel names no holder of a queue. What can be seen is who has AF_XDP rings mapped: a mapping of a socket whose offset
// is that of the fill ring (XDP_UMEM_PGOFF_FILL_RING) can be nothing else.

namespace fluxnet::detail {
namespace {

namespace fs = std::filesystem;

bool maps_fill_ring(const fs::path& process) {
    std::ifstream maps(process / "maps");
    for (std::string line; std::getline(maps, line);) {
        if (line.find(" 100000000 ") != std::string::npos && line.find("socket:[") != std::string::npos) { return true; }
    }
    return false;
}

}  // namespace

std::string describe_ring_holders() {
    std::string text;
    std::error_code ignored;
    const fs::path ours = fs::read_symlink("/proc/thread-self/ns/net", ignored);
    const std::string self = std::to_string(::getpid());
    for (auto entry = fs::directory_iterator("/proc", ignored); !ignored && entry != fs::directory_iterator();
         entry.increment(ignored)) {
        const std::string name = entry->path().filename();
        if (name.find_first_not_of("0123456789") != std::string::npos || !maps_fill_ring(entry->path())) { continue; }
        std::error_code unreadable;
        if (fs::read_symlink(entry->path() / "ns/net", unreadable) != ours || unreadable) { continue; }
        std::string command;
        std::ifstream comm(entry->path() / "comm");
        std::getline(comm, command);
        text += (text.empty() ? "" : ", ") + command + " pid " + name + (name == self ? ", this process" : "");
    }
    return text;
}

}  // namespace fluxnet::detail
