// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/detail/capabilities.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace fluxnet::detail {
namespace {

std::string name_of(int capability) {
    switch (capability) {
        case CAP_NET_RAW: return "CAP_NET_RAW";
        case CAP_NET_ADMIN: return "CAP_NET_ADMIN";
        case CAP_BPF: return "CAP_BPF";
        case CAP_IPC_LOCK: return "CAP_IPC_LOCK";
        default: return "capability " + std::to_string(capability);
    }
}

/// "a", "a and b", "a, b and c".
std::string join(const std::vector<int>& capabilities) {
    std::string text;
    for (std::size_t i = 0; i < capabilities.size(); ++i) {
        if (i != 0) { text += i + 1 == capabilities.size() ? " and " : ", "; }
        text += name_of(capabilities[i]);
    }
    return text;
}

}  // namespace

std::string remedy_for_permission(std::initializer_list<int> needed) {
    __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> words{};
    const bool known = ::syscall(SYS_capget, &head, words.data()) == 0;
    std::vector<int> missing;
    for (const int capability : needed) {
        const std::uint32_t effective = words[static_cast<std::size_t>(CAP_TO_INDEX(capability))].effective;
        if (!known || (effective & static_cast<std::uint32_t>(CAP_TO_MASK(capability))) == 0) {
            missing.push_back(capability);
        }
    }
    if (!missing.empty()) { return "grant " + join(missing) + ", or run as root"; }
    return "this process has " + join(needed) +
           ": look whether they hold in the user namespace of this network namespace, and whether a seccomp filter or a "
           "security module (SELinux, AppArmor, lockdown) refuses the call";
}

std::string remedy_for_xdp_permission(bool attaches) {
    // Whoever is told of the first that is missing would meet the others one by one.
    return attaches ? remedy_for_permission({CAP_NET_RAW, CAP_BPF, CAP_NET_ADMIN}) : remedy_for_permission({CAP_NET_RAW});
}

}  // namespace fluxnet::detail
