"""What a stand-in has seen, in order and awaitable; and the journal that outlives a process."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


class Ledger(Generic[Item]):
    """An append-only list that can be awaited.

    With a `journal` each item is one JSON line, synced to disk before `add` returns. `announce` is called
    last, once per item. Not thread-safe: one event loop only.
    """

    def __init__(
        self,
        to_json: Callable[[Item], dict[str, object]] | None = None,
        journal: Path | None = None,
        announce: Callable[[Item], None] | None = None,
    ) -> None:
        self.items: list[Item] = []
        self._to_json = to_json
        self._journal = journal
        self._announce = announce
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    def add(self, item: Item) -> None:
        """Journal the item, remember it and wake those who waited for it."""
        if self._journal is not None and self._to_json is not None:
            append_line(self._journal, self._to_json(item))
        self.items.append(item)
        for count, waiter in self._waiters:
            if len(self.items) >= count and not waiter.done():
                waiter.set_result(None)
        if self._announce is not None:
            self._announce(item)

    async def wait_for(self, count: int) -> list[Item]:
        """A copy of all items, as soon as there are at least `count`; sets no time limit of its own."""
        if len(self.items) < count:
            entry = (count, asyncio.get_running_loop().create_future())
            self._waiters.append(entry)
            try:
                await entry[1]
            finally:
                self._waiters.remove(entry)
        return list(self.items)


def append_line(path: Path, item: dict[str, object]) -> None:
    """Append one JSON line in a single write and sync it: it survives the end of any process."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, json.dumps(item).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Every journalled item, oldest first; an absent file is an empty journal."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().splitlines()]
