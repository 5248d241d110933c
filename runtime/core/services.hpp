// SPDX-License-Identifier: BSD-3-Clause
// `service`: something that an executor has one of and need not know: the monitor of links, a resolver, a pool of buffers.
//
// A service is a class derived from `service` with a constructor that takes the executor. The first `use_service<T>()` of an
// executor makes it; later calls return the same object. The executor owns its services. It destroys them in the reverse
// order of their making, after the frames of all tasks and before its reactor. So a service may use services that were made
// before it until its own end.
//
// Threads: that of the executor, or any while no thread runs it.
#pragma once

#include "fluxnet/export.hpp"

#include <memory>
#include <typeindex>
#include <typeinfo>
#include <utility>
#include <vector>

namespace fluxnet {

class executor;

class FLUXNET_EXPORT service {
public:
    service(const service&) = delete;
    service& operator=(const service&) = delete;
    virtual ~service() = default;

protected:
    service() = default;
};

namespace detail {

/// The services of one executor.
class service_registry {
public:
    service_registry() = default;
    service_registry(const service_registry&) = delete;
    service_registry& operator=(const service_registry&) = delete;
    ~service_registry() { clear(); }

    /// Finds the service of type T, or makes it. Throws what its constructor throws, and keeps nothing then.
    template <class T>
    T& use(executor& of) {
        for (const entry& each : entries_) {
            if (each.type == typeid(T)) { return static_cast<T&>(*each.object); }
        }
        auto made = std::make_unique<T>(of);  // which may use, and so make, others
        T& object = *made;
        entries_.push_back({typeid(T), std::move(made)});
        return object;
    }

    /// Destroys the services, the youngest first; also those that one makes as it goes.
    void clear() noexcept {
        while (!entries_.empty()) {
            const std::unique_ptr<service> last = std::move(entries_.back().object);
            entries_.pop_back();
        }
    }

private:
    struct entry {
        std::type_index type;
        std::unique_ptr<service> object;
    };

    std::vector<entry> entries_;
};

}  // namespace detail
}  // namespace fluxnet
