# SPDX-License-Identifier: BSD-3-Clause
"""A header, with documentation made of its comments."""

import os
import re

from . import declarations
from .prose import to_markup

NAMED = re.compile(r"^((?:`[^`]+`(?:,\s*)?)+):\s*(.*)$", re.S)
SPECIAL = re.compile(r"=\s*(?:delete|default)\s*$|\boperator\s*(?:==|<=>)")
ROOTS = ("proto", "xsk", "runtime")


def room_of(path):
    """The group of a header: proto, xsk_memory, runtime_core; nothing for one that only includes others."""
    parts = os.path.dirname(path).split("/")
    begin = max((i for i, part in enumerate(parts) if part in ROOTS), default=len(parts))
    return "_".join(parts[begin:])


def first_comment(lines):
    """The first comment behind the licence's line, without slashes, and the number of the line behind it."""
    at = 1
    while at < len(lines) and lines[at].startswith("//"):
        at += 1
    return [re.sub(r"^// ?", "", line) for line in lines[1:at]], at


def split_names(comment):
    """The names at the beginning of a comment, and the comment without them."""
    text = "\n".join(comment)
    found = NAMED.match(text)
    if not found:
        return [], comment
    names = [re.sub(r"<.*", "", name) for name in re.findall(r"`([^`]+)`", found.group(1))]
    rest = found.group(2)
    return names, (rest[:1].upper() + rest[1:]).split("\n")


def is_doc(line):
    return re.match(r"\s*///(?!<)", line) is not None


def doc_above(lines, at):
    """The number of the first line of the comment above line `at`; `at` when there is none."""
    begin = at
    while begin > 0 and is_doc(lines[begin - 1]):
        begin -= 1
    return begin


def has_doc_behind(lines, first, last):
    return any("///<" in lines[i] for i in range(first, last + 1))


def first_paragraph(comment):
    end = comment.index("") if "" in comment else len(comment)
    return comment[:end]


class Header:
    def __init__(self, path, text):
        self.lines = text.split("\n")
        self.room = room_of(path)
        self.path = path
        self.before = {}  # lines to be put before a line, by its number
        self.replaced = {}  # ranges of comments, by their first line: (behind the last line, new lines)
        self.declared = [d for d in declarations.read(text)]

    def put(self, at, lines):
        self.before.setdefault(at, []).extend(lines)

    def own_doc(self, at):
        begin = doc_above(self.lines, at)
        return [re.sub(r"^\s*/// ?", "", line) for line in self.lines[begin:at]]

    def documentable(self):
        """What a reader of the reference sees."""
        for each in self.declared:
            hidden = self.is_elsewhere(each) or any(self.is_elsewhere(outer) or outer.name.split("::")[-1] == "detail" or outer.name.endswith("_awaiter") for outer in each.scopes())
            if each.kind != "namespace" and each.is_public and not hidden:
                yield each

    def is_private_class(self, each):
        """Tells whether it is the definition of a class that another one declares among what is private."""
        outer, _, name = re.sub(r"<.*>", "", each.name).rpartition("::")
        if each.kind != "class" or not outer:
            return False
        return any(d.kind == "class" and d.name == name and not d.is_public and d.parent is not None and d.parent.name == outer
                   for d in self.declared)

    def is_elsewhere(self, each):
        """Tells whether it is a specialisation of somebody else's template, the type of an await, private, or the definition of
        a function that its class declares."""
        if each.kind == "class":
            return each.parent is None or each.name.endswith("_awaiter") or self.is_private_class(each)
        if each.kind != "other" or each.parent is None or each.parent.kind != "namespace" or "(" not in each.text:
            return False
        return re.search(r"\w(?:<[^<>()]*>)?::~?\w+\s*$", each.text[:each.text.index("(")]) is not None

    def write(self, at, lines, indent):
        begin = doc_above(self.lines, at)
        self.replaced[begin] = (at, [f"{indent}/// {line}".rstrip() for line in to_markup(lines)])

    def add_first_comment(self, names, comment):
        """Documents the entities that the first comment names."""
        for name in names:
            same = [d for d in self.documentable() if d.name == name and (d.parent is None or d.parent.kind == "namespace")]
            defined = [d for d in same if d.is_definition] or same
            if not defined:
                continue
            target = defined[0]
            own = self.own_doc(target.line)
            if not own:
                whole = comment
            elif target.kind == "class":
                whole = comment + [""] + own
            elif name == names[0]:
                whole = own + [""] + comment
            else:
                whole = own
            self.write(target.line, whole, "")

    def convert_the_rest(self):
        """Makes markup of all other comments, and shares or hides what stands below them."""
        shared = None  # the comment of the declaration above, and the line where it ends
        for each in self.declared:
            if self.is_elsewhere(each):
                self.hide(each, "")
        for each in self.documentable():
            indent = re.match(r"\s*", self.lines[each.line]).group(0)
            begin = doc_above(self.lines, each.line)
            written = begin in self.replaced
            own = self.own_doc(each.line)
            if own and not written:
                self.write(each.line, own, indent)
            behind = has_doc_behind(self.lines, each.line, each.last_line) and each.kind != "class"
            if not own and not written and not behind and each.kind == "other":
                special = SPECIAL.search(each.text) or each.name.startswith("~") or re.search(r"\bfriend\b", each.text)
                above = each.line - 1
                if special or self.is_copy_or_move(each):
                    self.hide(each, indent)
                elif shared and shared[1] == above and shared[2] is each.parent:
                    own = shared[0]
                    if shared[3] != each.name and re.fullmatch(r"\w+", shared[3]):
                        own = [f"With {shared[3]}(): {own[0]}"] + own[1:]
                    self.put(each.line, [f"{indent}/// {line}".rstrip() for line in to_markup(own)])
                    shared = (shared[0], each.last_line, each.parent, shared[3])
                    continue
                else:
                    self.put(each.line, [f"{indent}/// {line}" for line in self.told_by_its_scope(each)])
            shared = (own, each.last_line, each.parent, each.name) if own else None

    def hide(self, each, indent):
        self.put(each.line, [f"{indent}/// @cond"])
        self.put(each.last_line + 1, [f"{indent}/// @endcond"])

    def told_by_its_scope(self, each):
        """What is said of a field or constant without a comment, and of another name for a type; nothing of others."""
        alias = re.match(r"(?:template\s*<.*>\s*)?using\s+\w+\s*=\s*(.*)$", each.text, re.S)
        if alias:
            return to_markup(["Another name for `" + re.sub(r"\s+", " ", alias.group(1)) + "`."])
        is_function = "(" in re.sub(r"<[^<>]*>|\{.*\}|=.*", "", each.text)
        if each.parent is None or is_function or each.text.startswith("using "):
            return []
        behind = re.search(r"\s// (.*)$", self.lines[each.last_line])
        if behind:
            text = behind.group(1).rstrip(".") + "."
            return to_markup([text[0].upper() + text[1:]])
        return ["&zwnj;"]

    @staticmethod
    def is_copy_or_move(each):
        """Tells whether it is a constructor or an assignment from another object of its class."""
        name = each.parent.name.split("::")[-1] if each.parent is not None else ""
        flat = re.sub(r"\s+", " ", each.text)
        copies = rf"\b(?:{name}|operator ?=) ?\((?:const )?{name}(?:<\w+>)? ?&&?(?: \w+)?\)"
        return bool(name) and re.search(copies, flat) is not None

    def convert_trailing(self):
        """Escapes what stands behind declarations."""
        for i, line in enumerate(self.lines):
            found = re.match(r"(.*?///<\s?)(.*)$", line)
            if found:
                self.lines[i] = found.group(1) + to_markup([found.group(2)])[0]
                follow = i + 1
                indent = re.match(r"\s*", line).group(0)
                while follow < len(self.lines) and re.match(indent + r"\s+///(?!<)", self.lines[follow]):
                    text = re.sub(r"^\s*/// ?", "", self.lines[follow])
                    self.lines[follow] = re.match(r"\s*", self.lines[follow]).group(0) + "///< " + to_markup([text.strip()])[0]
                    follow += 1

    def group(self):
        """Puts the declarations of the outermost namespaces into the room's group."""
        for each in self.declared:
            if each.kind == "namespace" and each.parent is None and each.name.startswith("fluxnet"):
                self.put(each.line + 1, [f"/// @addtogroup {self.room}", "/// @{"])
                self.before.setdefault(each.last_line, []).insert(0, "/// @}")

    def text(self):
        result = []
        i = 0
        while i < len(self.lines):
            result.extend(self.before.get(i, []))
            if i in self.replaced:
                end, lines = self.replaced[i]
                result.extend(lines)
                if end == i:
                    result.append(self.lines[i])
                    i += 1
                else:
                    i = end
                    if i not in self.before and i not in self.replaced:
                        result.append(self.lines[i])
                        i += 1
                continue
            result.append(self.lines[i])
            i += 1
        return "\n".join(result)


def document(path, text):
    header = Header(path, text)
    comment, _ = first_comment(header.lines)
    names, rest = split_names(comment)
    header.convert_trailing()
    header.add_first_comment(names, rest)
    header.convert_the_rest()
    header.group()
    about = ["@file"] + to_markup(first_paragraph(rest) if names else rest)
    return "\n".join(f"/// {line}".rstrip() for line in about) + "\n\n" + header.text()
