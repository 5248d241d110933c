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
    T* previous = nullptr;
    T* next = nullptr;
    bool linked = false;
};

template <class T, hook<T> T::*Place>
class hook_list {
public:
    [[nodiscard]] T* front() const noexcept { return front_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return front_ == nullptr; }
    [[nodiscard]] static T* after(const T& one) noexcept { return (one.*Place).next; }
    [[nodiscard]] static bool holds(const T& one) noexcept { return (one.*Place).linked; }

    void push_back(T& one) noexcept {
        hook<T>& place = one.*Place;
        assert(!place.linked);
        place.linked = true;
        place.previous = back_;
        place.next = nullptr;
        (back_ == nullptr ? front_ : (back_->*Place).next) = &one;
        back_ = &one;
        ++size_;
    }

    void remove(T& one) noexcept {
        hook<T>& place = one.*Place;
        assert(place.linked);
        (place.previous == nullptr ? front_ : (place.previous->*Place).next) = place.next;
        (place.next == nullptr ? back_ : (place.next->*Place).previous) = place.previous;
        place = {};
        --size_;
    }

    /// Puts the first one at the end.
    void rotate() noexcept {
        if (front_ == back_) { return; }
        T& one = *front_;
        remove(one);
        push_back(one);
    }

private:
    T* front_ = nullptr;
    T* back_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace fluxnet::proto::tcp::detail
