# SPDX-License-Identifier: BSD-3-Clause
"""What the sources read tell of types: which are aggregates, and which of those have members that need destruction."""

KEYWORDS = set("""alignas asm break case catch co_await co_return co_yield const_cast continue default delete do
    dynamic_cast else false for goto if new noexcept not nullptr operator reinterpret_cast requires return sizeof static_assert
    static_cast switch this throw true try while""".split())
SPECIFIERS = set("""const constexpr constinit volatile static thread_local inline extern mutable typename register explicit
    friend virtual""".split())
FUNDAMENTAL = set("""void bool char wchar_t char8_t char16_t char32_t short int long signed unsigned float double
    size_t ssize_t ptrdiff_t nullptr_t byte uintptr_t intptr_t time_t max_align_t""".split())
FUNDAMENTAL |= {f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)}
# Of std: no destructor, or one that does nothing.
PLAIN_STD = set("""span string_view coroutine_handle error_code error_condition nanoseconds microseconds milliseconds seconds
    minutes hours duration time_point stop_token reference_wrapper errc strong_ordering""".split()) - {"stop_token"}
AGGREGATES_STD = {"array"}

SAFE, BAD, UNKNOWN = "safe", "bad", "unknown"


def type_at(texts, at):
    """Reads a type from the list of token texts. Returns (its texts without specifiers, where it ends), or (None, at)."""
    name = []
    while at < len(texts):
        text = texts[at]
        if text in SPECIFIERS or text in ("struct", "class", "enum", "union"):
            at += 1
        elif text == "[" and at + 1 < len(texts) and texts[at + 1] == "[":
            at = skip(texts, at, "[", "]")
        elif is_name(text) and (not name or name[-1] == "::" or text in FUNDAMENTAL and name[-1] in FUNDAMENTAL):
            name.append(text)
            at += 1
        elif text == "::":
            name.append(text)
            at += 1
        elif text == "<" and name and is_name(name[-1]):
            end = skip(texts, at, "<", ">")
            if end is None:
                return None, at
            name += texts[at:end]
            at = end
        else:
            break
    if not name or name[-1] == "::":
        return None, at
    while at < len(texts) and texts[at] in ("*", "&", "&&", "const", "volatile", "..."):
        if texts[at] in ("*", "&", "&&"):
            name.append(texts[at])
        at += 1
    return name, at


def is_name(text):
    return (text[0].isalpha() or text[0] == "_") and text not in KEYWORDS and text not in SPECIFIERS


def skip(texts, at, begin, end):
    """The index behind the bracket that ends what begins at `at`; None where it does not end."""
    depth = 0
    while at < len(texts):
        depth += (texts[at] == begin) - (texts[at] == end)
        at += 1
        if depth == 0:
            return at
        if texts[at - 1] == ";":
            return None
    return None


def declaration(texts, at=0):
    """Reads `TYPE NAME` from the beginning of a statement. Returns (type texts, index of the name); (None, None) if it is none."""
    name, at = type_at(texts, at)
    if name is None or at >= len(texts):
        return None, None
    if name == ["auto"] and texts[at] == "[":
        return name, at
    if is_name(texts[at]) and (at + 1 == len(texts) or texts[at + 1] in ("=", ";", "{", "(", "[", ",", ":", ")")):
        return name, at
    return None, None


class Types:
    def __init__(self):
        self.known = {}      # name: the definitions of it, with the file of each
        self.functions = {}  # name: lists of the types of parameters
        self.here = None     # the file that is being looked at: its own definitions hide those of other files

    def add(self, source, name, *definition):
        self.known.setdefault(name, []).append((source.path, definition))

    def definitions(self, name):
        all_files = self.known.get(name, [])
        return [each for path, each in all_files if path == self.here] or [each for _, each in all_files]

    def learn(self, source):
        tokens = source.tokens
        for index, token in enumerate(tokens):
            if token.text == "{" and token.block == "class":
                self.add_class(source, index)
            elif token.text == "using" and source.text(index + 2) == "=":
                name, _ = type_at([t.text for t in tokens[index + 3:index + 40]], 0)
                if name:
                    self.add(source, tokens[index + 1].text, "alias", name)
            elif token.text == "(" and index and tokens[index - 1].kind == "name":
                self.add_function(source, index)

    def add_class(self, source, begin):
        head = [source.tokens[at] for at in source.head_of(begin)]
        texts = [token.text for token in head]
        words = [at for at, text in enumerate(texts) if text in ("class", "struct", "union", "enum")]
        at = words[-1] + 1 if words else len(texts)
        if ":" in texts[:at]:
            return
        names = []
        while at < len(texts) and texts[at] != ":":
            if is_name(texts[at]) and texts[at] != "final":
                names.append(texts[at])
            at += 1
        if not names:
            return
        if "enum" in texts:
            self.add(source, names[0], "enum")
            return
        bases = [text for text in texts[at + 1:] if is_name(text) and text not in ("public", "private", "protected", "std")]
        self.add(source, names[0], *class_of(source, begin, names[0], texts[words[-1]], bases))

    def add_function(self, source, begin):
        """Notes the parameters of a function declared with the `(` at `begin`."""
        tokens = source.tokens
        end = tokens[begin].match
        before = tokens[begin - 2].text if begin >= 2 else ""
        if not (before in (">", "*", "&") or before and is_name(before)) or end is None:
            return
        texts, parameters, depth = [], [], 0
        for at in range(begin + 1, end + 1):
            text = tokens[at].text
            depth += (text in ("<", "(", "{", "[")) - (text in (">", ")", "}", "]"))
            if at == end or text == "," and depth == 0:
                name, _ = type_at(texts, 0)
                if texts and name is None:
                    return
                parameters.append(name or [])
                texts = []
            else:
                texts.append(text)
        self.functions.setdefault(tokens[begin - 1].text, []).append(parameters)

    def verdict(self, name, empty=False, seen=()):
        """Whether braces that make a `name` (a list of token texts) are dangerous in an expression with co_await."""
        if not name:
            return UNKNOWN
        if name[-1] == "*":
            return SAFE
        name = [text for text in name if text not in ("&", "&&")]
        arguments = []
        if ">" in name:
            begin = name.index("<")
            arguments, name = name[begin + 1:-1], name[:begin]
        last = name[-1]
        if last in FUNDAMENTAL:
            return SAFE
        if last in AGGREGATES_STD and "std" in name:
            element, _ = type_at(arguments, 0)
            return SAFE if empty or self.trivial(element, seen) else BAD
        if "std" in name or "chrono" in name:
            return SAFE
        if last not in self.known or last in seen:
            return UNKNOWN
        verdicts = {self.verdict_of(entry, empty, seen + (last,)) for entry in self.definitions(last)}
        if "::" in name and name[0] not in ("fluxnet", "::"):
            # A namespace of the user's, or of a library that is not read: the last name alone does not tell the type.
            return SAFE if verdicts == {SAFE} else UNKNOWN
        return BAD if BAD in verdicts else UNKNOWN if UNKNOWN in verdicts else SAFE

    def verdict_of(self, entry, empty, seen):
        if entry[0] == "alias":
            return self.verdict(entry[1], empty, seen)
        if entry[0] == "enum" or entry[0] == "class" and not entry[1]:
            return SAFE
        _, _, destructor, members, initialised = entry
        if empty and not initialised or not destructor and all(self.trivial(each, seen) for each in members):
            return SAFE
        return BAD

    def trivial(self, name, seen=()):
        """Tells whether objects of a type are known to need no destruction."""
        if not name:
            return False
        if name[-1] in ("*", "&", "&&"):
            return True
        arguments = []
        if ">" in name:
            begin = name.index("<")
            arguments, name = name[begin + 1:-1], name[:begin]
        last = name[-1]
        if last in FUNDAMENTAL or last in PLAIN_STD:
            return True
        if "std" in name:
            element, _ = type_at(arguments, 0)
            return last in ("array", "optional") and self.trivial(element, seen)
        if last not in self.known or last in seen:
            return False
        return all(self.trivial_entry(entry, seen + (last,)) for entry in self.definitions(last))

    def trivial_entry(self, entry, seen):
        if entry[0] == "alias":
            return self.trivial(entry[1], seen)
        return entry[0] == "enum" or not entry[2] and all(self.trivial(each, seen) for each in entry[3])


def class_of(source, begin, name, key, bases):
    """("class", is an aggregate, has a destructor, member types, has members that are initialised in place)."""
    tokens = source.tokens
    aggregate, destructor, initialised = True, False, False
    members = [[base] for base in bases]
    public = key != "class"
    statement = []
    at, end = begin + 1, tokens[begin].match
    while at < end:
        text = tokens[at].text
        if text in ("public", "private", "protected") and source.text(at + 1) == ":":
            public = text == "public"
            statement = []
            at += 2
            continue
        if text == "virtual":
            aggregate = False
        if text == "~" and source.text(at + 1) == name and source.text(at + 2) == "(":
            destructor = destructor or source.text(tokens[at + 2].match + 1) != "="
        if text == name and source.text(at + 1) == "(" and source.text(at - 1) != "~" and "(" not in statement:
            aggregate = False
        statement.append(text)
        block = tokens[at].block if text == "{" else None
        if text in ("(", "{", "["):
            at = tokens[at].match
        if text == ";" or block in ("function", "class"):
            found = member(statement)
            if found:
                members.append(found)
                aggregate = aggregate and public
                initialised = initialised or "=" in statement or "{" in statement
            statement = []
        at += 1
    return ("class", aggregate, destructor, members, initialised)


def member(statement):
    """The type of the data member that a statement of a class declares; None where it declares none."""
    if not statement or statement[0] in ("static", "using", "friend", "typedef", "template", "static_assert", "constexpr"):
        return None
    kind, at = declaration(statement)
    if kind is None or at + 1 < len(statement) and statement[at + 1] == "(":
        return None
    return kind
