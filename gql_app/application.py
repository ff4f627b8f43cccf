"""What a list of verticals comes to: one application, closed and checked before anything is opened."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import strawberry
from sqlalchemy import Table
from sqlalchemy.orm import configure_mappers

from gql_app.api.authentication import NOBODY, Authentication
from gql_app.api.nodes import Finder, Nodes
from gql_app.audiences.kinds import Model, Untrackable, root_of
from gql_app.audiences.registry import CATALOG, Catalog
from gql_app.changes.tracking import mapper_of, tracked_models
from gql_app.declared.shape import Declared, declared
from gql_app.deliveries.models import BUILT_IN, Channel, Delivery
from gql_app.deliveries.owing import in_force
from gql_app.deliveries.rules import registrations_of
from gql_app.deliveries.texts import TEXTS, Texts
from gql_app.errors import ConfigurationError
from gql_app.migrations import BEFORE, ENGINE, OURS, Branch
from gql_app.schema import build
from gql_app.settings import DEFAULT_APP
from gql_app.vertical import Vertical

ADMIN = "ADMIN"
"""A role that is known everywhere; the rest is said by verticals."""


class Application:
    """Verticals that fit together.

    Raises:
        ConfigurationError: they do not; the sentence says why.
    """

    def __init__(self, verticals: Sequence[Vertical]) -> None:
        self.verticals = tuple(dict.fromkeys(verticals))
        for each in self.verticals:
            if missing := [other.name for other in each.needs if other not in self.verticals]:
                raise ConfigurationError(f"The vertical {each.name!r} needs {missing[0]!r}: add it to the list.")
        names = [each.name for each in self.verticals]
        if twice := sorted({name for name in names if names.count(name) > 1 or name in (ENGINE.name, BEFORE.name)}):
            raise ConfigurationError(f"Two verticals have the name {twice[0]!r}: the database tells them apart by it.")
        for vertical in self.verticals:
            if vertical.name in OURS and vertical.migrations not in (None, OURS[vertical.name]):
                raise ConfigurationError(f"{vertical.name!r} is the name of a vertical of gql_app: take another one.")
        configure_mappers()
        entities = [(each, declared(kind)) for each in self.verticals for kind in each.entities]
        roots: list[Model] = [Delivery, *(entity.model for _, entity in entities)]
        roots += [model for each in self.verticals for model in each.models]
        try:
            self.catalog = Catalog(roots)
            self.models = tuple(each for each in tracked_models() if each in self.catalog)
        except Untrackable as error:
            raise ConfigurationError(f"The models of this application do not fit together: {error}") from error
        for bringing, shown in entities:
            if strange := [other for other in shown.fields.refers if other not in self.catalog]:
                raise ConfigurationError(
                    f"{shown.graphql.__name__} of {bringing.name} shows a {strange[0].__name__}, which no vertical of "
                    "this application has among its entities or models."
                )
        self.nodes = Nodes(self._nodes(entities))
        self.rules = tuple(dict.fromkeys(rule for each in self.verticals for rule in each.rules))
        self.texts = Texts({each.name: each.templates for each in self.verticals if each.templates is not None})
        self._refuse_strange_roles()
        self._refuse_strange_rules()
        self.authentication = self._authentication()
        _ = self.channels

    @cached_property
    def schema(self) -> strawberry.Schema:
        return build(self.verticals)

    @cached_property
    def branches(self) -> Sequence[Branch]:
        """The migrations of the engine and of the verticals, those that others need before these others."""
        ordered: dict[Vertical, None] = {}

        def place(vertical: Vertical) -> None:
            for each in vertical.needs:
                place(each)
            ordered[vertical] = None

        for each in self.verticals:
            place(each)
        return (ENGINE, *(Branch(each.name, each.migrations) for each in ordered if each.migrations is not None))

    @cached_property
    def tracked_tables(self) -> Sequence[Table]:
        """The tables of all models."""
        found = (table for model in self.models for table in mapper_of(model).tables if isinstance(table, Table))
        return tuple(dict.fromkeys(found))

    def tables(self, vertical: Vertical) -> Sequence[Table]:
        """The tables of a vertical: of its models, and of what is mapped in the same packages."""
        models: list[Any] = [*(declared(each).model for each in vertical.entities), *vertical.models]
        packages = {each.__module__.rpartition(".")[0] or each.__module__ for each in models}
        found: dict[Table, None] = {}
        for model in models:
            for mapper in model.registry.mappers:
                package = mapper.class_.__module__.rpartition(".")[0] or mapper.class_.__module__
                if package in packages or root_of(mapper.class_) is root_of(model):
                    found |= dict.fromkeys(table for table in mapper.tables if isinstance(table, Table))
        return tuple(found)

    @cached_property
    def channels(self) -> Sequence[Channel]:
        """The ways that messages may go.

        Raises:
            ConfigurationError: a name is no channel's, or taken.
        """
        names = [name for each in self.verticals for name in each.channels]
        try:
            found = [*BUILT_IN, *map(Channel, names)]
        except TypeError as error:
            raise ConfigurationError(f"{error}.") from error
        if len(set(found)) < len(found):
            raise ConfigurationError(
                "Two channels have one name: SMS and EMAIL are there, and each name is brought once."
            )
        return found

    @property
    def session_info(self) -> dict[str, Any]:
        """What the session of every unit of work finds in its ``info``."""
        return {CATALOG: self.catalog, TEXTS: self.texts, **in_force(self.rules)}

    def _nodes(self, entities: Iterable[tuple[Vertical, Declared]]) -> Mapping[str, Finder]:
        bases = [(vertical, each) for vertical, each in entities if root_of(each.model) is each.model]
        brought = [(vertical, each.kind, each.by_public_id) for vertical, each in bases]
        brought += [(vertical, kind, finder) for vertical in self.verticals for kind, finder in vertical.nodes.items()]
        known: dict[str, tuple[Vertical, Finder]] = {}
        for vertical, kind, finder in brought:
            other = known.setdefault(kind, (vertical, finder))
            if other[1] is not finder:
                raise ConfigurationError(
                    f"Nodes of the kind {kind} are found in two ways, by {other[0].name} and {vertical.name}: leave "
                    "one of the two types out of entities=…, or one of the finders out of nodes=…."
                )
        return {kind: finder for _, kind, finder in brought}

    def _authentication(self) -> Authentication:
        found = [each for each in self.verticals if each.authentication is not None]
        if len(found) > 1:
            names = " and ".join(each.name for each in found)
            raise ConfigurationError(f"Both {names} say who looks: leave the authentication of one out.")
        return (found[0].authentication if found else None) or NOBODY

    def _refuse_strange_roles(self) -> None:
        known = {ADMIN}.union(*(each.role_names for each in self.verticals))
        if strange := sorted(self.catalog.roles - known):
            raise ConfigurationError(
                f"An audience names the role {strange[0]}, which no vertical of this application has among its roles."
            )

    def _refuse_strange_rules(self) -> None:
        for rule in self.rules:
            if not registrations_of(rule):
                raise ConfigurationError(f"{rule.__qualname__} is no rule: declare it with on_change(…) or the like.")
            for each in registrations_of(rule):
                if each.model not in self.catalog:
                    raise ConfigurationError(
                        f"The rule {each.name} is about {each.model.__name__}, which no vertical of this "
                        "application has among its models."
                    )


def named(place: str) -> Application:
    """The application of the verticals that ``package.module:attribute`` names.

    Raises:
        ConfigurationError: there are none in this place, or they do not fit together.
    """
    module, _, attribute = place.partition(":")
    if not module or not attribute:
        raise ConfigurationError(f"{place!r} names no application: write MODULE:NAME, as boats:ALL.")
    if place != DEFAULT_APP and not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does: somebody's package beside where she stands
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"The application {place!r} cannot be found: {error}") from error
    verticals = tuple(found) if isinstance(found, Sequence) else ()
    if not verticals or not all(isinstance(each, Vertical) for each in verticals):
        raise ConfigurationError(f"The application {place!r} is no list of verticals.")
    return Application(verticals)
