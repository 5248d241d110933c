// SPDX-License-Identifier: BSD-3-Clause
// All public headers, compiled with a warning that they give where they are not a system's.
#include "fluxnet/fluxnet.hpp"
