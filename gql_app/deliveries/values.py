"""Values of a text, frozen when it is owed: it is rendered when it is sent, and says what was so then.

Must hold: what comes back is equal to what was given, with its type, or it was refused.
"""

import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

_MARK = "$"
_READ: dict[str, Any] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "Decimal": Decimal,
    "UUID": UUID,
}


def freeze(values: Mapping[str, object]) -> str:
    """The values as JSON.

    Raises:
        TypeError: one is neither text, number, date, time, UUID nor None, nor a list or dict of such.
    """
    plain = {name: _plain(name, value) for name, value in values.items()}
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def thaw(text: str) -> dict[str, Any]:
    """What `freeze` was given; tuples come back as lists, and members of enums that are texts or numbers as these."""
    values: dict[str, Any] = json.loads(text, object_hook=_read)
    return values


def _plain(place: str, value: Any) -> Any:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if type(value).__name__ in _READ and isinstance(value, datetime | date | time | Decimal | UUID):
        return {_MARK: [type(value).__name__, value.isoformat() if hasattr(value, "isoformat") else str(value)]}
    if isinstance(value, list | tuple):
        return [_plain(f"{place}[{number}]", each) for number, each in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) and key != _MARK for key in value):
        return {key: _plain(f"{place}.{key}", each) for key, each in value.items()}
    raise TypeError(
        f"{place} is a {type(value).__name__}: a message is rendered when it is sent, so give it texts, numbers, "
        "dates, or lists and dicts of them; of an entity give what the text says of it"
    )


def _read(found: dict[str, Any]) -> Any:
    if _MARK not in found:
        return found
    kind, text = found[_MARK]
    return _READ[kind](text)
