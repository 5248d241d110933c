# SPDX-License-Identifier: BSD-3-Clause
"""The two patterns that g++ 12 miscompiles, looked for in one source."""

from gcc12_patterns.types import BAD, FUNDAMENTAL, SAFE, UNKNOWN, declaration, is_name

AWAITS = {"co_await", "co_yield"}
SUSPENDS = AWAITS | {"co_return"}

CONDITION = ("co_await in the condition of `{0}`, in a coroutine without any local variable: g++ 12 does not run it as written",
             "store the result in a variable first, and test that: `const auto result = co_await ...;`")
COPIED = "g++ 12 copies {0} byte by byte in an expression with co_await, and destroys it twice"
TASK_FIRST = "make it in a statement of its own (the task that takes it, or a variable to be moved), and co_await that"


class Coroutine:
    """The code of one coroutine: its own tokens, without those of lambdas and classes within."""

    def __init__(self, source, begin):
        self.source, self.begin = source, begin
        self.is_lambda = source.tokens[begin].block == "lambda"
        self.own = []
        self.has_inner = False
        at = begin + 1
        while at < source.tokens[begin].match:
            self.own.append(at)
            if source.tokens[at].text == "{" and source.tokens[at].block in ("lambda", "class", "requires"):
                self.has_inner = self.has_inner or source.tokens[at].block != "requires"
                at = source.tokens[at].match
            else:
                at += 1

    def is_coroutine(self):
        return any(self.source.text(at) in SUSPENDS for at in self.own)

    def inside(self, begin, end):
        return [at for at in self.own if begin <= at < end]


def coroutines(source):
    for index, token in enumerate(source.tokens):
        if token.text == "{" and token.block in ("function", "lambda"):
            found = Coroutine(source, index)
            if found.is_coroutine():
                yield found


def statements(coroutine):
    """The coroutine's statements and the parts of its conditions: (indices of its own tokens, keyword, place in the `for`)."""
    source = coroutine.source
    part, keyword, place = [], "", 0
    ends = []  # where the parentheses of a condition end
    for at in coroutine.own:
        token = source.tokens[at]
        before = source.text(at - 1)
        opens = token.text == "(" and (before in ("if", "while", "for", "switch", "catch")
                                       or before == "constexpr" and source.text(at - 2) == "if")
        block = token.text == "{" and token.block == "block"
        closes = token.text == "}" and source.tokens[token.match].block in ("block", "class") or at in ends[-1:]
        if token.text == ";" or opens or block or closes:
            if part:
                yield part, keyword, place
            part = []
            place += token.text == ";"
            if opens:
                keyword, place = "if constexpr" if before == "constexpr" else before, 0
                ends.append(token.match)
            elif at in ends[-1:]:
                ends.pop()
                keyword, place = "", 0
            elif token.text == ";" and not ends:
                keyword, place = "", 0
        else:
            part.append(at)
    if part:
        yield part, keyword, place


def has_local(coroutine):
    """Tells whether a coroutine declares anything anywhere, which keeps g++ 12's first defect away."""
    if coroutine.is_lambda or coroutine.has_inner:
        return True
    source = coroutine.source
    for part, keyword, place in statements(coroutine):
        texts = [source.text(at) for at in part]
        while texts and (texts[0] in ("case", "else", "do", "default") or len(texts) > 1 and texts[1] == ":"):
            texts = texts[texts.index(":") + 1:] if ":" in texts else texts[1:]
        if keyword in ("if", "switch") and place > 0 or keyword == "catch" and texts != ["..."]:
            return True
        if keyword == "for" and ":" in texts or texts[:1] and texts[0] in ("using", "typedef", "enum", "struct", "class"):
            return True
        if declaration(texts)[0] is not None:
            return True
    return False


def conditions(coroutine):
    """Findings of the first kind."""
    source = coroutine.source
    if has_local(coroutine):
        return
    for part, keyword, place in statements(coroutine):
        if keyword in ("if", "while", "switch") or keyword == "for" and place == 1:
            for at in part:
                if source.text(at) in AWAITS:
                    yield source.tokens[at].line, CONDITION[0].format(keyword), CONDITION[1]
                    break


def temporaries(coroutine, types):
    """Findings of the second kind."""
    source = coroutine.source
    for part, _, _ in statements(coroutine):
        if not any(source.text(at) in AWAITS for at in part):
            continue
        covered = 0
        for at in part:
            if at < covered:
                continue
            token = source.tokens[at]
            found = None
            if token.text == "{" and token.block == "initialiser":
                found = braces(source, part, at, types)
                if found:
                    covered = token.match
            elif token.text == "{" and token.block == "lambda":
                found = captures(source, token.head)
            elif token.text == "(" and token.kind == "sign":
                found = parentheses(source, part, at, types)
            if found:
                yield token.line if token.block != "lambda" else source.tokens[token.head].line, found, TASK_FIRST


def arguments(source, begin):
    """The lists of token indices that the commas between a pair of brackets divide."""
    result, part = [], []
    at, end = begin + 1, source.tokens[begin].match
    while at < end:
        if source.text(at) == ",":
            result.append(part)
            part = []
        else:
            part.append(at)
            if source.text(at) in ("(", "{", "["):
                at = source.tokens[at].match
        at += 1
    return result + [part] if part or result else []


def captures(source, begin):
    """What is wrong with the lambda whose introducer is at `begin`, as a temporary."""
    for item in arguments(source, begin):
        texts = [source.text(at) for at in item]
        if not texts or texts[0] == "&" or texts == ["this"]:
            continue
        if len(texts) == 3 and texts[1] == "=" and source.tokens[item[2]].kind in ("number", "char"):
            continue
        if len(texts) == 1 and is_name(texts[0]) and is_number(source, item[0]):
            continue
        return COPIED.format("a lambda with the capture `" + " ".join(texts) + "`")
    return None


def is_number(source, at):
    """Tells whether the name at `at` was last declared as a variable of a fundamental type."""
    for before in range(at - 1, 0, -1):
        if source.text(before) == source.text(at) and source.text(before + 1) in ("=", "{", ";", ",", ")", "(", ":"):
            if source.text(before - 1) in FUNDAMENTAL:
                return True
            if source.tokens[before - 1].kind == "name" or source.text(before - 1) == ">":
                return False
    return False


def name_before(source, at):
    """The texts of the type or function name that ends before the token at `at`."""
    result = []
    before = at - 1
    while before >= 0:
        text = source.text(before)
        if text == ">" and not result:
            depth = 0
            while before >= 0:
                depth += (source.text(before) == ">") - (source.text(before) == "<")
                result.insert(0, source.text(before))
                if depth == 0:
                    break
                before -= 1
        elif source.tokens[before].kind == "name" and (not result or result[0] in ("::", "<")):
            result.insert(0, text)
        elif text == "::":
            result.insert(0, text)
        else:
            break
        before -= 1
    return result


def declared(source, part, at):
    """The type of the variable that the braces, parentheses or `=` before `at` initialise, if this part declares one."""
    texts = [source.text(each) for each in part]
    kind, name = declaration(texts)
    if kind is None:
        return None
    return kind if part[name] in (at - 1, at - 2) and (part[name] == at - 1 or source.text(at - 1) == "=") else None


def braces(source, part, at, types):
    """What is wrong with the braces at `at`."""
    items = arguments(source, at)
    before = source.text(at - 1)
    kind = declared(source, part, at)
    if kind is not None:
        if kind[0] == "auto" or len(items) < 2 and types.verdict(kind) != BAD:
            return None
        # One value in the braces may be of the type itself: then it is moved, which is safe.
        return judged(kind, types) if len(items) > 1 else None
    named = name_before(source, at)
    if before in ("new", "return") or named and named[0] in SUSPENDS:
        named = []
    if named:
        verdict = types.verdict(named, empty=not items)
        return None if harmless(source, items, verdict) else judged(named, types, not items)
    if not items or before == "]":
        return None
    if source.text(at + 1) == ".":
        kinds = parameters(source, at, types)
        if kinds and all(types.verdict(each) == SAFE for each in kinds):
            return None
        return COPIED.format("what these braces make, an aggregate,")
    kinds = parameters(source, at, types)
    verdicts = {types.verdict(each) for each in kinds} or {UNKNOWN}
    if verdicts == {SAFE} or BAD not in verdicts and harmless(source, items, UNKNOWN):
        return None
    return COPIED.format("what these braces make, if that is an aggregate with members to be destroyed,")


def harmless(source, items, verdict):
    """Tells whether a type is safe in braces; one that is not known is where only numbers stand in them."""
    if verdict == UNKNOWN:
        return all(len(item) == 1 and (source.tokens[item[0]].kind in ("number", "char")
                                       or source.text(item[0]) in ("true", "false", "nullptr")) for item in items)
    return verdict == SAFE


def judged(kind, types, empty=False):
    name = "".join(kind)
    verdict = types.verdict(kind, empty)
    if verdict == BAD:
        return COPIED.format(f"the aggregate `{name}`")
    if verdict == UNKNOWN:
        return COPIED.format(f"`{name}`, if it is an aggregate with members to be destroyed,")
    return None


def parameters(source, at, types):
    """The types that the braces at `at` may have as an argument of the call around them; none if that is not known."""
    call = source.tokens[at].parent
    if call is None or source.text(call) != "(":
        return []
    for place, item in enumerate(arguments(source, call)):
        if item and item[0] == at:
            declared_ones = types.functions.get(source.text(call - 1), [])
            return [each[place] for each in declared_ones if place < len(each)]
    return []


def parentheses(source, part, at, types):
    """What is wrong with the parentheses at `at`, where they make an aggregate (C++20 allows that)."""
    if source.tokens[at - 1].kind != "name" or len(arguments(source, at)) < 2:
        return None
    kind = declared(source, part, at)
    if kind is None:
        kind = name_before(source, at)
        if kind and kind[-1] in types.functions:
            return None
    return judged(kind, types) if kind and types.verdict(kind) == BAD else None


def findings(source, types):
    """All findings of a source: (line, what is wrong, remedy), in the order of lines."""
    types.here = source.path
    result = set()
    for coroutine in coroutines(source):
        result.update(conditions(coroutine))
        result.update(temporaries(coroutine, types))
    return sorted(each for each in result if each[0] not in source.silenced)
