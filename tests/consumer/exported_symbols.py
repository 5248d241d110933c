#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Fails when the shared libraries show what is not of FluxNet's interface, or hide what is.

Usage: exported_symbols.py PREFIX BUILD: where they are installed with their headers, and where they were built.

Of namespace fluxnet, everything is shown that is not in a namespace detail; of detail, what a header marks by FLUXNET_EXPORT.
Of other namespaces only what the compiler makes from their templates and inline functions, which others may have too.
"""
import pathlib
import re
import subprocess
import sys

PREFIXES = re.compile(r"^((vtable|VTT|typeinfo|typeinfo name|guard variable|template parameter object) for"
                      r"|(non-virtual|virtual) thunk to) ")


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def main(prefix, build):
    faults = set()
    headers = "\n".join(path.read_text() for path in pathlib.Path(prefix).rglob("*.hpp"))
    marked = set(re.findall(r"FLUXNET_EXPORT [^;{}()]*?(\w+)(?=\s*[({;=]|\s+(?::|final\b))", headers))
    libraries = [path for path in pathlib.Path(prefix).rglob("libfluxnet_*.so") if path.is_symlink()]
    shown = 0
    for library in libraries:
        for line in output_of("nm", "--dynamic", "--defined-only", "--demangle", library):
            kind, name = line.split(" ", 2)[1:]
            name = PREFIXES.sub("", name)
            if not name.startswith("fluxnet::"):
                if kind not in "WVu":
                    faults.add(f"{library.name} shows {name}")
                continue
            shown += 1
            parts = name.split("::")
            if parts[1] == "detail" or parts[2:3] == ["detail"]:
                inner = re.match(r"\w+", parts[parts.index("detail") + 1]).group()
                if inner not in marked:
                    faults.add(f"{library.name} shows {name}, which no header marks")
    for code in pathlib.Path(build).rglob("fluxnet_*.dir/**/*.o"):
        for line in output_of("readelf", "--symbols", "--wide", "--demangle", code):
            hidden = re.search(r" GLOBAL HIDDEN +\d+ (fluxnet::.*)", line)
            if hidden and "::detail::" not in hidden.group(1).split("(")[0]:
                faults.add(f"{hidden.group(1)} is hidden: its header does not mark it by FLUXNET_EXPORT")
    if len(libraries) < 4 or shown < 500:
        faults.add(f"only {len(libraries)} libraries with {shown} names of namespace fluxnet were found")
    for fault in sorted(faults):
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
