// SPDX-License-Identifier: BSD-3-Clause
#include "examples/command_line.hpp"

#include "fluxnet/xsk/raw_socket.hpp"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <cstdlib>
#include <map>

using fluxnet::xdp_mode;

struct command_line::declared {
    explicit declared(const std::string& what) : app(what) {}
    CLI::App app;
};

command_line::command_line(const std::string& what) : declared_(std::make_unique<declared>(what)) {}
command_line::~command_line() = default;

template <class T>
void command_line::required(const std::string& name, T& value, const std::string& help) {
    declared_->app.add_option(name, value, help)->required();
}

template <class T>
void command_line::optional(const std::string& name, T& value, const std::string& help) {
    declared_->app.add_option(name, value, help);
}

template <class T>
void command_line::optional(const std::string& name, T& value, const std::string& help, range accepted) {
    declared_->app.add_option(name, value, help)
        ->check(CLI::Range(static_cast<T>(accepted.least), static_cast<T>(accepted.most)));
}

void command_line::choice(const std::string& name, std::string& value, const std::string& help,
                          std::vector<std::string> accepted) {
    declared_->app.add_option(name, value, help)->check(CLI::IsMember(std::move(accepted)));
}

void command_line::flag(const std::string& name, bool& value, const std::string& help) {
    declared_->app.add_flag(name, value, help);
}

void command_line::mode(xdp_mode& value) {
    static const std::map<std::string, xdp_mode> modes{
        {"auto", xdp_mode::automatic}, {"native", xdp_mode::native}, {"generic", xdp_mode::generic}};
    declared_->app.add_option("--mode", value, "auto, native or generic")->transform(CLI::CheckedTransformer(modes));
}

void command_line::expect(const std::string& name, int values) {
    declared_->app.get_option(name)->expected(values);
}

void command_line::exactly_one_of(std::initializer_list<std::string> names) {
    CLI::Option_group* const group = declared_->app.add_option_group("one of");
    for (const std::string& name : names) { group->add_option(declared_->app.get_option(name)); }
    group->require_option(1);
}

void command_line::parse(int argc, char** argv) {
    try {
        declared_->app.parse(argc, argv);
    } catch (const CLI::ParseError& ended) { std::exit(declared_->app.exit(ended)); }
}

#define EXAMPLE_OPTION_TYPE(...)                                                                \
    template void command_line::required(const std::string&, __VA_ARGS__&, const std::string&); \
    template void command_line::optional(const std::string&, __VA_ARGS__&, const std::string&); \
    template void command_line::optional(const std::string&, __VA_ARGS__&, const std::string&, range)
#define EXAMPLE_LIST_TYPE(...)                                                                  \
    template void command_line::required(const std::string&, __VA_ARGS__&, const std::string&); \
    template void command_line::optional(const std::string&, __VA_ARGS__&, const std::string&)
EXAMPLE_LIST_TYPE(std::string);
EXAMPLE_LIST_TYPE(std::vector<std::string>);
EXAMPLE_OPTION_TYPE(double);
EXAMPLE_OPTION_TYPE(std::uint16_t);
EXAMPLE_OPTION_TYPE(std::uint32_t);
EXAMPLE_OPTION_TYPE(std::uint64_t);
