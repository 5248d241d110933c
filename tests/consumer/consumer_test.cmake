# SPDX-License-Identifier: BSD-3-Clause
# Installs the library into WORK, builds a consumer with the compiler and flags of the build that tests it, but without what a
# debugger needs, and runs it. ROUTE: find_package or pkg_config. SOURCE, BUILD: the library's folders. WORK: made anew.
# GENERATOR, CXX, CXX_FLAGS, BUILD_TYPE: as in that build.
cmake_minimum_required(VERSION 3.25)
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

# The consumer names the interface that it does not find.
function(run_consumer)
    run(${WORK}/build/consumer)
    if(NOT output MATCHES "nosuch0")
        message(FATAL_ERROR "the consumer does not name the interface that is missing")
    endif()
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)

# By hand, from a prefix that has been moved, with all components asked for.
if(ROUTE STREQUAL "pkg_config")
    file(RENAME ${WORK}/prefix ${WORK}/moved)
    file(GLOB_RECURSE files ${WORK}/moved/*.pc)
    list(GET files 0 folder)
    cmake_path(GET folder PARENT_PATH folder)
    set(components "")
    foreach(file IN LISTS files)
        cmake_path(GET file STEM LAST_ONLY name)
        list(APPEND components ${name})
    endforeach()
    if(NOT "fluxnet-proto" IN_LIST components OR NOT "fluxnet-asio" IN_LIST components)
        message(FATAL_ERROR "pkg-config is not told of all components: ${components}")
    endif()
    set(ask ${CMAKE_COMMAND} -E env PKG_CONFIG_PATH=${folder} pkg-config)
    run(${ask} --validate ${components})
    run(${ask} --cflags --libs ${components})
    separate_arguments(options UNIX_COMMAND "${output}")
    separate_arguments(flags UNIX_COMMAND "${CXX_FLAGS}")
    file(MAKE_DIRECTORY ${WORK}/build)
    run(${CXX} -std=c++20 ${flags} ${SOURCE}/tests/consumer/consumer.cpp -o ${WORK}/build/consumer ${options})
    run_consumer()
    # The protocol views need no other package.
    run(${CMAKE_COMMAND} -E env PKG_CONFIG_LIBDIR=${folder} pkg-config --cflags --libs fluxnet-proto)
    separate_arguments(options UNIX_COMMAND "${output}")
    run(${CXX} -std=c++20 ${flags} ${SOURCE}/tests/consumer/proto_alone/proto_alone.cpp -o ${WORK}/build/alone ${options})
    run(${WORK}/build/alone)
    return()
endif()

run(${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer/find_package -B ${WORK}/build -G ${GENERATOR}
    -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_CXX_COMPILER=${CXX} "-DCMAKE_CXX_FLAGS=${CXX_FLAGS}"
    -DCMAKE_BUILD_TYPE=${BUILD_TYPE} -DCMAKE_CXX_FLAGS_DEBUG= -DCMAKE_CXX_STANDARD=20 -DCMAKE_CXX_STANDARD_REQUIRED=ON
    -DCMAKE_CXX_EXTENSIONS=OFF)
run(${CMAKE_COMMAND} --build ${WORK}/build --target consumer --parallel 2)
run_consumer()

# Every folder of headers that is installed has some. The cookbook is built by itself, with what the library needs and no more.
file(GLOB_RECURSE folders LIST_DIRECTORIES true ${WORK}/prefix/include/*)
foreach(folder IN LISTS folders)
    file(GLOB inside ${folder}/*)
    if(IS_DIRECTORY ${folder} AND inside STREQUAL "")
        message(FATAL_ERROR "an empty folder is installed: ${folder}")
    endif()
endforeach()
set(documents ${WORK}/prefix/share/doc/fluxnet)
run(${documents}/tests/find_gcc12_patterns ${documents}/examples)
run(${CMAKE_COMMAND} -S ${documents}/examples/cookbook -B ${WORK}/cookbook -G ${GENERATOR}
    -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_CXX_COMPILER=${CXX} "-DCMAKE_CXX_FLAGS=${CXX_FLAGS}" -DCMAKE_CXX_STANDARD=20
    -DCMAKE_BUILD_TYPE=${BUILD_TYPE} -DCMAKE_CXX_FLAGS_DEBUG= -DCMAKE_DISABLE_FIND_PACKAGE_CLI11=ON)
run(${CMAKE_COMMAND} --build ${WORK}/cookbook --target cookbook_every_second)
