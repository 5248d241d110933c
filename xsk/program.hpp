// SPDX-License-Identifier: BSD-3-Clause
// `program`: our XDP program (bpf/redirect.bpf.c), loaded for one interface and attached to it by a bpf_link.
//
// Loaded without a filter it redirects every packet of the queues that have a socket, and looks at none. Loaded with one it
// redirects what the filter selects; the filter is the program's, for all queues, and can be changed while packets come.
//
// Sockets on the same interface share one program; it is attached for as long as one of them, or the user, keeps it. The
// link lives in a file descriptor, so a process that is killed leaves nothing on the interface.
// load(), attach(), insert() and remove() make bpf(2) calls and are for set-up; count() makes none. One thread at a time,
// but for count(), displaced(), queues(), and all that is about the filter. A child of fork() shares the attachment until
// the process that loaded the program takes it off, or until both have ended. Source: Linux
// Documentation/networking/af_xdp.rst (XSKMAP), bpf(2), libbpf's bpf_link_create.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/xsk/base/error.hpp"
#include "fluxnet/xsk/filter.hpp"
#include "fluxnet/xsk/interface.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace fluxnet {

/// Where an XDP program runs: in the driver, or in the kernel's generic path behind it ("SKB mode").
enum class attach_mode { native, generic };

/// "native" or "generic".
[[nodiscard]] FLUXNET_EXPORT const char* name(attach_mode mode) noexcept;

/// What the XDP program decided, since it was loaded. Snapshots of counters that are still moving.
struct verdict_counts {
    std::uint64_t redirected = 0;  ///< Handed to a socket, which may still have dropped it.
    std::uint64_t passed = 0;      ///< Left to the kernel, by the filter or for want of a socket on that queue.
    std::uint64_t dropped = 0;     ///< By the filter.

    // Those of `passed` that no rule of the filter has decided, by the reason (see filter_reason); 0 without a filter.
    std::uint64_t unmatched = 0;
    std::uint64_t fragment = 0;
    std::uint64_t tagged = 0;
    std::uint64_t unreadable = 0;
};

/// How many packets a rule has decided since it has been in the filter.
struct rule_count {
    filter_rule rule;
    std::uint64_t packets = 0;
};

class FLUXNET_EXPORT program {
public:
    /// Loads the program for `interface`, with room for as many sockets as it has queues. With a filter when there is one.
    /// Errors: permission_denied, kernel_not_supported, system_failure; invalid_option (see packet_filter::validate()).
    [[nodiscard]] static result<std::shared_ptr<program>> load(const interface_info& interface,
                                                               const std::optional<packet_filter>& filter = {});

    program(const program&) = delete;
    program& operator=(const program&) = delete;
    ~program();

    /// Attaches it. Succeeds at once when it is attached in that mode already and not displaced; where it was displaced, it
    /// takes its place back.
    /// Errors: program_conflict (with the other program's name), interface_not_supported, interface_gone,
    /// permission_denied, mtu_too_large, system_failure.
    [[nodiscard]] result<void> attach(attach_mode mode);

    /// Takes it off the interface, whoever else has its link open: somebody who lists links has, for a moment. A program
    /// that another process has put in its place stays for as long as that process keeps the link.
    void detach() noexcept;

    /// Directs the packets of `queue` to the AF_XDP socket `fd`, which must be bound.
    [[nodiscard]] result<void> insert(std::uint32_t queue, int fd);

    /// Lets the packets of `queue` pass to the kernel again, if it was the socket `fd` that insert() directed them to last:
    /// what another socket has put there since stays. In a process that was forked off the one that loaded the program it
    /// changes nothing for the kernel.
    void remove(std::uint32_t queue, int fd) noexcept;

    /// Puts another filter in force, for all sockets of the program. Each packet is judged by one filter from beginning to
    /// end, and none by the former one after this returns. Rules that stand in both keep their counts. Any thread. Three bpf
    /// calls, of which one waits until each processor has come by, which takes milliseconds: on an executor, offload() it.
    /// Errors: invalid_option (the program was loaded without a filter, and packet_filter::validate()), system_failure; the
    /// former filter stays in force then.
    [[nodiscard]] result<void> set_filter(const packet_filter& filter);

    /// The filter in force; none when the program was loaded without one. Any thread.
    [[nodiscard]] std::optional<packet_filter> filter() const;

    /// Counts of the rules in force, in their order; none without a filter. A rule that was in the filter before the last
    /// set_filter() goes on counting. Any thread. Reads shared memory: no system call.
    [[nodiscard]] std::vector<rule_count> count_rules() const;

    /// The queues that are directed to a socket now, in order. Any thread.
    [[nodiscard]] std::vector<std::uint32_t> queues() const;

    /// The interface that it was loaded for, and can be attached to.
    [[nodiscard]] const interface_info& interface() const noexcept { return interface_; }

    /// Tells whether attach() has succeeded, and detach() has not been called since.
    [[nodiscard]] bool attached() const noexcept { return link_ >= 0; }

    /// Tells whether the program was attached and another process has since taken it off the interface, or put another
    /// program in its place. Asks the kernel (one bpf call): there is no way to wait for this. Any thread.
    [[nodiscard]] bool displaced() const noexcept;

    /// The mode of the last attach().
    [[nodiscard]] attach_mode mode() const noexcept { return mode_; }

    /// The kernel's number of the program; `ip link` shows it as "prog/xdp id".
    [[nodiscard]] std::uint32_t id() const noexcept { return id_; }

    /// The file descriptor of the loaded program, for BPF_PROG_TEST_RUN and the like.
    [[nodiscard]] int fd() const noexcept;

    /// Sums the verdicts of all CPUs. Reads shared memory: no system call.
    [[nodiscard]] verdict_counts count() const noexcept;

private:
    struct loaded;  // libbpf's objects
    explicit program(std::unique_ptr<loaded> objects, const interface_info& interface);
    [[nodiscard]] bool is_displaced() const noexcept;  // with mutex_ held, and a link

    std::unique_ptr<loaded> loaded_;
    interface_info interface_;
    attach_mode mode_ = attach_mode::native;
    std::uint32_t id_ = 0;
    mutable std::mutex mutex_;               // held to change what follows, and to use it on any thread
    int link_ = -1;                          // bpf_link, or -1
    std::map<std::uint32_t, int> directed_;  // the descriptor that insert() was given last, by queue
    pid_t opened_by_ = -1;
};

/// Describes the XDP programs on an interface as libxdp finds them ("xdp_pass id 12, native"); empty when there is none.
[[nodiscard]] FLUXNET_EXPORT std::string describe_programs(int interface_index);

}  // namespace fluxnet
