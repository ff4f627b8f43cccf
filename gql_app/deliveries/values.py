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
        TypeError: one is neither text, number, date, time, UUID nor None, nor a list or dict of such; or a text holds
            what cannot be stored (NUL, half of a surrogate pair).
    """
    plain: dict[str, Any] = _plain("", values)
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def thaw(text: str) -> dict[str, Any]:
    """What `freeze` was given; tuples come back as lists, and members of enums that are texts or numbers as these."""
    values: dict[str, Any] = json.loads(text, object_hook=_read)
    return values


def _plain(place: str, value: Any) -> Any:
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
            raise TypeError(f"{place} holds characters that cannot be stored (NUL, or half of a pair)")
        return value
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if type(value).__name__ in _READ and isinstance(value, datetime | date | time | Decimal | UUID):
        return {_MARK: [type(value).__name__, value.isoformat() if hasattr(value, "isoformat") else str(value)]}
    if isinstance(value, list | tuple):
        return [_plain(f"{place}[{number}]", each) for number, each in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) and key != _MARK for key in value):
        return {key: _plain(f"{place}.{key}" if place else key, each) for key, each in value.items()}
    if isinstance(value, Mapping) and not place:
        raise TypeError("a value of a message is called '$': give it another name")
    raise TypeError(
        f"{place} is a {type(value).__name__}: a message is rendered when it is sent, so give it texts, numbers, "
        "dates, or lists and dicts of them; of an entity give what the text says of it"
    )


def _read(found: dict[str, Any]) -> Any:
    if _MARK not in found:
        return found
    kind, text = found[_MARK]
    return _READ[kind](text)
