// SPDX-License-Identifier: BSD-3-Clause
// fuzz_seeds FROM TO: makes of each line "name hexadecimal" of a file FROM/PARSER.hex a file TO/PARSER/name with these octets,
// for the fuzzer of that parser to begin with. Lines that begin with # are comments.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>

namespace {

std::string octets(const std::string& hexadecimal, const std::string& where) {
    std::string made;
    for (std::size_t i = 0; i + 1 < hexadecimal.size(); i += 2) {
        std::size_t used = 0;
        const int value = std::stoi(hexadecimal.substr(i, 2), &used, 16);
        if (used != 2) { throw std::runtime_error(where + ": no hexadecimal octet at " + std::to_string(i)); }
        made.push_back(static_cast<char>(value));
    }
    if (made.empty() || hexadecimal.size() % 2 != 0) { throw std::runtime_error(where + ": half an octet, or none"); }
    return made;
}

void convert(const std::filesystem::path& from, const std::filesystem::path& to) {
    std::filesystem::create_directories(to);
    std::ifstream lines(from);
    for (std::string line; std::getline(lines, line);) {
        if (line.empty() || line[0] == '#') { continue; }
        const std::size_t space = line.find(' ');
        if (space == std::string::npos) { throw std::runtime_error(from.string() + ": no octets in: " + line); }
        const std::string name = line.substr(0, space);
        std::ofstream file(to / name, std::ios::binary);
        file << octets(line.substr(space + 1), from.string() + ": " + name);
        if (!file.flush()) { throw std::runtime_error("cannot write " + (to / name).string()); }
    }
}

}  // namespace

int main(int count, char** arguments) try {
    if (count != 3) { throw std::runtime_error("usage: fuzz_seeds FROM TO"); }
    int made = 0;
    for (const auto& file : std::filesystem::directory_iterator(arguments[1])) {
        if (file.path().extension() != ".hex") { continue; }
        convert(file.path(), arguments[2] / file.path().stem());
        ++made;
    }
    if (made == 0) { throw std::runtime_error(std::string("no .hex file in ") + arguments[1]); }
    return 0;
} catch (const std::exception& error) {
    std::cerr << "fuzz_seeds: " << error.what() << '\n';
    return 1;
}
