// SPDX-License-Identifier: BSD-3-Clause
// Runs a fuzz target on files, for compilers without libFuzzer and for inputs that once failed.
//
// Usage: <target> FILE-OR-DIRECTORY...
// Directories are searched through. Exits with 0 when every input was run, 1 when one could not be read, and 2 when there
// was none; an input that breaks a promise ends the process.
#include "tests/fuzz/fuzz_input.hpp"

#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

bool run(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file.good() && !file.eof()) {
        std::fprintf(stderr, "cannot read %s\n", path.c_str());
        return false;
    }
    const std::vector<std::uint8_t> input(bytes.begin(), bytes.end());
    LLVMFuzzerTestOneInput(input.data(), input.size());
    return true;
}

std::vector<std::filesystem::path> files_of(const std::filesystem::path& path) {
    if (!std::filesystem::is_directory(path)) { return {path}; }
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
        if (entry.is_regular_file()) { files.push_back(entry.path()); }
    }
    return files;
}

}  // namespace

int main(int count, char** arguments) try {
    std::size_t done = 0;
    bool failed = false;
    for (int i = 1; i < count; ++i) {
        for (const std::filesystem::path& file : files_of(arguments[i])) {
            if (run(file)) {
                ++done;
            } else {
                failed = true;
            }
        }
    }
    std::printf("%zu inputs were run\n", done);
    if (failed) { return 1; }
    if (done == 0) {
        std::fprintf(stderr, "usage: %s FILE-OR-DIRECTORY...\n", arguments[0]);
        return 2;
    }
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
