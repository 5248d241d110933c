# SPDX-License-Identifier: BSD-3-Clause
# Fails unless Doxygen makes the reference without a warning, and its pages say what comments of the tree say.
# SOURCE: the tree. INCLUDE: its headers as programs include them. DOXYGEN: the program. WORK: a folder to be filled.
if(NOT DOXYGEN)
    message("[skipped] doxygen is not installed: examples/install-packages --all does that")
    return()
endif()
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
execute_process(
    COMMAND ${CMAKE_COMMAND} -E env FLUXNET_SOURCE=${SOURCE} FLUXNET_INCLUDE=${INCLUDE} FLUXNET_REFERENCE=${WORK}
            ${DOXYGEN} ${SOURCE}/runtime/reference/Doxyfile
    WORKING_DIRECTORY ${WORK} RESULT_VARIABLE status OUTPUT_VARIABLE said ERROR_VARIABLE said)
if(NOT status EQUAL 0)
    message(FATAL_ERROR "doxygen ended with ${status}:\n${said}")
endif()

# expect(PAGE TEXT...): that the page has each of the texts, markup left out.
function(expect page)
    if(NOT EXISTS ${WORK}/html/${page})
        message(SEND_ERROR "there is no page ${page}")
        return()
    endif()
    file(READ ${WORK}/html/${page} html)
    string(REGEX REPLACE "<[^>]*>" "" html "${html}")
    string(REGEX REPLACE "&#160;|[ \n]+" " " html "${html}")
    foreach(text IN LISTS ARGN)
        string(FIND "${html}" "${text}" found)
        if(found EQUAL -1)
            message(SEND_ERROR "${page} does not say: ${text}")
        endif()
    endforeach()
endfunction()

# The first comment of a header, its example as code, the comment of its class, and one that a declaration shares.
expect(classfluxnet_1_1async__rx.html "An rx bound to an executor, so that coroutines there can await packets."
    "const auto [ec, n] = co_await sockets.rx.recv(burst)" "Every await on a handle that was moved from ends at once with closed."
    "#include &lt;fluxnet/runtime/packets/async_rx.hpp&gt;" "Packets")
expect(structfluxnet_1_1memory__counts.html "How a memory_network treats what is sent")
expect(classfluxnet_1_1proto_1_1echo__host.html "With count(): What it has counted")
expect(group__xsk__memory.html "Memory and packets" "fluxnet::umem" "fluxnet::packet")
expect(index.html "FluxNet is a coroutine networking runtime" "A packet's way")

file(GLOB recipes RELATIVE ${SOURCE}/examples/cookbook ${SOURCE}/examples/cookbook/*.cpp)
list(LENGTH recipes count)
if(count LESS 15)
    message(SEND_ERROR "there are only ${count} recipes")
endif()
foreach(recipe IN LISTS recipes)
    string(REGEX REPLACE "\\.cpp$" "" recipe ${recipe})
    expect(cookbook_${recipe}.html "examples/cookbook/${recipe}.cpp" "int main(")
endforeach()
