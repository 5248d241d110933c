# SPDX-License-Identifier: BSD-3-Clause
"""Usage: gcc12_patterns_test.py samples|tree. Runs tests/find_gcc12_patterns.
samples: it must find the lines that are marked `// finds 1` or `// finds 2`, by that pattern, and no others.
tree: it must find nothing in the library, its examples, tests and benchmarks."""

import os
import re
import subprocess
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(TESTS)


def run(*paths):
    command = [sys.executable, os.path.join(TESTS, "find_gcc12_patterns"), *paths]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def samples():
    folder = os.path.join(TESTS, "gcc12_patterns", "samples")
    wrong = 0
    marked = 0
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        with open(path, encoding="utf-8") as file:
            expected = {(number, found.group(1)) for number, line in enumerate(file, 1)
                        if (found := re.search(r"// finds ([12])$", line.rstrip()))}
        result = run(path)
        found = {(int(line), "1" if what.startswith("co_await in the condition") else "2")
                 for line, what in re.findall(r"^[^:\n]*:(\d+): (.*)$", result.stdout, re.MULTILINE)}
        marked += len(expected)
        for line, rule in sorted(expected - found):
            print(f"{path}:{line}: pattern {rule} was not found")
        for line, rule in sorted(found - expected):
            print(f"{path}:{line}: pattern {rule} was found where it is not")
        wrong += len(expected ^ found)
        if result.returncode != (1 if expected else 0):
            print(f"{path}: exit code {result.returncode}")
            wrong += 1
    if run(os.path.join(folder, "no_such_file.cpp")).returncode != 2:
        print("a file that cannot be read is no error")
        wrong += 1
    return wrong == 0 and marked > 30


def tree():
    folders = [os.path.join(ROOT, name) for name in ("proto", "xsk", "runtime", "examples", "benchmarks")]
    folders += [os.path.join(TESTS, name) for name in sorted(os.listdir(TESTS))
                if name != "gcc12_patterns" and os.path.isdir(os.path.join(TESTS, name))]
    result = run(*folders)
    print(result.stdout + result.stderr)
    read = int(result.stderr.split()[0]) if result.returncode in (0, 1) else 0
    return result.returncode == 0 and read > 200


sys.exit(0 if {"samples": samples, "tree": tree}[sys.argv[1]]() else 1)
