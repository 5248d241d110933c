# SPDX-License-Identifier: BSD-3-Clause
# Warns once of a g++ that miscompiles coroutines. Both the library's own build and find_package(fluxnet) come here.
option(FLUXNET_COMPILER_WARNING "Warn of a g++ that miscompiles some coroutines" ON)
get_property(fluxnet_warned GLOBAL PROPERTY FLUXNET_COMPILER_WARNED)
if(FLUXNET_COMPILER_WARNING AND NOT fluxnet_warned AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU"
        AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    set_property(GLOBAL PROPERTY FLUXNET_COMPILER_WARNED TRUE)
    message(WARNING "FluxNet: g++ ${CMAKE_CXX_COMPILER_VERSION} miscompiles some coroutines. Store the result of co_await in a "
        "variable before you test it, and keep braces with aggregates and lambdas with captures out of expressions with "
        "co_await (fluxnet/runtime/core/task.hpp has the details). clang++ needs no such care. "
        "-DFLUXNET_COMPILER_WARNING=OFF silences this.")
endif()
