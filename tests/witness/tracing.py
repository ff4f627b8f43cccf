"""Row images in their order, as steps of entities: a row of a subclass's table belongs to its base row's entity."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from tests.witness.images import Image
from tests.witness.kinds import Kind, Row

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What happened to one row of an entity. `old` is None for a new row, `new` for one that is gone.

    `owner_row` is the row that says whose the entity is, as it is after this step, or was right before its end.
    """

    image: int
    kind: Kind
    entity: UUID
    table: str
    old: Row | None
    new: Row | None
    owner_row: Row | None

    @property
    def of_base(self) -> bool:
        return self.table == self.kind.base


class Tracer:
    """Follows all rows. `wrong` are the sentences about what happened to them behind the witness's back."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self.wrong: list[str] = []
        self._kinds = {table.name: kind for kind in kinds for table in kind.tables}
        self._rows: dict[tuple[str, Key], Row] = {}
        self._entities: dict[tuple[str, Key], UUID] = {}

    def steps(self, image: Image) -> Iterator[Step]:
        """What this image says; images must come in the order of their ids."""
        kind = self._kinds.get(image.table)
        if kind is None:
            self.wrong.append(f"image {image.id} is of the table {image.table}, and no model of that was given")
            return
        before, key = self._follow(kind, image)
        if image.table != kind.base:
            entity = self._entities.get((kind.base, key)) or self._entities.get((kind.base, before))
            if entity is None:
                self.wrong.append(f"image {image.id} of {image.table} {image.key}: no row of {kind.base} was ever seen")
            else:
                yield self._step(image.id, kind, entity, image.table, image.old, image.new, key)
            return
        was, becomes = _entity(kind, image.old), _entity(kind, image.new)
        if was is not None:
            self._entities[kind.base, before] = was
        if becomes is not None:
            self._entities[kind.base, key] = becomes
        if was is not None and becomes is not None and was != becomes:  # another entity takes over the row
            yield from self._whole(image.id, kind, was, key, gone=image.old)
            yield from self._whole(image.id, kind, becomes, key, new=image.new)
        else:
            entity = was or becomes
            assert entity is not None
            yield self._step(image.id, kind, entity, image.table, image.old, image.new, key)

    def _follow(self, kind: Kind, image: Image) -> tuple[Key, Key]:
        """Note the row as it is now; returns its key before and after."""
        before = kind.key_of(image.table, image.old) if image.old is not None else None
        after = kind.key_of(image.table, image.new) if image.new is not None else None
        known = self._rows.get((image.table, before or after or ()))
        if known is not None and not _same(known, image.old, kind.secrets_of(image.table)):
            self.wrong.append(f"image {image.id}: the row {image.key} of {image.table} had been changed unseen")
        if before is not None:
            self._rows.pop((image.table, before), None)
        if after is not None and image.new is not None:
            self._rows[image.table, after] = image.new
        return before or after or (), after or before or ()

    def _whole(
        self, image: int, kind: Kind, entity: UUID, key: Key, *, gone: Row | None = None, new: Row | None = None
    ) -> Iterator[Step]:
        """The end or the beginning of an entity, with its rows in the tables of subclasses."""
        base = self._step(image, kind, entity, kind.base, gone, new, key)
        yield base
        for table in kind.tables[1:]:
            row = self._rows.get((table.name, key))
            if row is not None:
                step = self._step(image, kind, entity, table.name, row if gone else None, row if new else None, key)
                # Of the one that is gone, not of the one whose row it is now.
                owned_by_base = kind.owner is not None and kind.owner[0] == kind.base
                yield replace(step, owner_row=base.owner_row) if owned_by_base else step

    def _step(
        self, image: int, kind: Kind, entity: UUID, table: str, old: Row | None, new: Row | None, key: Key
    ) -> Step:
        owner_row = None
        if kind.owner is not None:
            owner_row = (new or old) if table == kind.owner[0] else self._rows.get((kind.owner[0], key))
        return Step(image, kind, entity, table, old, new, owner_row)


def _entity(kind: Kind, row: Row | None) -> UUID | None:
    return None if row is None else UUID(row[kind.public_id])


def _same(known: Row, old: Row | None, secrets: list[str]) -> bool:
    """Whether an image begins with what is known of the row; of a secret there is only whether it is set."""
    if old is None:
        return False
    return all(
        (known[name] is None) == (old[name] is None) if name in secrets else known[name] == old[name]
        for name in known.keys() & old.keys()
    )
