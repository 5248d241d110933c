# SPDX-License-Identifier: BSD-3-Clause
"""A C++ source as tokens, and what each pair of braces in it is.

No compiler's parser: it tells function bodies, lambdas, classes, blocks and initialisers apart by the tokens around them,
which is enough to find coroutines and the expressions in them."""

import re

TOKEN = re.compile(
    r"""(?P<blank>\s+|\\\n)
      | (?P<comment>//(?:[^\n\\]|\\.|\\\n)*|/\*.*?\*/)
      | (?P<raw>(?:u8|[uUL])?R"(?P<mark>[^\s()\\]{0,16})\(.*?\)(?P=mark)")
      | (?P<string>(?:u8|[uUL])?"(?:[^"\\\n]|\\.)*")
      | (?P<char>(?:u8|[uUL])?'(?:[^'\\\n]|\\.)+')
      | (?P<number>\.?\d(?:[eEpP][+-]|'(?=\w)|[\w.])*)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<sign>::|->\*?|\.\.\.|<=>|<<=|[-+*/%&|^!=<>]=|<<|&&|\|\||\+\+|--|.)""",
    re.VERBOSE | re.DOTALL)
SILENCED = re.compile(r"gcc12-ok\b")
OPEN = {"(": ")", "[": "]", "{": "}"}
CONTROL = {"if", "while", "for", "switch", "catch"}
CLASS = {"class", "struct", "union", "enum"}
# After these a `[` begins a lambda, and a `{` an initialiser.
EXPRESSION = {"return", "co_return", "co_await", "co_yield", "case", "throw", "new", "delete", "and", "or", "not"}


class Token:
    __slots__ = ("kind", "text", "line", "match", "block", "parent", "head")

    def __init__(self, kind, text, line):
        self.kind, self.text, self.line = kind, text, line
        self.match = None   # the index of the bracket that this one belongs to
        self.block = None   # of a `{`: class, namespace, function, lambda, block, initialiser or requires
        self.parent = None  # the index of the bracket around it
        self.head = None    # of a lambda's `{`: the index of its `[`


def not_for_gcc(condition):
    """Tells whether g++ skips what stands under #if `condition`."""
    return re.fullmatch(r"\s*(0|(defined\s*\(?\s*)?__clang__\s*\)?)\s*", condition) is not None


def without_directives(text):
    """Blanks preprocessor lines, and the branches that g++ does not compile, or that another branch stands for."""
    lines = text.split("\n")
    branches = []  # of each #if around a line: [is this branch kept, was one kept]
    continued = False
    for number, line in enumerate(lines):
        directive = re.match(r"\s*#\s*(\w+)(.*)", line)
        if directive and not continued:
            word, rest = directive.groups()
            if word in ("if", "ifdef", "ifndef"):
                keep = not not_for_gcc(rest) or word == "ifndef"
                branches.append([keep, keep])
            elif word in ("else", "elif") and branches:
                branches[-1] = [not branches[-1][1], True]
            elif word == "endif" and branches:
                branches.pop()
        elif not continued and all(kept for kept, _ in branches):
            continue
        continued = line.endswith("\\") and (continued or directive is not None)
        lines[number] = ""
    return "\n".join(lines)


class Source:
    """The tokens of one file, with their brackets matched and their braces named."""

    def __init__(self, path, text):
        self.path = path
        self.tokens = []
        self.silenced = set()  # lines whose findings are not to be reported
        self.read(as_gcc_reads(text))
        self.match()
        for index, token in enumerate(self.tokens):
            if token.text == "[":
                self.find_lambda(index)
        for index, token in enumerate(self.tokens):
            if token.text == "{" and token.block is None:
                token.block = self.kind_of(index)

    def read(self, text):
        line = 1
        for found in TOKEN.finditer(text):
            kind, piece = found.lastgroup, found.group()
            kind = "raw" if kind == "mark" else kind
            if kind == "comment" and SILENCED.search(piece):
                # The comment's own lines, and the one below a comment that has a line of its own.
                last = line + piece.count("\n")
                begin = text.rfind("\n", 0, found.start()) + 1
                alone = not text[begin:found.start()].strip()
                self.silenced.update(range(line, last + 1 + alone))
            elif kind not in ("blank", "comment"):
                self.tokens.append(Token("string" if kind == "raw" else kind, piece, line))
            line += piece.count("\n")

    def match(self):
        stack = []
        for index, token in enumerate(self.tokens):
            if token.text in OPEN and token.kind == "sign":
                token.parent = stack[-1] if stack else None
                stack.append(index)
            elif token.text in OPEN.values() and token.kind == "sign":
                # A bracket without its partner ends with what is around it.
                while stack and OPEN[self.tokens[stack[-1]].text] != token.text:
                    self.tokens[stack.pop()].match = index
                if stack:
                    begin = stack.pop()
                    self.tokens[begin].match, token.match = index, begin
                token.parent = stack[-1] if stack else None
            else:
                token.parent = stack[-1] if stack else None
        for index in stack:
            self.tokens[index].match = len(self.tokens) - 1

    def text(self, index):
        return self.tokens[index].text if 0 <= index < len(self.tokens) else ""

    def find_lambda(self, index):
        """Marks the body of the lambda whose introducer is the `[` at `index`, if it is one."""
        before = self.tokens[index - 1] if index else None
        if before is not None:
            if before.text in ("[", ")", "]") or before.kind in ("string", "number"):
                return
            if before.kind == "name" and before.text not in EXPRESSION | {"else", "do"}:
                return
            if before.text in ("&", "&&") and self.text(index - 2) == "auto":
                return
        if self.text(index + 1) == "[" or before is not None and before.text == "delete":
            return
        at = self.tokens[index].match + 1
        angle = 0
        while at < len(self.tokens):
            text = self.tokens[at].text
            if text == "{":
                self.tokens[at].block, self.tokens[at].head = "lambda", index
                return
            if text in (";", ")", "]", "}") or text == "," and angle == 0 or text == "=":
                return
            angle += (text == "<") - (text == ">")
            at = self.tokens[at].match + 1 if text in ("(", "[") else at + 1

    def head_of(self, index):
        """The indices of the tokens of the statement before the `{` at `index`, groups in brackets as their first."""
        result = []
        at = index - 1
        while at >= 0:
            token = self.tokens[at]
            if token.text in (";", "{", "(", "[") or token.text == "}" and self.tokens[token.match or 0].block != "initialiser":
                break
            if token.text in (")", "]", "}"):
                at = token.match if token.match is not None else at
            result.append(at)
            at -= 1
        return result[::-1]

    def around(self, index):
        """The kind of the brace around the token at `index`, `paren` in parentheses, `file` outside of everything."""
        parent = self.tokens[index].parent
        if parent is None:
            return "file"
        return self.tokens[parent].block if self.tokens[parent].text == "{" else "paren"

    def kind_of(self, index):
        outer = self.around(index)
        before = self.text(index - 1)
        if before == "requires" or before == ")" and self.text(self.tokens[index - 1].match - 1) == "requires":
            return "requires"
        if outer in ("paren", "initialiser"):
            return "initialiser"
        head = without_template([self.tokens[at] for at in self.head_of(index)])
        words = [token.text for token in head]
        if "namespace" in words or words[:1] == ["extern"] and len(words) == 2:
            return "namespace"
        if outer in ("file", "namespace", "class"):
            if any(word in CLASS for word in words) and "(" not in words[1:] and "=" not in words:
                return "class"
            assigned = "=" in words and words[max(words.index("=") - 1, 0)] != "operator"
            return "function" if "(" in words and not assigned else "initialiser"
        if before in (")", "else", "do", "try", ";", "{", "}", ":") or index == 0:
            return "block"
        if words[:1] and words[0] in CLASS:
            return "class"
        return "initialiser"

    def enclosing_function(self, index):
        """The index of the `{` of the function or lambda whose code the token at `index` is; None outside of any."""
        at = self.tokens[index].parent
        while at is not None:
            if self.tokens[at].block in ("function", "lambda"):
                return at
            if self.tokens[at].block in ("class", "requires"):
                return None
            at = self.tokens[at].parent
        return None


def without_template(head):
    """Drops `template <...>` and `requires (...)` from the front of a declaration's tokens."""
    while head and head[0].text in ("template", "requires", "["):
        begin, at = head[0].text, 1
        if begin == "template":
            depth = 0
            while at < len(head):
                depth += (head[at].text == "<") - (head[at].text == ">")
                at += 1
                if depth == 0:
                    break
        elif begin == "requires":
            at = 2
        head = head[at:]
    return head


def as_gcc_reads(text):
    """As without_directives(), where no line of a raw string or of a comment is taken for a directive."""
    held = []

    def hold(found):
        if found.lastgroup in ("raw", "mark") or found.lastgroup == "comment" and "\n" in found.group():
            held.append(found.group())
            return "\0" + str(len(held) - 1) + "\0" + "\n" * found.group().count("\n")
        return found.group()

    # A string that holds newlines is one mark on its first line, so that lines keep their numbers.
    marked = TOKEN.sub(hold, text)
    plain = without_directives(marked)

    def put_back(found):
        original = held[int(found.group(1))]
        return original + found.group(2)[original.count("\n"):]

    return re.sub(r"\0(\d+)\0(\n*)", put_back, plain)
