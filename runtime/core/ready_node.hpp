// SPDX-License-Identifier: BSD-3-Clause
// `ready_node`: something that an executor is to run, linked in place.
//
// Embedded in awaiters and promises, so that making something ready allocates nothing. A node is in at most one queue; when
// it is destroyed it leaves that queue by itself. The foreign link is used while the node travels from another thread;
// meanwhile its owner may put it into the queue already.
#pragma once

#include <boost/intrusive/list.hpp>

#include <coroutine>

namespace fluxnet {

class alignas(8) ready_node
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    ready_node() = default;
    ready_node(const ready_node&) = delete;
    ready_node& operator=(const ready_node&) = delete;

    /// Called on the executor's thread, after the node was taken from its queue; may destroy the node.
    virtual void run() noexcept = 0;

    /// Resumed instead, unless it is null. A coroutine that hands over to the next one does so without a call.
    std::coroutine_handle<> coroutine;

    /// Called instead of run() when the executor ends first; a node on the heap deletes itself here.
    virtual void dispose() noexcept {}

    ready_node* foreign_next;  // while it is in an executor's inbox

protected:
    ~ready_node() = default;
};

/// A node that is there for its coroutine only.
class ready_coroutine final : public ready_node {
public:
    ready_coroutine() noexcept {}  // not defaulted: `{}` would then zero all of it first
    void run() noexcept override {}
};

using ready_queue = boost::intrusive::list<ready_node, boost::intrusive::constant_time_size<false>>;

}  // namespace fluxnet
