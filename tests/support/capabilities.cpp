// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/capabilities.hpp"

#include "tests/support/detail/file_descriptor.hpp"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

namespace fluxnet::test {
namespace {

using detail::throw_errno;

using capability_words = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

capability_words read_own() {
    __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
    capability_words words{};
    if (::syscall(SYS_capget, &head, words.data()) != 0) throw_errno("capget");
    return words;
}

void write_own(const capability_words& words) {
    __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
    if (::syscall(SYS_capset, &head, words.data()) != 0) throw_errno("capset");
}

}  // namespace

void drop_capability(int capability) {
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) throw_errno("prctl(PR_CAPBSET_DROP)");
    // The ambient set follows: the kernel keeps it within the permitted and the inheritable ones.
    capability_words words = read_own();
    auto& word = words.at(static_cast<std::size_t>(CAP_TO_INDEX(capability)));
    const std::uint32_t others = ~static_cast<std::uint32_t>(CAP_TO_MASK(capability));
    word.effective &= others;
    word.permitted &= others;
    word.inheritable &= others;
    write_own(words);
}

void drop_all_capabilities() {
    // The bounding set first, because that takes CAP_SETPCAP. A kernel refuses the first number it does not know.
    for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
        if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) throw_errno("prctl(PR_CAPBSET_DROP)");
    }
    write_own({});
}

void set_memlock_limit(std::uint64_t bytes) {
    const rlimit limit{bytes, bytes};
    if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0) throw_errno("setrlimit(RLIMIT_MEMLOCK)");
}

bool has_capability(int capability) {
    const capability_words words = read_own();
    const auto& word = words.at(static_cast<std::size_t>(CAP_TO_INDEX(capability)));
    return (word.effective & static_cast<std::uint32_t>(CAP_TO_MASK(capability))) != 0;
}

}  // namespace fluxnet::test
