// SPDX-License-Identifier: BSD-3-Clause
// `print_opening_report`: tells the user of an example how its socket came to be opened as it was.
//
//     auto sockets = builder(name).build_system();
//     if (sockets) { print_opening_report(sockets->refusals, sockets->notes); }
//
// Threads: any; it writes to standard output.
#pragma once

#include "fluxnet/xsk/base/error.hpp"

#include <cstdio>
#include <string>
#include <vector>

/// Prints a line for each step of the bind ladder that was refused, which says why the socket is not zero-copy, or why it
/// runs in generic mode; and a line for each note. Prints nothing when there are none. It leaves the remedies of the
/// refusals out: they are for a user whose socket could not be opened at all.
inline void print_opening_report(const std::vector<fluxnet::error>& refusals, const std::vector<std::string>& notes) {
    for (const fluxnet::error& refusal : refusals) {
        std::printf("refused: %s: %s\n", refusal.step.c_str(), refusal.cause.c_str());
    }
    for (const std::string& note : notes) { std::printf("note: %s\n", note.c_str()); }
}
