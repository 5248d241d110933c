# SPDX-License-Identifier: BSD-3-Clause
"""Plain English as Doxygen's markup."""

import re

CODE_INDENT = 4
SPAN = re.compile(r"(`[^`]*`)")


def escape(text):
    """One line without anything that Doxygen takes for a command or a tag; words in backticks stay as they are."""
    parts = SPAN.split(text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([\\@#%<>&$])", r"\\\1", parts[i]).replace('"', '\\"')
        parts[i] = re.sub(r"(?<!\w)::", r"\\::", parts[i])
    return "".join(parts)


def indent_of(line):
    return len(line) - len(line.lstrip(" "))


def to_markup(lines):
    """Lines of a comment, without its slashes and the space behind them, as lines of markup. Lines that are indented by four
    and more, after an empty one or another such line, are code."""
    result = []
    code = []
    after_empty = True

    def end_code():
        if code:
            while not code[-1].strip():
                code.pop()
            result.extend(["@code{.cpp}"] + [line[CODE_INDENT:] for line in code] + ["@endcode", ""])
            code.clear()

    for line in lines:
        is_code = indent_of(line) >= CODE_INDENT and line.strip() and (after_empty or code)
        if is_code or (code and not line.strip()):
            code.append(line)
        else:
            end_code()
            result.append(escape(line))
        after_empty = not line.strip()
    end_code()
    return result
