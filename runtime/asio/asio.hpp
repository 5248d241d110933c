// SPDX-License-Identifier: BSD-3-Clause
// Every public header of `fluxnet::asio`.
#pragma once

#include "fluxnet/runtime/asio/async_run.hpp"
#include "fluxnet/runtime/asio/async_stream.hpp"
#include "fluxnet/runtime/asio/execution.hpp"
#include "fluxnet/runtime/asio/port.hpp"
#include "fluxnet/runtime/asio/task_stream.hpp"
#include "fluxnet/runtime/asio/use_task.hpp"
