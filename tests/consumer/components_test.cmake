# SPDX-License-Identifier: BSD-3-Clause
# Asks for components that there are not, and for the library where pkg-config finds nothing.
# SOURCE, BUILD: the library's folders. WORK: made anew. GENERATOR, CXX, CXX_FLAGS: as in the build that tests it.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK}/nothing)
set(blind ${CMAKE_COMMAND} -E env PKG_CONFIG_LIBDIR=${WORK}/nothing PKG_CONFIG_PATH=${WORK}/nothing)

# run(FAILS|WORKS COMMAND...): its output, in lines that are not broken, is in `output`.
function(run expected)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
    message("${output}")
    if(status EQUAL 0 AND expected STREQUAL "FAILS" OR NOT status EQUAL 0 AND expected STREQUAL "WORKS")
        message(FATAL_ERROR "${ARGN}: ${status}, which is not what was expected: ${expected}")
    endif()
    string(REGEX REPLACE "[ \n]+" " " output "${output}")
    set(output "${output}" PARENT_SCOPE)
endfunction()

# says(TEXT...): all of them are in the last output.
function(says)
    foreach(text IN LISTS ARGN)
        string(FIND "${output}" "${text}" place)
        if(place EQUAL -1)
            message(SEND_ERROR "the output does not have: ${text}")
        endif()
    endforeach()
endfunction()

# is_silent_on(TEXT...): none of them is in the last output.
function(is_silent_on)
    foreach(text IN LISTS ARGN)
        string(FIND "${output}" "${text}" place)
        if(NOT place EQUAL -1)
            message(SEND_ERROR "the output has: ${text}")
        endif()
    endforeach()
endfunction()

set(compiler -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${CXX} "-DCMAKE_CXX_FLAGS=${CXX_FLAGS}" -DCMAKE_PREFIX_PATH=${WORK}/prefix)
set(ask ${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer/components ${compiler})
run(WORKS ${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)

set(unknown "fluxnet has no component nosuch here; installed are: proto, xsk, runtime, simulation")
run(FAILS ${ask} -B ${WORK}/seeing "-DARGUMENTS=REQUIRED\\;COMPONENTS\\;runtime\\;nosuch")
says("${unknown}")
run(WORKS ${ask} -B ${WORK}/seeing "-DARGUMENTS=QUIET\\;COMPONENTS\\;runtime\\;nosuch")
says("found: 0" "because: ${unknown}")
is_silent_on("CMake Warning" "CMake Error" "target:")
run(WORKS ${ask} -B ${WORK}/seeing "-DARGUMENTS=REQUIRED\\;COMPONENTS\\;proto\\;OPTIONAL_COMPONENTS\\;nosuch")
says("found: 1" "target: proto")
is_silent_on("target: xsk" "target: runtime" "target: simulation")

set(missing "pkg-config does not find libbpf, which fluxnet needs: install its development package")
run(WORKS ${blind} ${ask} -B ${WORK}/blind "-DARGUMENTS=QUIET")
says("found: 0" "because: ${missing}")
is_silent_on("CMake Warning" "CMake Error" "target:")
run(FAILS ${blind} ${ask} -B ${WORK}/blind "-DARGUMENTS=REQUIRED\\;COMPONENTS\\;xsk")
says("${missing}")

# The protocol views need nothing of the kernel's, installed or in the folder.
set(alone ${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer/proto_alone ${compiler})
foreach(route installed folder)
    if(route STREQUAL "folder")
        list(APPEND alone -DFLUXNET_SOURCE=${SOURCE})
    endif()
    run(WORKS ${blind} ${alone} -B ${WORK}/proto_${route})
    run(WORKS ${blind} ${CMAKE_COMMAND} --build ${WORK}/proto_${route} --target proto_alone)
    run(WORKS ${WORK}/proto_${route}/proto_alone)
endforeach()
