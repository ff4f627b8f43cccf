"""What became of each entity in a transaction from outside: of each of its rows the first and the last."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Dialect, Table

from gql_app.audiences.kinds import Model
from gql_app.audiences.registry import makers
from gql_app.changes.codec import NULL, Codec, Frozen
from gql_app.changes.net import Entity, Pair
from gql_app.changes.tracking import attributes_of, codecs_of, mapper_of
from gql_app.outside.images import Damaged, Image, Row
from gql_app.outside.tables import BASE_ROW, CHANGED, SET, base_of


@dataclass(slots=True)
class _Life:
    """One entity. None stands for a row that was not there; `changed` are secrets that were replaced."""

    root: Model
    public_id: UUID
    before: dict[str, Row | None] = field(default_factory=dict)
    after: dict[str, Row | None] = field(default_factory=dict)
    changed: set[tuple[str, str]] = field(default_factory=set)
    base: Row | None = None
    """Its row in the base table, as a part's image has it."""

    def follow(self, table: Table, old: Row | None, new: Row | None) -> None:
        self.before.setdefault(table.fullname, old)
        self.after[table.fullname] = new
        if old is not None and new is not None:
            marks = (name for name in new if name.startswith("*"))
            self.changed |= {
                (table.fullname, name[1:])
                for name in marks
                if new[name] == CHANGED or (old.get(name) is None) != (new[name] is None)
            }


class Lives:
    """The entities of one transaction; follows its images in their order."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._lives: dict[tuple[Model, UUID], _Life] = {}
        self._by_key: dict[tuple[Model, tuple[Any, ...]], UUID] = {}

    def follow(self, image: Image) -> None:
        if not image.watched.is_base:
            self._follow_part(image)
            return
        old, new = image.old, image.new
        before, after = self._id(image, old), self._id(image, new)
        if before is not None and after is not None and before != after:
            self._life(image, before).follow(image.watched.table, old, None)
            self._life(image, after).follow(image.watched.table, None, new)
        elif (known := before or after) is not None:
            self._life(image, known).follow(image.watched.table, old, new)

    def _follow_part(self, image: Image) -> None:
        """It says to which row of the base table it belongs. That may be gone already, and was seen before then."""
        row = image.old if image.new is None else image.new
        base = None if row is None else row.get(BASE_ROW)
        found = None if base is None else self._public_id(image, base)
        found = found or self._by_key.get((image.watched.root, image.key))
        if found is not None:
            life = self._life(image, found)
            life.base = base or life.base
            life.follow(image.watched.table, image.old, image.new)

    def _id(self, image: Image, row: Row | None) -> UUID | None:
        if row is None or (found := self._public_id(image, row)) is None:
            return None
        self._by_key[image.watched.root, tuple(str(row.get(each.name)) for each in image.watched.key)] = found
        return found

    def _public_id(self, image: Image, row: Row) -> UUID | None:
        found = row.get(image.watched.public_id)
        return found if isinstance(found, UUID) else None

    def _life(self, image: Image, public_id: UUID) -> _Life:
        root = image.watched.root
        return self._lives.setdefault((root, public_id), _Life(root, public_id))

    def entities(self) -> Iterator[Entity]:
        for life in self._lives.values():
            if (entity := self._entity(life)) is not None:
                yield entity

    def _entity(self, life: _Life) -> Entity | None:
        base = base_of(life.root).fullname
        before, after = (side.get(base, life.base) for side in (life.before, life.after))
        last = after if after is not None else before
        if last is None:
            return None  # it came and went
        model = _model(life.root, last)
        held = _held(model, last)
        held_before = None if before is None else _held(model, before)
        values = {} if after is None else dict(self._values(model, life))
        if before is not None and after is not None and not values and held == held_before:
            return None
        return Entity(model, life.public_id, held, held_before, None, before is None, after is None, values)

    def _values(self, model: Model, life: _Life) -> Iterator[tuple[str, Pair]]:
        codecs = codecs_of(model, self._dialect)
        for name, attribute in attributes_of(model).items():
            table, column = str(getattr(attribute.column.table, "fullname", "")), attribute.column.name
            rows = life.before.get(table), life.after.get(table)
            if attribute.secret:
                old, new = (Frozen(mark, mark) for mark in (_mark(row, column) for row in rows))
                if old.text is not None and new.text is not None:
                    new = Frozen(CHANGED, CHANGED) if (table, column) in life.changed else old
            else:
                old, new = (_frozen(row, column, codecs[name]) for row in rows)
            if old.text != new.text:
                yield name, (old, new)


def _model(root: Model, row: Row) -> Model:
    mapper = mapper_of(root)
    kind: Any = mapper.polymorphic_on
    value = None if kind is None else row.get(getattr(kind, "name", ""))
    found = None if isinstance(value, Damaged) else mapper.polymorphic_map.get(value)
    return root if found is None else found.class_


def _held(model: Model, row: Row) -> Mapping[str, Any]:
    """What decides who may see it; what cannot be read decides nothing."""
    return {name: _made(make, row.get(mapper_of(model).columns[name].name)) for name, make in makers(model)}


def _made(make: Any, value: Any) -> Any:
    try:
        return None if isinstance(value, Damaged) else make(value)
    except (ValueError, TypeError, ArithmeticError):
        return None


def _mark(row: Row | None, column: str) -> str | None:
    return None if row is None or row.get(f"*{column}") is None else SET


def _frozen(row: Row | None, column: str, codec: Codec) -> Frozen:
    value = None if row is None else row.get(column)
    if value is None:
        return NULL
    if isinstance(value, Damaged):
        return Frozen(None, _storable(value.text))
    try:
        found = codec.frozen(value)
    except Exception:  # the log has no text for it, such as for a number that is none
        return Frozen(None, _storable(str(value)))
    return found if found.text is None else Frozen(found.value, _storable(found.text))


def _storable(text: str) -> str:
    """As it is, but for what no database takes in a text (NUL, half of a surrogate pair)."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
