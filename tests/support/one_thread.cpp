// SPDX-License-Identifier: BSD-3-Clause
// Linked into the test programs of one thread, which the thread sanitizer is spared: the program ends when a thread begins, so
// that none of them comes to need the sanitizer unseen. The C++ library, too, begins its threads by this function.
#include <cstdio>
#include <cstdlib>

#include <pthread.h>

extern "C" int pthread_create(pthread_t* /*thread*/, const pthread_attr_t* /*attributes*/, void* (*/*begin*/)(void*),
                              void* /*argument*/) noexcept {
    std::fputs("a test program with ONE_THREAD in tests/CMakeLists.txt begins a second thread\n", stderr);
    std::abort();
}
