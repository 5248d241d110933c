# SPDX-License-Identifier: BSD-3-Clause
"""The cookbook's pages."""

import os

from .header import first_comment
from .prose import to_markup


def name_of(path):
    return os.path.splitext(os.path.basename(path))[0]


def title_of(name):
    spelled = {"asio": "Asio", "tcp": "TCP", "tls": "TLS", "udp": "UDP"}
    words = " ".join(spelled.get(word, word) for word in name.split("_"))
    return words[0].upper() + words[1:]


def block(lines):
    return "/**\n" + "\n".join(lines) + "\n*/\n"


def page_of(path, text):
    """A recipe as a page: what it says of itself, and its code from the first #include on."""
    lines = text.rstrip("\n").split("\n")
    comment, behind = first_comment(lines)
    name = name_of(path)
    head = [f"@page cookbook_{name} {title_of(name)}"] + to_markup(comment)
    head += ["", f"`examples/cookbook/{name}.cpp`:", "", "@code{.cpp}"]
    return block(head + lines[behind:] + ["@endcode"])


def with_list_of_recipes(path, text):
    """The cookbook's own page: its text, and a link to each recipe with its first sentence."""
    folder = os.path.dirname(path)
    title, _, rest = text.partition("\n")
    result = [title + " {#cookbook}", rest, ""]
    for file in sorted(os.listdir(folder)):
        if file.endswith(".cpp"):
            with open(os.path.join(folder, file), encoding="utf-8") as recipe:
                comment, _ = first_comment(recipe.read().split("\n"))
            sentence = " ".join(comment).split(". ")[0].split(": ")[0].rstrip(".")
            result.append(f'- @subpage cookbook_{name_of(file)} "{title_of(name_of(file))}": ' + to_markup([sentence])[0] + ".")
    return "\n".join(result) + "\n"
