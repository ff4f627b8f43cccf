"""How a model says that its changes are recorded.

class FuelRequest(Tracked, Timestamped, Base):
    __entity__ = "FuelRequest"
    __audience__ = Audience(owner("requester_id"), role(Role.APPROVER))

    status: Mapped[FuelRequestStatus] = tracked(Enum(FuelRequestStatus), default=FuelRequestStatus.PENDING)

Must hold: what cannot be recorded is refused when the model is mapped (see `mapping`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast
from uuid import UUID, uuid4

from sqlalchemy import Column, Dialect, Integer, Table
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.orm import InstrumentedAttribute, Mapped, MappedAsDataclass, MappedColumn, Mapper, mapped_column

from gql_app.audiences.declaration import Audience, Grant
from gql_app.changes.codec import Codec

_TRACKED = "gql_app_tracked"
_SECRET = "gql_app_secret"  # noqa: S105  (the name of a mark)


def tracked(*args: Any, secret: bool = False, **kwargs: Any) -> MappedColumn[Any]:
    """A `mapped_column` whose changes go into the change log; of a ``secret`` one, that it changed but no value."""
    # The old value must be known also where the attribute had expired: it is loaded before it is replaced.
    info = {**kwargs.pop("info", {}), _TRACKED: True, _SECRET: secret}
    return mapped_column(*args, info=info, active_history=True, **kwargs)


class Tracked:
    """Mixin: creation, deletion and the `tracked` attributes of this model are recorded in the change log.

    Subclasses by inheritance are the same kind of entity as their base. ``__audience__`` says who may see an entity
    (see `audiences.declaration`); without one only admins may. ``__grants__`` says which keys its rows give to users.
    ``__role__`` names the tracked attribute, if there is one, that says which role the owner of the row has.
    """

    __entity__: ClassVar[str]
    __audience__: ClassVar[Audience] = Audience()
    __grants__: ClassVar[tuple[Grant, ...]] = ()
    __role__: ClassVar[str | None] = None

    public_id: Mapped[UUID] = mapped_column(default=uuid4, unique=True, active_history=True, sort_order=-9)
    if TYPE_CHECKING:
        version: Mapped[int]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give every table of tracked entities a version.

        Two transactions that change the same row: the second finds another version and is run again, so that the
        old value in the log is always the one that was really replaced.
        """
        if issubclass(cls, MappedAsDataclass):
            raise TypeError(f"{cls.__name__} is a dataclass: tracked models are plain ones, on a DeclarativeBase alone")
        if not any(hasattr(base, "__table__") for base in cls.__mro__[1:]):
            own = getattr(cls, "__mapper_args__", {})
            if isinstance(own, Mapping) and own.get("version_id_col") is getattr(cls, "version", cls):
                own = {name: value for name, value in own.items() if name != "version_id_col"}  # of a mixin like this
            if not isinstance(own, Mapping) or {"version_id_col", "version_id_generator"} & own.keys():
                raise TypeError(
                    f"{cls.__name__}.__mapper_args__ must be a dictionary without version_id_col and "
                    "version_id_generator: tracked models have a version of their own"
                )
            version = cls.version = mapped_column(Integer, nullable=False, sort_order=902)
            cls.__mapper_args__ = {**own, "version_id_col": version}  # type: ignore[attr-defined]
        super().__init_subclass__(**kwargs)


@dataclass(frozen=True, slots=True)
class Attribute:
    """A tracked attribute of a model."""

    name: str
    column: Column[Any]
    secret: bool


def entity_type(model: type[Tracked]) -> str:
    """The name of the kind of entity, e.g. ``"FuelRequest"``; the same for all subclasses by inheritance."""
    return model.__entity__


def tracked_models() -> Iterator[type[Tracked]]:
    """All mapped classes whose changes are recorded, on whatever base; subclasses by inheritance too."""
    open_classes = Tracked.__subclasses__()
    while open_classes:
        model = open_classes.pop()
        open_classes += model.__subclasses__()
        if sa_inspect(model, raiseerr=False) is not None:
            yield model


def mapper_of(model: type[Tracked]) -> Mapper[Any]:
    mapper: Mapper[Any] = sa_inspect(model)
    return mapper


def table_of(model: type[Tracked]) -> Table:
    """The table of a model's own columns; a subclass by joined inheritance has one besides its base's."""
    table: Any = mapper_of(model).local_table
    return cast(Table, table)


def attributes_of(model: type[Tracked]) -> Mapping[str, Attribute]:
    """The tracked attributes of a model by their names, in the order of their columns."""
    found = _attributes.get(model)
    if found is None:
        found = _attributes[model] = {
            name: Attribute(name, column, column.info[_SECRET])
            for name, column in mapper_of(model).columns.items()
            if isinstance(column, Column) and column.info.get(_TRACKED)
        }
    return found


_attributes: dict[type, Mapping[str, Attribute]] = {}


def tracked_attributes(model: type[Tracked]) -> dict[str, bool]:
    """The tracked attributes of a model: name → whether it is secret."""
    return {name: attribute.secret for name, attribute in attributes_of(model).items()}


def codecs_of(model: type[Tracked], dialect: Dialect) -> Mapping[str, Codec]:
    """How the values of the tracked attributes are written into the log, and read from it, on this database."""
    found = _codecs.get((model, dialect.name))
    if found is None:
        found = {name: Codec(each.column.type, dialect) for name, each in attributes_of(model).items()}
        _codecs[model, dialect.name] = found
    return found


def forget(model: type) -> None:
    """What was found out about the attributes of a class: it has got another one."""
    for known in [each for each in _attributes if issubclass(each, model)]:
        del _attributes[known]
    for pair in [each for each in _codecs if issubclass(each[0], model)]:
        del _codecs[pair]


_codecs: dict[tuple[type, str], Mapping[str, Codec]] = {}


def value_of(attribute: InstrumentedAttribute[Any], text: str | None) -> Any:
    """The value that a text in the change log stands for; None for NULL.

    Raises:
        Undecodable: another version of the service wrote it.
    """
    codec = _readers.get(attribute)
    if codec is None:
        codec = _readers[attribute] = Codec(attribute.property.columns[0].type, DefaultDialect())
    return codec.decode(text)


_readers: dict[InstrumentedAttribute[Any], Codec] = {}
