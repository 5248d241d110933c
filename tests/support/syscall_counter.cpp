// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/syscall_counter.hpp"

#include "tests/support/detail/file_descriptor.hpp"

#include <bpf/libbpf.h>
#include <sys/stat.h>
#include <unistd.h>

#include "syscall_counter_bpf.skel.h"

#include <atomic>
#include <cstdarg>
#include <cstddef>
#include <exception>
#include <span>
#include <stdexcept>

namespace fluxnet::test {
namespace {

using detail::throw_errno;

int print_nothing(libbpf_print_level, const char*, std::va_list) {
    return 0;
}

std::uint64_t load(std::uint64_t& count) noexcept {
    return std::atomic_ref<std::uint64_t>(count).load(std::memory_order_relaxed);
}

std::optional<std::string> try_to_count() {
    try {
        const syscall_counter trial(::getpid());
        const pid_t parent = ::getppid();
        static_cast<void>(parent);
        if (trial.total() == 0) return "the kernel's sys_enter tracepoint counts nothing (CONFIG_FTRACE_SYSCALLS)";
        return std::nullopt;
    } catch (const std::exception& refused) { return std::string{"system calls cannot be counted: "} + refused.what(); }
}

}  // namespace

struct syscall_counter::loaded {
    loaded() = default;
    ~loaded() { syscall_counter_bpf__destroy(skeleton); }
    loaded(const loaded&) = delete;
    loaded& operator=(const loaded&) = delete;

    // The table of counts without its last slot, which is for numbers beyond it.
    [[nodiscard]] std::span<std::uint64_t> table() const noexcept {
        constexpr std::size_t slots = sizeof skeleton->bss->counts / sizeof skeleton->bss->counts[0];
        static_assert(sizeof skeleton->bss->counts[0] == sizeof(std::uint64_t));
        return {reinterpret_cast<std::uint64_t*>(skeleton->bss->counts), slots - 1};
    }
    [[nodiscard]] std::uint64_t& beyond() const noexcept { return table().data()[table().size()]; }

    syscall_counter_bpf* skeleton = nullptr;
};

syscall_counter::syscall_counter(pid_t id, counted kind) : program_(std::make_unique<loaded>()) {
    struct stat pid_namespace{};
    if (::stat("/proc/self/ns/pid", &pid_namespace) != 0) throw_errno("stat /proc/self/ns/pid");

    const libbpf_print_fn_t former = ::libbpf_set_print(print_nothing);
    const auto failed = [former](const char* step) {
        const int error = errno;
        ::libbpf_set_print(former);
        throw std::system_error(error, std::generic_category(), step);
    };
    program_->skeleton = syscall_counter_bpf__open();
    if (program_->skeleton == nullptr) failed("open the BPF program that counts system calls");
    program_->skeleton->rodata->pidns_device = pid_namespace.st_dev;
    program_->skeleton->rodata->pidns_inode = pid_namespace.st_ino;
    program_->skeleton->rodata->target_id = static_cast<std::uint32_t>(id);
    program_->skeleton->rodata->target_is_thread = kind == counted::thread ? 1 : 0;
    if (syscall_counter_bpf__load(program_->skeleton) != 0) {
        failed("load the BPF program that counts system calls (needs CAP_BPF and CAP_PERFMON)");
    }
    if (syscall_counter_bpf__attach(program_->skeleton) != 0) failed("attach to the tracepoint sys_enter");
    ::libbpf_set_print(former);
    reset();
}

syscall_counter::~syscall_counter() = default;
syscall_counter::syscall_counter(syscall_counter&&) noexcept = default;
syscall_counter& syscall_counter::operator=(syscall_counter&&) noexcept = default;

std::optional<std::string> syscall_counter::why_not_available() {
    static const std::optional<std::string> reason = try_to_count();
    return reason;
}

void syscall_counter::reset() noexcept {
    for (std::uint64_t& count : program_->table()) {
        std::atomic_ref<std::uint64_t>(count).store(0, std::memory_order_relaxed);
    }
    std::atomic_ref<std::uint64_t>(program_->beyond()).store(0, std::memory_order_relaxed);
}

std::uint64_t syscall_counter::total() const noexcept {
    std::uint64_t sum = load(program_->beyond());
    for (std::uint64_t& count : program_->table()) sum += load(count);
    return sum;
}

std::uint64_t syscall_counter::of(long number) const noexcept {
    const auto table = program_->table();
    const auto at = static_cast<std::size_t>(number);
    return at < table.size() ? load(table[at]) : 0;
}

std::map<long, std::uint64_t> syscall_counter::snapshot() const {
    std::map<long, std::uint64_t> seen;
    const auto table = program_->table();
    for (std::size_t number = 0; number < table.size(); ++number) {
        if (const std::uint64_t count = load(table[number])) seen.emplace(static_cast<long>(number), count);
    }
    if (const std::uint64_t count = load(program_->beyond())) seen.emplace(-1, count);
    return seen;
}

}  // namespace fluxnet::test
