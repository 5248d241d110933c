// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/foreign_program.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>

#include <array>

namespace fluxnet::test {

using detail::file_descriptor;
using detail::throw_errno;

file_descriptor load_foreign_program() {
    const std::array<bpf_insn, 2> code{
        {{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, XDP_PASS}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}}};
    bpf_prog_load_opts options{};
    options.sz = sizeof options;
    options.expected_attach_type = BPF_XDP;  // as our own program, or it could not take that one's place
    return file_descriptor::checked(
        ::bpf_prog_load(BPF_PROG_TYPE_XDP, "somebody", "BSD", code.data(), code.size(), &options), "load a foreign program");
}

file_descriptor link_program(int program_fd, unsigned interface_index, bool generic) {
    bpf_link_create_opts options{};
    options.sz = sizeof options;
    options.flags = generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
    return file_descriptor::checked(::bpf_link_create(program_fd, static_cast<int>(interface_index), BPF_XDP, &options),
                                    "attach a program by a link");
}

file_descriptor find_link_of(std::uint32_t program_id) {
    std::uint32_t id = 0;
    while (::bpf_link_get_next_id(id, &id) == 0) {
        file_descriptor link{::bpf_link_get_fd_by_id(id)};
        if (!link) { continue; }  // gone meanwhile
        bpf_link_info info{};
        __u32 size = sizeof info;
        if (::bpf_obj_get_info_by_fd(link.get(), &info, &size) == 0 && info.type == BPF_LINK_TYPE_XDP &&
            info.prog_id == program_id) {
            return link;
        }
    }
    throw_errno("find the link of an XDP program");
}

void detach_link_of(std::uint32_t program_id) {
    if (::bpf_link_detach(find_link_of(program_id).get()) != 0) { throw_errno("detach a link"); }
}

void update_link(int link_fd, int program_fd) {
    if (::bpf_link_update(link_fd, program_fd, nullptr) != 0) { throw_errno("update a link"); }
}

std::uint32_t program_id_of(int program_fd) {
    bpf_prog_info info{};
    __u32 size = sizeof info;
    if (::bpf_obj_get_info_by_fd(program_fd, &info, &size) != 0) { throw_errno("ask for a program's number"); }
    return info.id;
}

}  // namespace fluxnet::test
