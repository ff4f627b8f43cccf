"""Passwords: bcrypt, in threads of its own, never within a transaction.

bcrypt releases the GIL, so hashing in a thread leaves the event loop free; it takes about 0.3 s at cost 12.
"""

import re
import unicodedata
from collections.abc import Sequence

import bcrypt
from zxcvbn import zxcvbn

from gql_app.errors import Invalid
from gql_app.limiter import NOBODY, FairQueue, Whose

WAITING, WAITING_OF_ADDRESS, WAITING_OF_LINE = 64, 32, 8
"""Passwords that may wait to be hashed: in all, of one address (an office behind one), of one WebSocket."""
MIN_LENGTH = 8
"""NIST SP 800-63B, section 5.1.1.2."""
MIN_SCORE = 2
"""zxcvbn's score: 2 stands for more than a million guesses."""
MAX_BYTES = 72
"""What bcrypt takes into account; version 5 of the library refuses more."""
LONGEST = 1_000
"""Characters; that many never compose to 72 bytes."""
RATED = 20
"""Characters by which a password's strength is told: zxcvbn takes seconds for some of 72."""
_HASH = re.compile(r"\$2b\$\d\d\$[./A-Za-z0-9]{53}")


def is_hash(value: object) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


class Passwords:
    """Hashes and checks passwords in a few threads. Addresses and lines take turns (see `FairQueue`)."""

    def __init__(self, cost: int, *, threads: int = 2, waiting: int = WAITING) -> None:
        self._cost = cost
        self._queue = FairQueue(
            "bcrypt",
            threads=threads,
            at_all=waiting,
            per_address=min(WAITING_OF_ADDRESS, waiting),
            per_line=min(WAITING_OF_LINE, waiting),
            told="Too many people are signing in right now; try again in a moment.",
        )
        # Compared with when there is no such user, so that this takes as long as a wrong password.
        self._nobodys = bcrypt.hashpw(b"nobody", bcrypt.gensalt(cost)).decode()

    def close(self) -> None:
        self._queue.close()

    async def hash(
        self, password: str, *, personal: Sequence[str] = (), field: str = "password", whose: Whose = NOBODY
    ) -> str:
        """The hash to store. ``personal`` are words that make a bad password for this person.

        Raises:
            Invalid: too short, longer than 72 bytes in UTF-8, or one that everybody guesses.
            RateLimited: too many passwords wait to be hashed.
        """
        raw = _check(password, field)
        await self._queue.run(whose, _refuse_weak, password, personal, field)
        return (await self._queue.run(whose, bcrypt.hashpw, raw, bcrypt.gensalt(self._cost))).decode()

    async def matches(self, password: str, hashed: str | None, *, whose: Whose = NOBODY) -> bool:
        """Whether this is the password of the hash; takes the same time for no hash, and for an impossible password."""
        raw = _bytes(password)
        possible = raw is not None and len(raw) <= MAX_BYTES and hashed is not None
        against = hashed if hashed is not None else self._nobodys
        same = await self._queue.run(whose, bcrypt.checkpw, (raw or b"-")[:MAX_BYTES], against.encode())
        return same and possible


def _bytes(password: str) -> bytes | None:
    try:
        # What is longer is too long anyway, and to normalize it may take seconds.
        raw = unicodedata.normalize("NFC", password[:LONGEST]).encode()
    except UnicodeEncodeError:
        return None
    return None if b"\0" in raw else raw


def _refuse_weak(password: str, personal: Sequence[str], field: str) -> None:
    if zxcvbn(password[:RATED], user_inputs=list(personal))["score"] < MIN_SCORE:
        raise Invalid("This password is among the first that anybody would guess.", field=field)


def _check(password: str, field: str) -> bytes:
    raw = _bytes(password)
    if raw is None:
        raise Invalid("The password holds characters that cannot be used.", field=field)
    if len(raw) > MAX_BYTES:
        raise Invalid(f"The password is longer than {MAX_BYTES} bytes.", field=field)
    if len(password) < MIN_LENGTH:
        raise Invalid(f"The password needs at least {MIN_LENGTH} characters.", field=field)
    return raw
