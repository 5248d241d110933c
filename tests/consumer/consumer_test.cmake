# SPDX-License-Identifier: BSD-3-Clause
# Builds a consumer with the compiler and flags of the build that tests it, but without what a debugger needs, and runs it.
# ROUTE: find_package (installs into WORK first) or add_subdirectory. SOURCE, BUILD: the library's folders. WORK: made anew.
# GENERATOR, CXX, CXX_FLAGS, BUILD_TYPE, CHECKED: as in that build.
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})

function(run)
    execute_process(COMMAND ${ARGV} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
    message("${output}")
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "${ARGV}: ${status}")
    endif()
    set(output "${output}" PARENT_SCOPE)
endfunction()

if(ROUTE STREQUAL "find_package")
    run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
    set(route -DCMAKE_PREFIX_PATH=${WORK}/prefix)
else()
    set(route -DFLUXNET_SOURCE=${SOURCE} -DFLUXNET_CHECKED=${CHECKED} -DFLUXNET_UNITY=ON)
endif()
run(${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer/${ROUTE} -B ${WORK}/build -G ${GENERATOR} ${route}
    -DCMAKE_CXX_COMPILER=${CXX} "-DCMAKE_CXX_FLAGS=${CXX_FLAGS}" -DCMAKE_BUILD_TYPE=${BUILD_TYPE} -DCMAKE_CXX_FLAGS_DEBUG=
    -DCMAKE_CXX_STANDARD=20 -DCMAKE_CXX_STANDARD_REQUIRED=ON -DCMAKE_CXX_EXTENSIONS=OFF)
run(${CMAKE_COMMAND} --build ${WORK}/build --target consumer --parallel 2)
run(${WORK}/build/consumer)
if(NOT output MATCHES "nosuch0")
    message(FATAL_ERROR "the consumer does not name the interface that is missing")
endif()
