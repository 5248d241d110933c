// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
// Counts the system calls of one process or one thread, by number.
//
// Runs at the entry of every system call on the machine, so it leaves early for everybody else. Loaded, given its target and
// read through its memory-mapped global variables by tests/support/syscall_counter.cpp; it lives as long as that object.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

// A power of two above the highest system call number, so that a mask keeps the verifier content.
#define MAX_SYSCALLS 1024

// Set before loading. Process ids are those of one pid namespace, named by device and inode of /proc/<pid>/ns/pid.
const volatile __u64 pidns_device = 0;
const volatile __u64 pidns_inode = 0;
const volatile __u32 target_id = 0;
const volatile __u32 target_is_thread = 0;

// The last slot counts numbers that are not in the table.
__u64 counts[MAX_SYSCALLS + 1];

// The arguments of the raw tracepoint: the registers of the caller, then the number of the system call.
SEC("raw_tp/sys_enter")
int count_syscall(struct bpf_raw_tracepoint_args *context)
{
	struct bpf_pidns_info self = {};
	__u64 number = context->args[1];

	// Fails for a task of another pid namespace.
	if (bpf_get_ns_current_pid_tgid(pidns_device, pidns_inode, &self, sizeof(self)) != 0)
		return 0;
	if ((target_is_thread ? self.pid : self.tgid) != target_id)
		return 0;
	if (number >= MAX_SYSCALLS)
		number = MAX_SYSCALLS;
	__sync_fetch_and_add(&counts[number], 1);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
