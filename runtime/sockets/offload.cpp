// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/offload.hpp"

namespace fluxnet::detail {

error offload_error(std::error_code why) {
    if (why == errc::not_in_virtual_time) {
        return {why, "offload a function", "in virtual time no other thread takes part",
                "call the function itself, or put its answer into the test"};
    }
    return {why, "offload a function", "the task was cancelled", "nothing is wrong: the program asked for it"};
}

}  // namespace fluxnet::detail
