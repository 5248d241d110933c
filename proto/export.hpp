// SPDX-License-Identifier: BSD-3-Clause
// `FLUXNET_EXPORT`: marks what a shared library of FluxNet shows to those that are linked with it.
//
// The shared libraries are compiled with everything else hidden. Marked are: classes that have functions or a vtable in a
// library, with all that is in them; free functions that are not inline; and inline variables, and inline functions with
// static variables, of which a process may have only one. A class of `detail` is marked where the text of a public header
// calls it. A program may be compiled with -fvisibility=hidden itself: what is marked stays one thing all the same.
#pragma once

#define FLUXNET_EXPORT [[gnu::visibility("default")]]
