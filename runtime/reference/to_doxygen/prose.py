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
    and more, after an empty one or another such line, are code; by less, outside a list, a table that stays as it is."""
    result = []
    block = []
    kind = None
    after_empty, in_list = True, False

    def end_block():
        nonlocal kind
        if kind:
            while not block[-1].strip():
                block.pop()
            indent = min(indent_of(line) for line in block if line.strip())
            language = ".cpp" if kind == "code" else ".unparsed"
            result.extend(["@code{%s}" % language] + [line[indent:] for line in block] + ["@endcode", ""])
            block.clear()
            kind = None

    for line in lines:
        here = None
        if line.strip():
            if indent_of(line) >= CODE_INDENT and (after_empty or kind == "code"):
                here = "code"
            elif indent_of(line) >= 2 and not in_list:
                here = kind or "table"
        if here or (kind == "code" and not line.strip()):
            kind = kind or here
            block.append(line)
        else:
            end_block()
            result.append(escape(line))
            in_list = bool(line.strip()) and (in_list or re.match(r"- |\d+\. ", line) is not None)
        after_empty = not line.strip()
    end_block()
    return result
