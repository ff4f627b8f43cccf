"""What a feature brings to an application. An application is a list of these."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gql_app.api.nodes import Finder


@dataclass(frozen=True, eq=False)
class Vertical:
    """A feature. All but the name may be left out.

    `queries`, `mutations` and `subscriptions` are Strawberry types whose fields become those of the schema's roots;
    `types` are those that no field names, such as implementations of an interface. `nodes` finds entities by their
    global ids, kind by kind. `rules` are the functions that say who is owed a message.
    """

    name: str
    queries: tuple[type, ...] = ()
    mutations: tuple[type, ...] = ()
    subscriptions: tuple[type, ...] = ()
    types: tuple[type, ...] = ()
    nodes: Mapping[str, Finder] = field(default_factory=dict)
    rules: tuple[Callable[..., Iterable[Any]], ...] = ()
