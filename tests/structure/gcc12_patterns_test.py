# SPDX-License-Identifier: BSD-3-Clause
"""Usage: gcc12_patterns_test.py samples|tree|comments. Runs tests/find_gcc12_patterns.
samples: it must find the lines that are marked `// finds 1` or `// finds 2`, by that pattern, and no others.
tree: it must find nothing in the library, its examples, tests and benchmarks.
comments: nor in the examples that stand in the comments of the library's headers, each as the body of a coroutine."""

import os
import re
import subprocess
import sys
import tempfile

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


def examples_of(path):
    """The blocks of lines in comments that are indented by five spaces."""
    blocks, block = [], []
    with open(path, encoding="utf-8") as file:
        for line in list(file) + [""]:
            found = re.match(r"\s*///?(?:     (.*)|\s*$)", line)
            if found and (found.group(1) or block):
                block.append(found.group(1) or "")
            elif block:
                blocks.append("\n".join(block))
                block = []
    return [each for each in blocks if "co_await" in each]


def comments():
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        for room in ("proto", "xsk", "runtime"):
            for where, _, names in os.walk(os.path.join(ROOT, room)):
                for name in (each for each in names if each.endswith(".hpp")):
                    for block in examples_of(os.path.join(where, name)):
                        count += 1
                        path = os.path.join(folder, f"{name}.{count}.cpp")
                        with open(path, "w", encoding="utf-8") as file:
                            file.write("task<void> example() {\n" + block + "\n}\n")
        result = run(folder)
        print(result.stdout.replace(folder + os.sep, "") + result.stderr)
    return result.returncode == 0 and count > 20


sys.exit(0 if {"samples": samples, "tree": tree, "comments": comments}[sys.argv[1]]() else 1)
