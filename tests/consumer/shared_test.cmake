# SPDX-License-Identifier: BSD-3-Clause
# Builds and installs the shared libraries, looks at what they show, and runs programs over them that g++ and clang++ compile.
# SOURCE: the library's folder. WORK: made anew. GENERATOR, CXX, CXX_FLAGS, CHECKED: as in the build that tests it.
# OTHER_CXX: the other compiler. PYTHON: an interpreter.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})

function(run)
    execute_process(COMMAND ${ARGV} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
    message("${output}")
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "${ARGV}: ${status}")
    endif()
endfunction()

run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/library -G ${GENERATOR} -DBUILD_SHARED_LIBS=ON -DFLUXNET_UNITY=ON
    -DFLUXNET_EXAMPLES=OFF -DFLUXNET_CHECKED=${CHECKED} -DCMAKE_CXX_COMPILER=${CXX} "-DCMAKE_CXX_FLAGS=${CXX_FLAGS}"
    -DCMAKE_INSTALL_PREFIX=${WORK}/prefix -DCMAKE_SHARED_LINKER_FLAGS=-Wl,-z,defs)
run(${CMAKE_COMMAND} --build ${WORK}/library --parallel 2)
run(${CMAKE_COMMAND} --install ${WORK}/library)
run(${PYTHON} ${SOURCE}/tests/consumer/exported_symbols.py ${WORK}/prefix ${WORK}/library)
foreach(compiler ${CXX} ${OTHER_CXX})
    cmake_path(GET compiler FILENAME name)
    run(${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer/shared -B ${WORK}/${name} -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${WORK}/prefix
        -DCMAKE_CXX_COMPILER=${compiler})
    run(${CMAKE_COMMAND} --build ${WORK}/${name} --parallel 2)
    run(${WORK}/${name}/parts)
    run(${WORK}/${name}/consumer)
endforeach()
