"""Which tables a statement may write, read off its text.

Tokens suffice. The question is not what a statement means but whether it may write one of a few known tables, and
every form of every dialect says so by a verb and a name behind it, at whatever depth. A parser of the whole language
has to refuse what it does not know, or to let it pass; here a form that is not known is at worst refused.

What a text does not show: functions and triggers of the database that write by themselves, and views.
"""

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
      (?P<skip>    \s+ | --[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<body>    \$(?P<tag>[^\W\d]\w*|)\$ (?P<inside>.*?) (?:\$(?P=tag)\$|\Z) )
    | (?P<escaped> [eE]' (?:[^'\\]|\\.|'')* (?:'|\Z) )
    | (?P<text>    (?:[uUnNxXbB]&?)?' (?:[^']|'')* (?:'|\Z) )
    | (?P<coded>   [uU]&" (?:[^"]|"")* (?:"|\Z) )
    | (?P<quoted>  "(?:[^"]|"")*(?:"|\Z) | `(?:[^`]|``)*(?:`|\Z) | \[[^\]\[\d,:]+\] )
    | (?P<word>    [^\W\d][\w$]* )
    | (?P<other>   . )
    """,
    re.X | re.S,
)
_VERB = re.compile(
    r"\b(?:insert|update|delete|merge|replace|truncate|copy|drop|alter|do|execute|begin|start|commit|end|rollback|abort"
    r"|savepoint|release|prepare|create|set|reset|discard|pragma)\b",
    re.I,
)
"""A text without any of these writes nothing: most texts are reads, and done with here."""

_AMBIGUOUS = re.compile(r"[\r`]|\[[^\]]*['\"]|/\*(?:(?!\*/).)*/\*|\$(?:[^\W\d]\w*)?\$|\b[eE]'.*\\", re.S)
"""Where the dialects disagree about what is quoted: what ends a line, names in brackets and backticks, nested comments,
dollars, escapes. Such a text may write whatever it mentions, if it has one of the verbs below. (A backslash escapes
only in E'…'. PostgreSQL has a setting that changes this, and a text that names the setting is refused.)"""
_WRITES = re.compile(
    r"\b(?:insert|(?<!for )(?<!for no key )update|delete|merge|replace(?!\s*\()|truncate|copy|drop|alter|do|execute"
    r"|prepare|create)\b",
    re.I,
)
_QUOTING = "STANDARD_CONFORMING_STRINGS"
_DEEPEST = 8
"""Programs within programs that are read."""
_TRANSACTION = {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"}
_SCHEMA = {"CREATE", "DROP", "ALTER"}
_RESET = {"RESET", "DISCARD"}
_LETS_WRITE = {"WRITE", "TRANSACTION_READ_ONLY", "DEFAULT_TRANSACTION_READ_ONLY"}
"""Of SET."""
_PRAGMAS = {"QUERY_ONLY", "WRITABLE_SCHEMA"}
"""Those of SQLite that let a reader write."""
NO_TABLE = {"SET", "OF", "ON", "NOWAIT", "SKIP", "FROM"}
"""What follows UPDATE where it is no statement: ON CONFLICT DO UPDATE SET, FOR UPDATE OF, AFTER UPDATE ON, …"""
UNREADABLE = "?"
"""Stands for a table whose name cannot be told from the text."""


@dataclass(frozen=True, slots=True)
class Writes:
    """What a statement may do: the names of the tables it writes (in lower case, without their schema), whether it
    begins or ends a transaction or savepoint, changes the schema, or a setting so that a reader may write. `twice` are
    those of the tables that it writes in more than one place. `mentions` is the whole text, in lower case, of a
    statement that may write whatever it names."""

    tables: frozenset[str] = frozenset()
    twice: frozenset[str] = frozenset()
    transaction: bool = False
    schema: bool = False
    setting: bool = False
    mentions: str = ""


NOTHING = Writes()


class _Token(NamedTuple):
    kind: str
    text: str

    @property
    def word(self) -> str:
        """In capitals; empty for whatever is no bare word."""
        return self.text.upper() if self.kind == "word" else ""


_END = _Token("end", "")


def writes(statement: str) -> Writes:
    """Read a statement; `NOTHING` if it only reads."""
    if not _VERB.search(statement):
        return NOTHING
    found = _read(statement)
    if _AMBIGUOUS.search(statement) and _WRITES.search(statement):
        text = statement.lower()
        coded = {UNREADABLE} if 'u&"' in text else set()
        found = replace(found, tables=found.tables | coded, mentions=text)
    return found if found != NOTHING else NOTHING


def _read(statement: str, *, depth: int = 0) -> Writes:
    tokens: list[_Token] = []
    inner: list[str] = []
    texts: list[str] = []
    for match in _TOKEN.finditer(statement):
        kind = match.lastgroup or ""
        if kind == "body":
            inner.append(match["inside"])
        elif kind in ("escaped", "text"):
            texts.append(match.group())
            tokens.append(_Token("text", match.group()))
        elif kind != "skip":
            tokens.append(_Token(kind, match.group()))
    firsts = {token.word for index, token in enumerate(tokens) if _begins(tokens, index)}
    written = list(_tables(tokens, program=depth > 0))
    tables, twice = set(written), {name for name in written if written.count(name) > 1}
    if depth or firsts & {"DO", "CREATE", "PREPARE"}:  # its statements may stand in quotes
        inner += [text.partition("'")[2].removesuffix("'").replace("''", "'") for text in texts]
    for each in inner:
        deeper = _read(each, depth=depth + 1).tables if depth < _DEEPEST else {UNREADABLE}
        tables, twice = tables | deeper, twice | (tables & deeper)
    if "DO" in firsts and (len(texts) > 1 or any(text[0] != "'" for text in texts)):
        tables.add(UNREADABLE)  # a program of several strings, or with escapes
    if depth and any(token.word == "EXECUTE" for token in tokens):
        tables.add(UNREADABLE)  # it executes a text that it makes
    if any(token.word == _QUOTING for token in tokens):
        tables.add(UNREADABLE)
    prepared = "PREPARE" in firsts and any(token.word == "TRANSACTION" for token in tokens)
    return Writes(
        frozenset(tables),
        frozenset(twice),
        transaction=bool(firsts & (_TRANSACTION - {"END"} if "CREATE" in firsts else _TRANSACTION)) or prepared,
        schema=bool(firsts & _SCHEMA),
        setting=_lets_write(firsts, tokens),
    )


def _lets_write(firsts: Set[str], tokens: Sequence[_Token]) -> bool:
    """Whether a connection that reads may write afterwards."""
    if firsts & _RESET or ("SET" in firsts and any(token.word in _LETS_WRITE for token in tokens)):
        return True
    return "PRAGMA" in firsts and any(
        _name(token).upper() in _PRAGMAS and after.text in ("=", "(") for token, after in pairwise(tokens)
    )


def _begins(tokens: Sequence[_Token], index: int) -> bool:
    """Whether a statement begins here."""
    return bool(tokens[index].word) and (index == 0 or tokens[index - 1].text in (";", "\ufeff"))


def _tables(tokens: Sequence[_Token], *, program: bool) -> Iterator[str]:
    last_from = max((index for index, token in enumerate(tokens) if token.word == "FROM"), default=-1)
    for index, token in enumerate(tokens):
        if _at(tokens, index - 1).text == ".":
            continue  # a column's name
        match token.word:
            case "INSERT" | "REPLACE" | "MERGE":
                rest = _after(tokens, index + 1, {"OR": 1})
                if tokens[rest : rest + 1] and tokens[rest].word == "INTO":
                    yield from _names(tokens, rest + 1)
            case "UPDATE" if _is_update(tokens, index):
                yield from _names(tokens, _after(tokens, index + 1, {"OR": 1}))
            case "DELETE" if _at(tokens, index + 1).word == "FROM":
                yield from _names(tokens, index + 2)
            case "TRUNCATE" if program or _begins(tokens, index):
                yield from _names(tokens, index + 1, several=True)
                yield from _cascading(tokens, index)
            case "COPY" if last_from > index and (program or _begins(tokens, index)):
                yield from _names(tokens, _after(tokens, index + 1, {"BINARY": 0}))
            case "DROP" | "ALTER" if _at(tokens, index + 1).word == "TABLE":
                yield from _names(tokens, index + 1, several=True)
                yield from _cascading(tokens, index)
            case "DROP" if _at(tokens, index + 1).word == "SCHEMA":
                yield UNREADABLE


def _cascading(tokens: Sequence[_Token], index: int) -> Iterator[str]:
    """With CASCADE the tables that refer to it lose their rows, or what refers to it; which, the text does not say."""
    while _at(tokens, index) is not _END and _at(tokens, index).text != ";":
        if tokens[index].word == "CASCADE":
            yield UNREADABLE
            return
        index += 1


def _is_update(tokens: Sequence[_Token], index: int) -> bool:
    before, after = _at(tokens, index - 1), _at(tokens, index + 1)
    if before.word in ("FOR", "KEY", "ON") or after.word in NO_TABLE:
        return False
    return after.kind in ("word", "quoted", "coded", "text") or after.text == "("


def _at(tokens: Sequence[_Token], index: int) -> _Token:
    return tokens[index] if 0 <= index < len(tokens) else _END


def _after(tokens: Sequence[_Token], index: int, words: dict[str, int]) -> int:
    """Behind an optional word and so many that belong to it: INSERT OR IGNORE."""
    while (more := words.get(_at(tokens, index).word)) is not None:
        index += 1 + more
    return index


def _names(tokens: Sequence[_Token], index: int, *, several: bool = False) -> Iterator[str]:
    """The table's name that stands here, or all of a list."""
    while True:
        while _at(tokens, index).word in ("TABLE", "IF", "EXISTS", "ONLY") or _at(tokens, index).text in ("(", "*"):
            index += 1
        name = _name(_at(tokens, index))
        while _at(tokens, index + 1).text == ".":
            index += 2
            name = _name(_at(tokens, index))
        yield name
        while _at(tokens, index + 1).text in (")", "*"):
            index += 1
        if not several or _at(tokens, index + 1).text != ",":
            return
        index += 2


def _name(token: _Token) -> str:
    match token.kind:
        case "word":
            return token.text.lower()
        case "text":  # SQLite takes it for a name where one must be
            return token.text.partition("'")[2].removesuffix("'").replace("''", "'").lower()
        case "quoted":
            quote = token.text[0]
            inside = token.text[1:].removesuffix("]" if quote == "[" else quote)
            return inside.replace(quote * 2, quote).lower()
        case _:
            return UNREADABLE
