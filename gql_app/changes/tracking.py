"""How a model says that its changes are recorded.

class FuelRequest(Tracked, Timestamped, Base):
    __entity__ = "FuelRequest"
    __owner__ = "requester_id"
    __readers__ = frozenset({Role.APPROVER})

    status: Mapped[FuelRequestStatus] = tracked(Enum(FuelRequestStatus), default=FuelRequestStatus.PENDING)
"""

import enum
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID, uuid4

from sqlalchemy import Integer, event
from sqlalchemy.orm import Mapped, MappedColumn, Mapper, mapped_column, object_session

from gql_app.db import Base, WriteSession

_TRACKED = "gql_app_tracked"
_SECRET = "gql_app_secret"  # noqa: S105  (the name of a mark)


def tracked(*args: Any, secret: bool = False, **kwargs: Any) -> MappedColumn[Any]:
    """A `mapped_column` whose changes go into the change log; of a ``secret`` one, that it changed but no value."""
    # The old value must be known also where the attribute had expired: it is loaded before it is replaced.
    info = {**kwargs.pop("info", {}), _TRACKED: True, _SECRET: secret}
    return mapped_column(*args, info=info, active_history=True, **kwargs)


class Tracked:
    """Mixin: creation, deletion and the `tracked` attributes of this model are recorded in the change log.

    Subclasses by inheritance are the same kind of entity as their base. ``__owner__`` names the attribute that holds
    the id of the user whom the entity belongs to; ``__readers__`` are the roles that may see all entities of the kind.
    """

    __entity__: ClassVar[str]
    __owner__: ClassVar[str | None] = None
    __readers__: ClassVar[frozenset[enum.Enum]] = frozenset()

    public_id: Mapped[UUID] = mapped_column(default=uuid4, unique=True, sort_order=-9)
    if TYPE_CHECKING:
        version: Mapped[int]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give every table of tracked entities a version.

        Two transactions that change the same row: the second finds another version and is run again, so that the
        old value in the log is always the one that was really replaced.
        """
        if not any(hasattr(base, "__table__") for base in cls.__mro__[1:]):
            version = cls.version = mapped_column(Integer, nullable=False, sort_order=902)
            own = cls.__dict__.get("__mapper_args__", {})
            cls.__mapper_args__ = {**own, "version_id_col": version}  # type: ignore[attr-defined]
        super().__init_subclass__(**kwargs)


def entity_type(model: type[Tracked]) -> str:
    """The name of the kind of entity, e.g. ``"FuelRequest"``; the same for all subclasses by inheritance."""
    return model.__entity__


def tracked_models() -> Iterator[type[Tracked]]:
    """All mapped classes whose changes are recorded, subclasses by inheritance too."""
    for mapper in Base.registry.mappers:
        if issubclass(mapper.class_, Tracked):
            yield mapper.class_


@cache
def readable_by(role: enum.Enum) -> frozenset[str]:
    """The kinds of entities of which this role may see all, by their models' ``__readers__``."""
    return frozenset(entity_type(model) for model in tracked_models() if role in model.__readers__)


def tracked_attributes(model: type[Tracked]) -> dict[str, bool]:
    """The tracked attributes of a model: name → whether it is secret."""
    found = _attributes.get(model)
    if found is None:
        found = _attributes[model] = _read_attributes(model)
    return found


_attributes: dict[type, dict[str, bool]] = {}


def _read_attributes(model: type[Tracked]) -> dict[str, bool]:
    mapper: Mapper[Any] = model.__mapper__  # type: ignore[attr-defined]
    return {
        attr.key: attr.columns[0].info[_SECRET] for attr in mapper.column_attrs if attr.columns[0].info.get(_TRACKED)
    }


def encode(value: object) -> str | None:
    """A value as the change log writes it: enums by name, moments in ISO 8601, booleans as true/false."""
    match value:
        case None:
            return None
        case enum.Enum():
            return value.name
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat()
        case _:
            return str(value)


def _refuse_plain_session(mapper: object, connection: object, target: Tracked) -> None:
    if not isinstance(object_session(target), WriteSession):
        raise TypeError(
            f"{type(target).__name__} is tracked: change it in a unit of work of Database.write, "
            "or else the change would be missing in the change log"
        )


for _name in ("before_insert", "before_update", "before_delete"):
    event.listen(Tracked, _name, _refuse_plain_session, propagate=True)
