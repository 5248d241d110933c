// SPDX-License-Identifier: BSD-3-Clause
// Tells what a program that seems to hang is waiting for: on SIGQUIT each task, where it was spawned, what it awaits and for
// how long. The program goes on. executor::tasks() gives the same as values; in virtual time run() throws errc::deadlock
// with this list when nothing can go on any more.
#include "fluxnet/runtime/core/dump_on_signal.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/sync/channel.hpp"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>

using namespace fluxnet;
using namespace std::chrono_literals;

/// Waits for somebody who never sends.
static task<void> hang(channel<int>& never) {
    int value = 0;
    static_cast<void>(co_await never.recv(value));
}

static task<void> wonder(std::string& told) {
    ::raise(SIGQUIT);  // or, from a shell: kill -QUIT PID
    while (told.empty()) { static_cast<void>(co_await sleep_for(1ms)); }
}

int main() {
    channel<int> never(1);
    std::string told;
    executor loop;
    dump_on_signal tell(loop, SIGQUIT, [&told](const std::string& tasks) { told = tasks; });
    loop.spawn(hang(never));
    loop.run(wonder(told));  // cancels hang() when it ends
    std::fputs(told.c_str(), stdout);
    return told.find("tell_what_hangs.cpp") != std::string::npos && told.find("channel::recv") != std::string::npos ? 0 : 1;
}
