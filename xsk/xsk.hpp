// SPDX-License-Identifier: BSD-3-Clause
// Every public header of `fluxnet::xsk`.
#pragma once

#include "fluxnet/xsk/base/error.hpp"
#include "fluxnet/xsk/base/log.hpp"
#include "fluxnet/xsk/builder.hpp"
#include "fluxnet/xsk/filter.hpp"
#include "fluxnet/xsk/interface.hpp"
#include "fluxnet/xsk/kernel.hpp"
#include "fluxnet/xsk/memory/descriptor.hpp"
#include "fluxnet/xsk/memory/frame_home.hpp"
#include "fluxnet/xsk/memory/frame_pool.hpp"
#include "fluxnet/xsk/memory/home_frames.hpp"
#include "fluxnet/xsk/memory/packet.hpp"
#include "fluxnet/xsk/memory/ring.hpp"
#include "fluxnet/xsk/memory/umem.hpp"
#include "fluxnet/xsk/packet_batch.hpp"
#include "fluxnet/xsk/program.hpp"
#include "fluxnet/xsk/raw_socket.hpp"
#include "fluxnet/xsk/rings_state.hpp"
#include "fluxnet/xsk/rx.hpp"
#include "fluxnet/xsk/tx.hpp"
