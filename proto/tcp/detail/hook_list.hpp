// SPDX-License-Identifier: BSD-3-Clause
// `hook_list`: a doubly linked list of objects that have a `hook` for it: nothing is allocated, and any object can leave.
//
//     struct item { hook<item> place; };
//     hook_list<item, &item::place> waiting;
//     waiting.push_back(one);  waiting.remove(one);
//
// The list owns nothing; an object leaves it before it ends. Threads: one at a time.
#pragma once

#include <cassert>
#include <cstddef>

namespace fluxnet::proto::tcp::detail {

/// The place of an object in one list.
template <class T>
struct hook {
    T* previous = nullptr;  // of the first one: the last one
    T* next = nullptr;      // of the last one: the first one; null while it is in no list
};

template <class T, hook<T> T::*Place>
class hook_list {
public:
    [[nodiscard]] T* front() const noexcept { return front_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return front_ == nullptr; }
    /// The next one; null behind the last one.
    [[nodiscard]] T* after(const T& one) const noexcept {
        T* const next = (one.*Place).next;
        return next == front_ ? nullptr : next;
    }
    /// Whether the object is in a list, by this hook.
    [[nodiscard]] static bool holds(const T& one) noexcept { return (one.*Place).next != nullptr; }

    void push_back(T& one) noexcept {
        hook<T>& place = one.*Place;
        assert(place.next == nullptr);
        if (front_ == nullptr) {
            place = {&one, &one};
            front_ = &one;
        } else {
            T* const last = (front_->*Place).previous;
            place = {last, front_};
            (last->*Place).next = &one;
            (front_->*Place).previous = &one;
        }
        ++size_;
    }

    void remove(T& one) noexcept {
        hook<T>& place = one.*Place;
        assert(place.next != nullptr);
        if (place.next == &one) {
            front_ = nullptr;
        } else {
            (place.previous->*Place).next = place.next;
            (place.next->*Place).previous = place.previous;
            if (front_ == &one) { front_ = place.next; }
        }
        place = {};
        --size_;
    }

    /// Puts the first one at the end.
    void rotate() noexcept {
        if (front_ != nullptr) { front_ = (front_->*Place).next; }
    }

private:
    T* front_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace fluxnet::proto::tcp::detail
