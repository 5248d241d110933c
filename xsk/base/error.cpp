// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/base/error.hpp"

#include <cstring>
#include <stdexcept>
#include <utility>

namespace fluxnet {
namespace {

class category final : public std::error_category {
public:
    const char* name() const noexcept override { return "fluxnet"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::invalid_option: return "invalid option";
            case errc::interface_not_found: return "interface not found";
            case errc::interface_not_supported: return "interface not supported";
            case errc::interface_gone: return "interface gone";
            case errc::link_down: return "link down";
            case errc::queue_out_of_range: return "queue out of range";
            case errc::queue_busy: return "queue busy";
            case errc::permission_denied: return "permission denied";
            case errc::out_of_memory: return "out of memory";
            case errc::memlock_exceeded: return "locked-memory limit exceeded";
            case errc::mtu_too_large: return "MTU too large for a frame";
            case errc::program_conflict: return "another XDP program is attached";
            case errc::program_detached: return "XDP program detached";
            case errc::kernel_not_supported: return "kernel not supported";
            case errc::ring_corruption: return "ring corruption";
            case errc::packet_too_small: return "packet too small";
            case errc::packet_too_large: return "packet too large";
            case errc::foreign_packet: return "packet that holds no frame, or one of another UMEM";
            case errc::completions_missing: return "sent packets were not completed in time";
            case errc::operation_canceled: return "operation canceled";
            case errc::end_of_stream: return "end of the stream";
            case errc::closed: return "closed";
            case errc::not_in_virtual_time: return "not possible in virtual time";
            case errc::deadlock: return "deadlock";
            case errc::already_running: return "executor already running";
            case errc::wrong_thread: return "wrong thread";
            case errc::wrong_executor: return "wrong executor";
            case errc::handle_in_use: return "another coroutine awaits it already";
            case errc::no_executor: return "no executor runs here";
            case errc::not_awaitable: return "task is empty, was moved away or has been awaited before";
            case errc::stopped: return "executor stopped";
            case errc::callback_threw: return "a callback threw";
            case errc::system_failure: return "system failure";
        }
        return "unknown condition";
    }

    std::error_condition default_error_condition(int value) const noexcept override {
        switch (static_cast<errc>(value)) {
            case errc::invalid_option:
            case errc::queue_out_of_range:
            case errc::foreign_packet: return std::errc::invalid_argument;
            case errc::interface_not_found: return std::errc::no_such_device;
            case errc::interface_gone: return std::errc::no_such_device_or_address;
            case errc::link_down: return std::errc::network_down;
            case errc::interface_not_supported:
            case errc::not_in_virtual_time:
            case errc::kernel_not_supported: return std::errc::operation_not_supported;
            case errc::queue_busy:
            case errc::handle_in_use:
            case errc::program_conflict: return std::errc::device_or_resource_busy;
            case errc::permission_denied: return std::errc::permission_denied;
            case errc::out_of_memory:
            case errc::memlock_exceeded: return std::errc::not_enough_memory;
            case errc::mtu_too_large:
            case errc::packet_too_small:
            case errc::packet_too_large: return std::errc::message_size;
            case errc::completions_missing: return std::errc::timed_out;
            case errc::operation_canceled: return std::errc::operation_canceled;
            case errc::deadlock: return std::errc::resource_deadlock_would_occur;
            case errc::closed: return std::errc::bad_file_descriptor;
            case errc::already_running:
            case errc::wrong_thread:
            case errc::wrong_executor:
            case errc::no_executor:
            case errc::not_awaitable: return std::errc::operation_not_permitted;
            case errc::stopped: return std::errc::operation_canceled;
            case errc::program_detached:
            case errc::ring_corruption:
            case errc::end_of_stream:
            case errc::callback_threw:
            case errc::system_failure: break;
        }
        return {value, *this};
    }
};

}  // namespace

const std::error_category& flux_category() noexcept {
    static const category instance;
    return instance;
}

std::error_code make_error_code(errc condition) noexcept {
    return {static_cast<int>(condition), flux_category()};
}

std::string error::message() const {
    std::string text = step;
    text += ": ";
    text += cause.empty() ? code.message() : cause;
    if (!remedy.empty()) {
        text += "; ";
        text += remedy;
    }
    return text;
}

error make_error(errc condition, std::string step, std::string cause, std::string remedy) {
    return {make_error_code(condition), std::move(step), std::move(cause), std::move(remedy)};
}

std::string errno_text(int number) {
    std::string text;
    if (const char* symbol = ::strerrorname_np(number)) {
        text = symbol;
    } else {
        text = "errno " + std::to_string(number);
    }
    text += " (";
    text += std::generic_category().message(number);
    text += ')';
    return text;
}

namespace {

/// What value() throws. A std::system_error alone would put the message of the code behind the text, which has said it.
class failed_result final : public std::system_error {
public:
    explicit failed_result(const error& failure) : std::system_error(failure.code), text_(failure.message()) {}
    [[nodiscard]] const char* what() const noexcept override { return text_.what(); }

private:
    std::runtime_error text_;  // a string that is copied without an exception
};

}  // namespace

void throw_exception_from_error(const error& failure, const boost::source_location&) {
    throw failed_result(failure);
}

}  // namespace fluxnet
