"""As much of Dart as its tests need: the tokens of a file, and the constants that are maps of strings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

BRACKETS = {")": "(", "]": "[", "}": "{"}
ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
TOKEN = re.compile(r"(?P<space>\s+|//[^\n]*)|(?P<name>[A-Za-z_]\w*)|(?P<number>\d[\w.]*)|(?P<symbol>[^\w\s])")
QUOTE = re.compile(r"(?P<raw>r?)(?P<quote>'''|\"\"\"|'|\")")


@dataclass(frozen=True)
class Token:
    kind: str  # name, number, symbol, string
    text: str
    line: int


@dataclass
class Call:
    """One request, as the source writes it: placeholders in braces."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)

    def filled(self, **values: str) -> "Call":
        return Call(self.method, fill(self.path, values), *({k: fill(v, values) for k, v in d.items()} for d in (self.headers, self.form)))


def fill(text: str, values: dict[str, str]) -> str:
    """Raises KeyError for a placeholder without a value."""
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], text)


def tokens_of(text: str) -> list[Token]:
    """Without comments and space. The code inside of `${…}` comes after the string that it stands in.

    Raises ValueError for a string or a comment without an end, and for brackets that do not fit.
    """
    tokens = list(_tokens(text, 0, len(text)))
    opened: list[Token] = []
    for token in tokens:
        if token.kind == "symbol" and token.text in BRACKETS.values():
            opened.append(token)
        elif token.kind == "symbol" and token.text in BRACKETS and (not opened or opened.pop().text != BRACKETS[token.text]):
            raise ValueError(f"line {token.line}: {token.text} closes nothing")
    if opened:
        raise ValueError(f"line {opened[-1].line}: {opened[-1].text} is never closed")
    return tokens


def _tokens(text: str, position: int, end: int) -> Iterator[Token]:
    while position < end:
        line = text.count("\n", 0, position) + 1
        if text.startswith("/*", position):
            position = text.index("*/", position) + 2
        elif quote := QUOTE.match(text, position):
            value, inner, position = _string(text, quote)
            yield Token("string", value, line)
            for start, stop in inner:
                yield from _tokens(text, start, stop)
        elif found := TOKEN.match(text, position):
            position = found.end()
            if found.lastgroup != "space":
                yield Token(str(found.lastgroup), found[0], line)


def _string(text: str, quote: re.Match[str]) -> tuple[str, list[tuple[int, int]], int]:
    """Its value, without what is interpolated; where the code inside of it is; where it ends."""
    value, inner, position = "", [], quote.end()
    while not text.startswith(quote["quote"], position):
        character = text[position : position + 1]
        if not character or (character == "\n" and len(quote["quote"]) == 1):
            raise ValueError(f"line {text.count(chr(10), 0, quote.start()) + 1}: a string is never closed")
        if character == "\\" and not quote["raw"]:
            value += ESCAPES.get(text[position + 1], text[position + 1])
            position += 2
        elif text.startswith("${", position) and not quote["raw"]:
            stop = _end_of_interpolation(text, position + 2)
            inner.append((position + 2, stop))
            position = stop + 1
        elif (name := re.compile(r"\$(\w+)").match(text, position)) and not quote["raw"]:
            inner.append((name.start(1), name.end(1)))
            position = name.end()
        else:
            value += character
            position += 1
    return value, inner, position + len(quote["quote"])


def _end_of_interpolation(text: str, position: int) -> int:
    depth = 1
    while depth:
        if quote := QUOTE.match(text, position):
            position = _string(text, quote)[2]
            continue
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        position += 1
    return position - 1


def constants(path: Path) -> dict[str, Call | dict[str, str]]:
    """The top-level `const name = Call(…);` and `const name = {…};` of a file."""
    tokens = tokens_of(path.read_text(encoding="utf-8"))
    found: dict[str, Call | dict[str, str]] = {}
    for index, token in enumerate(tokens[:-4]):
        if token.text == "const" and tokens[index + 2].text == "=":
            reader = _Reader(tokens, index + 3)
            found[tokens[index + 1].text] = reader.call() if reader.peek().text == "Call" else reader.strings()
    return found


class _Reader:
    """Takes values from a list of tokens."""

    def __init__(self, tokens: list[Token], position: int) -> None:
        self._tokens, self._position = tokens, position

    def peek(self) -> Token:
        return self._tokens[self._position]

    def take(self, text: str = "", *, kind: str = "") -> str:
        token = self.peek()
        assert text in {"", token.text}, f"line {token.line}: {text} was expected, not {token.text}"
        assert kind in {"", token.kind}, f"line {token.line}: a {kind} was expected, not {token.text}"
        self._position += 1
        return token.text

    def has(self, text: str) -> bool:
        return self.peek().kind == "symbol" and self.peek().text == text

    def strings(self) -> dict[str, str]:
        self.take("{")
        found = {}
        while not self.has("}"):
            name = self.take(kind="string")
            self.take(":")
            found[name] = self.take(kind="string")
            if not self.has("}"):
                self.take(",")
        self.take("}")
        return found

    def call(self) -> Call:
        self.take("Call")
        self.take("(")
        method = self.take(kind="string")
        self.take(",")
        call = Call(method, self.take(kind="string"))
        while not self.has(")"):
            self.take(",")
            if not self.has(")"):
                name = self.take(kind="name")
                self.take(":")
                setattr(call, name, self.strings())
        return call
