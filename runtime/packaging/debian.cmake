# SPDX-License-Identifier: BSD-3-Clause
# What `cpack -G DEB` makes of a build: libfluxnet0 of shared libraries, libfluxnet-dev, and fluxnet-doc. Configured for the
# prefix /usr, as the preset `debian` does, the libraries lie where Debian's do. A build of archives makes no libfluxnet0.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL fluxnet_development fluxnet_documentation)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
    WORLD_READ WORLD_EXECUTE)

set(FLUXNET_PACKAGE_MAINTAINER "The FluxNet authors <fluxnet@example.org>"
    CACHE STRING "Who answers for the packages that are made here")
set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${FLUXNET_PACKAGE_MAINTAINER})
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")  # the first line of each description is its own
set(about "FluxNet is a runtime for C++20 coroutines on Linux. An executor sleeps in
io_uring and wakes coroutines when an AF_XDP socket has packets, a kernel
socket has bytes, or a file operation has ended.")

set(fluxnet_libraries_package libfluxnet${fluxnet_soversion})
set(CPACK_DEBIAN_FLUXNET_LIBRARIES_PACKAGE_NAME ${fluxnet_libraries_package})
set(CPACK_DEBIAN_FLUXNET_LIBRARIES_DESCRIPTION "coroutine networking over AF_XDP and io_uring (libraries)
${about}
.
This package has the shared libraries.")
set(CPACK_DEBIAN_FLUXNET_LIBRARIES_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_FLUXNET_LIBRARIES_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_FLUXNET_LIBRARIES_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/runtime/packaging/triggers)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")

set(fluxnet_development_package libfluxnet-dev)
set(CPACK_DEBIAN_FLUXNET_DEVELOPMENT_PACKAGE_NAME ${fluxnet_development_package})
set(CPACK_DEBIAN_FLUXNET_DEVELOPMENT_DESCRIPTION "coroutine networking over AF_XDP and io_uring (development)
${about}
.
This package has the headers, and what CMake, pkg-config and the linker find
the libraries by.")
set(CPACK_DEBIAN_FLUXNET_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_FLUXNET_DEVELOPMENT_PACKAGE_SUGGESTS fluxnet-doc)

set(fluxnet_documentation_package fluxnet-doc)
set(CPACK_DEBIAN_FLUXNET_DOCUMENTATION_PACKAGE_NAME ${fluxnet_documentation_package})
set(CPACK_DEBIAN_FLUXNET_DOCUMENTATION_DESCRIPTION "coroutine networking over AF_XDP and io_uring (documentation)
${about}
.
This package has an overview and the sources of the examples.")
set(CPACK_DEBIAN_FLUXNET_DOCUMENTATION_PACKAGE_SECTION doc)
set(CPACK_DEBIAN_FLUXNET_DOCUMENTATION_PACKAGE_ARCHITECTURE all)

# The headers include Boost's. Whoever links archives links what these need.
set(needs "libboost1.81-dev | libboost-dev (>= 1.81)")
if(BUILD_SHARED_LIBS)
    list(PREPEND CPACK_COMPONENTS_ALL fluxnet_libraries)
    list(PREPEND needs "${fluxnet_libraries_package} (= ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})")
else()
    foreach(component IN LISTS FLUXNET_COMPONENTS)
        set(needed_by_xsk libbpf-dev libxdp-dev pkg-config)
        set(needed_by_runtime liburing-dev)
        set(needed_by_tls libssl-dev)
        list(APPEND needs ${needed_by_${component}})
    endforeach()
endif()
list(JOIN needs ", " CPACK_DEBIAN_FLUXNET_DEVELOPMENT_PACKAGE_DEPENDS)

# Debian's own files, which nothing but the packages has.
find_program(FLUXNET_GZIP gzip)
if(FLUXNET_GZIP)
    set(made ${PROJECT_BINARY_DIR}/packaging)
    file(STRINGS ${PROJECT_SOURCE_DIR}/LICENSE license)
    list(TRANSFORM license PREPEND " ")
    list(TRANSFORM license REPLACE "^ $" " .")
    list(JOIN license "\n" fluxnet_license)
    configure_file(${PROJECT_SOURCE_DIR}/runtime/packaging/copyright.in ${made}/copyright @ONLY)
    string(TIMESTAMP fluxnet_date "%a, %d %b %Y %H:%M:%S +0000" UTC)  # SOURCE_DATE_EPOCH sets it
    configure_file(${PROJECT_SOURCE_DIR}/runtime/packaging/changelog.in ${made}/changelog @ONLY)
    execute_process(COMMAND ${FLUXNET_GZIP} -9nc ${made}/changelog OUTPUT_FILE ${made}/changelog.Debian.gz)
    foreach(page IN LISTS fluxnet_pages)
        cmake_path(GET page FILENAME name)
        execute_process(COMMAND ${FLUXNET_GZIP} -9nc ${page} OUTPUT_FILE ${made}/${name}.gz)
        install(FILES ${made}/${name}.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man7
            COMPONENT fluxnet_documentation EXCLUDE_FROM_ALL)
    endforeach()
    foreach(component IN LISTS CPACK_COMPONENTS_ALL)
        install(FILES ${made}/copyright ${made}/changelog.Debian.gz
            DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${${component}_package} COMPONENT ${component} EXCLUDE_FROM_ALL)
    endforeach()
endif()
include(CPack)
