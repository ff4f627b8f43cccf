"""Operations of the nasty schema that select anything, on data that does anything."""

from collections.abc import Callable
from random import Random
from typing import Any

from graphql import Undefined

from tests.execution.nasty import (
    KINDS,
    LEAVES,
    OBJECTS,
    WAYS,
    Awaited,
    Bag,
    Box,
    Cursed,
    Later,
    Made,
    Raised,
    Shade,
    Thing,
    camel,
    each,
    made,
)


def inventing(seed: object) -> Callable[[str, str], Any]:
    """Makes up what fields do; the same for the same field at the same place, whoever reads it and when."""

    def invent(place: str, name: str) -> Any:
        return of(Random(f"{seed} {place} {name}"), KINDS[name.partition("_")[2]], f"{place}/{name}")

    def of(random: Random, kind: str, place: str) -> Any:
        luck = random.random()
        if luck < 0.12:
            return random.choice(BAD)
        if luck < 0.3:
            return Later(of(random, kind, place), random.randrange(3))
        kind = kind.removesuffix(" | None")
        if kind.startswith("list["):
            items = [of(random, kind[5:-1], f"{place}/{index}") for index in range(random.randrange(4))]
            unfit = any(isinstance(item, Raised) for item in items)  # who makes a list would raise it already
            return each(*items) if unfit or random.random() < 0.2 else items
        if kind in ("Thing", "Box", "Either"):
            return made(random.choice(OBJECT_TYPES), place, invent)
        return random.choice(GOOD[kind])

    return invent


OBJECT_TYPES: list[type[Thing]] = [Box, Box, Bag]
GOOD: dict[str, list[Any]] = {
    "str": ["text"],
    "int": [7, "7"],
    "Odd": ["fine", "fine", "nothing", "undefined", "refused"],
    "Shade": [Shade.DARK],
}
BAD: list[Any] = [
    None,
    Undefined,
    Raised(lambda: ValueError("raised")),
    Made(lambda: ValueError("returned")),
    Made(object),
    Made(lambda: made(Cursed, "cursed")),
    Made(lambda: made(Awaited, "awaited")),
    "text",
    7,
]


def invented_document(random: Random) -> str:
    """An operation that selects any of this, with fragments, aliases, the same twice, and conditions."""
    kind = random.choice(["query", "query", "mutation"])
    selected = " ".join(_field(random, 3, ["things", "box", "either", "boxes_must"]) for _ in range(3))
    return f"{kind} ($yes: Boolean!) {{ {selected} readThing @include(if: $yes) {{ ...OnThing }} }} {FRAGMENTS}"


FRAGMENTS = """
fragment OnThing on Thing { name readText awaitedBox { name ...OnBox } informedThings { __typename } }
fragment OnBox on Box { lid name permittedMust awaitedBox { askedMust } }
"""


def _selection(random: Random, depth: int) -> str:
    """Of something that is a thing; the same name is always the same field, so that all of it may be merged."""
    found = ["__typename"]
    for _ in range(random.randrange(1, 6)):
        field = _field(random, depth, [*LEAVES, *OBJECTS] if depth else [*LEAVES])
        around = random.choice(["%s", "... on Thing { %s }", "... on Box { %s lid }", "... on Bag { strap %s }"])
        condition = random.choice(["", "", "", "@skip(if: $yes)", "@include(if: $yes)"])
        found.append(around % field if not condition else f"... on Thing {condition} {{ {field} }}")
    if depth:
        found.append(random.choice(["", "...OnThing", "...OnBox"]))
    random.shuffle(found)
    return f"{{ __typename ... on Thing {{ {' '.join(found)} }} }}"


def _field(random: Random, depth: int, kinds: list[str]) -> str:
    way, kind = random.choice(WAYS), random.choice(kinds)
    name = camel(way, kind)
    if way == "argued":
        times = random.randrange(2)
        name = f"times{times}{name}: {name}(times: {times})"
    elif random.random() < 0.2:
        name = f"other{name}: {name}"
    return f"{name} {_selection(random, depth - 1)}" if kind in OBJECTS else name
