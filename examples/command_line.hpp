// SPDX-License-Identifier: BSD-3-Clause
// `command_line`: the options of an example. Each is bound to a variable, which keeps its value when the option is not
// given.
//
//     command_line options("Counts packets");
//     options.required("--interface", interface, "interface to listen on");
//     options.flag("--quiet", quiet, "no line every second");
//     options.parse(argc, argv);
//
// Used in main() only, on its thread. A layer over CLI11, which is slow to compile: it is compiled once here, and not in
// each example. Values may be of type std::string, std::vector<std::string>, double or an unsigned integer.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

namespace fluxnet {
enum class xdp_mode;
}

class command_line {
public:
    /// The values that an option accepts, both ends included.
    struct range {
        double least;
        double most;
    };

    explicit command_line(const std::string& what);
    ~command_line();
    command_line(const command_line&) = delete;
    command_line& operator=(const command_line&) = delete;

    template <class T>
    void required(const std::string& name, T& value, const std::string& help);
    template <class T>
    void optional(const std::string& name, T& value, const std::string& help);
    template <class T>
    void optional(const std::string& name, T& value, const std::string& help, range accepted);

    /// A word out of a list.
    void choice(const std::string& name, std::string& value, const std::string& help, std::vector<std::string> accepted);
    /// An option without a value.
    void flag(const std::string& name, bool& value, const std::string& help);
    /// --mode auto|native|generic: which XDP mode a socket is opened in.
    void mode(fluxnet::xdp_mode& value);

    /// Demands that an option is given this many times or with this many values.
    void expect(const std::string& name, int values);
    /// Demands exactly one of these options, which have been declared before.
    void exactly_one_of(std::initializer_list<std::string> names);

    /// Reads the arguments. Prints help or what is wrong and ends the program where CLI11 would.
    void parse(int argc, char** argv);

private:
    struct declared;
    std::unique_ptr<declared> declared_;
};
