# SPDX-License-Identifier: BSD-3-Clause
"""Where the declarations of a header are: a reader of C++ that knows as much of it as the tree's headers need."""

import re

OPENS_NAMESPACE = re.compile(r"^(inline\s+)?namespace\b\s*([\w:]*)")
OPENS_CLASS = re.compile(r"^(?:template\s*<.*>\s*)?(?:requires\b.*\s)?(class|struct|union)\b(?:\s*\[\[\w+\]\])?\s+"
                         r"([\w:]+(?:<[^<>(]*>::\w+)?)(?:<[^(]*>)?(?:\s+final)?\s*(?::[^:].*)?$", re.S)
OPENS_ENUM = re.compile(r"^enum\b(?:\s+(?:class|struct))?\s*(\w*)")


class Declaration:
    """One declaration: `kind` is namespace, class, enum, enumerator or other. Lines count from 0."""

    def __init__(self, kind, name, text, line, depth, parent, is_public):
        self.kind, self.name, self.text, self.line = kind, name, text, line
        self.last_line = line
        self.depth, self.parent, self.is_public = depth, parent, is_public
        self.is_definition = False

    def scopes(self):
        outer = self.parent
        while outer is not None:
            yield outer
            outer = outer.parent


def blank_comments(text):
    """The text with spaces in place of comments, strings, characters and preprocessor lines."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|^[ \t]*#(?:[^\n]*\\\n)*[^\n]*',
                         re.S | re.M)

    def blank(match):
        found = match.group(0)
        if found.startswith("'") and match.start() > 0 and text[match.start() - 1].isdigit():
            return found  # a separator of digits
        return re.sub(r"[^\n]", " ", found)

    return pattern.sub(blank, text)


def matching(code, at):
    """The place behind the bracket that closes the one at `at`."""
    closing = {"{": "}", "(": ")", "[": "]"}[code[at]]
    depth = 0
    for i in range(at, len(code)):
        if code[i] == code[at]:
            depth += 1
        elif code[i] == closing:
            depth -= 1
            if depth == 0:
                return i + 1
    raise ValueError("a bracket is not closed")


def next_solid(code, at):
    while at < len(code) and code[at].isspace():
        at += 1
    return at


def name_of(text):
    """The name that a declaration declares, as far as it can be told."""
    head = re.sub(r"\[\[[^\]]*\]\]", " ", text)
    while True:
        shorter = re.sub(r"<[^<>]*>", " ", head)
        if shorter == head:
            break
        head = shorter
    head = re.sub(r"^\s*template\b", " ", head)
    found = re.search(r"\bconcept\s+(\w+)", head) or re.match(r"\s*using\s+(\w+)\s*=", head)
    if found:
        return found.group(1)
    found = re.search(r"(operator\s*(?:\(\)|[^\s(]+|\w+)|~?\w+)\s*\(", re.sub(r"\b(?:requires|noexcept|alignas)\s*\(", " ", head))
    if found:
        return found.group(1)
    head = re.split(r"[={;\[]", head)[0]
    words = re.findall(r"[\w]+", head)
    return words[-1] if words else ""


def read(text):
    """All declarations of namespaces, classes and enumerations, in their order; not those inside functions."""
    code = blank_comments(text)
    line_at = [0]
    for c in code:
        line_at.append(line_at[-1] + (1 if c == "\n" else 0))
    found = []

    def statement(at, end, parent, depth, public):
        """Reads one at `at`; returns the place behind it."""
        i = at
        while i < end:
            c = code[i]
            if c == ";":
                made = Declaration("other", name_of(code[at:i]), code[at:i].strip(), line_at[at], depth, parent, public)
                opens = OPENS_CLASS.match(made.text)
                if opens and "(" not in made.text:
                    made.kind, made.name = "class", opens.group(2)
                made.last_line = line_at[i]
                found.append(made)
                return i + 1
            if c in "([":
                i = matching(code, i)
                continue
            if c == "{":
                head = re.sub(r"\balignas\([^)]*\)\s*", "", code[at:i]).strip()
                behind = matching(code, i)
                space = OPENS_NAMESPACE.match(head)
                opens = OPENS_CLASS.match(head)
                lists = OPENS_ENUM.match(head)
                if space or opens or lists:
                    kind = "namespace" if space else "class" if opens else "enum"
                    name = space.group(2) if space else opens.group(2) if opens else lists.group(1)
                    made = Declaration(kind, name, head, line_at[at], depth, parent, public)
                    made.is_definition = True
                    made.last_line = line_at[behind - 1]
                    found.append(made)
                    if lists:
                        enumerators(i + 1, behind - 1, made, depth + 1)
                    else:
                        scope(i + 1, behind - 1, made, depth + 1, not (opens and opens.group(1) == "class"))
                    if not space:
                        behind = next_solid(code, behind)
                        while behind < end and code[behind] != ";":
                            behind += 1
                        behind += 1
                    return behind
                following = next_solid(code, behind)
                if following < end and code[following] in ",{;=.&|)" or re.search(r"=\s*$", head):
                    i = behind  # an initializer
                    continue
                made = Declaration("other", name_of(head), head, line_at[at], depth, parent, public)
                made.is_definition = True
                made.last_line = line_at[behind - 1]
                found.append(made)
                return behind
            i += 1
        return end

    def enumerators(at, end, parent, depth):
        for each in re.finditer(r"(\w+)\s*(?:=[^,]*)?(?:,|\s*$)", code[at:end]):
            found.append(Declaration("enumerator", each.group(1), each.group(0), line_at[at + each.start()], depth, parent,
                                     parent.is_public))

    def scope(at, end, parent, depth, public):
        inside = parent is None or parent.kind == "namespace" or parent.is_public
        at = next_solid(code, at)
        while at < end:
            access = re.compile(r"(public|protected|private)\s*:(?!:)").match(code, at)
            if access:
                public = access.group(1) != "private"
                at = access.end()
            else:
                at = statement(at, end, parent, depth, public and inside)
            at = next_solid(code, at)

    scope(0, len(code), None, 0, True)
    return found
