"""Whether two functions make the same of an event: subscribers with the same one share its execution."""

import dis
from collections.abc import Callable, Hashable
from functools import lru_cache, partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any


def identity_of(of: Callable[..., Any], foreign: tuple[type, ...] = ()) -> Hashable:
    """The same for two functions only if they make the same of every event.

    A function that is made within another one, a bound method, a `partial` is told by its code and by all that it has
    taken with it: values from around it, defaults, its object, its arguments. ``foreign`` are the types of what says
    who is looking.

    Raises:
        TypeError: what it has taken with it depends on who looks, cannot be compared, or is changed by it; so nobody
            could ever share what it makes.
    """
    return _Identity(getattr(of, "__qualname__", repr(of)), foreign).of(of)


class _Identity:
    def __init__(self, name: str, foreign: tuple[type, ...]) -> None:
        self._name = name
        self._foreign = foreign

    def of(self, of: Any) -> Hashable:
        if isinstance(of, FunctionType):
            return self._of_function(of)
        if isinstance(of, MethodType):
            return self._vetted("its object", of.__self__), self.of(of.__func__)
        if isinstance(of, partial):
            named = sorted(of.keywords.items())
            given = [("an argument", value) for value in of.args] + named
            taken = tuple(self._vetted(name, value) for name, value in given)
            return self.of(of.func), taken, tuple(name for name, _ in named)
        return self._vetted("itself", of)

    def _of_function(self, of: FunctionType) -> Hashable:
        taken: list[tuple[str, Any]] = []
        cells = of.__closure__ or ()
        for name, cell in zip(of.__code__.co_freevars, cells, strict=True):
            if name != "__class__":
                taken.append((name, cell.cell_contents))
        taken += [("a default", value) for value in of.__defaults__ or ()]
        taken += sorted((of.__kwdefaults__ or {}).items())
        if changed := _written_around(of.__code__):
            raise TypeError(f"{self._name} changes {sorted(changed)[0]}, so it makes something else of each event")
        return of.__code__, tuple(self._vetted(name, value) for name, value in taken)

    def _vetted(self, name: str, value: Any) -> Hashable:
        if isinstance(value, FunctionType | MethodType | partial):
            return self.of(value)
        if isinstance(value, self._foreign) or not _is_comparable(value):
            raise TypeError(
                f"{self._name} has taken {name} with it, so no two subscribers could share what it makes of an event: "
                "use the event alone, and what is equal for equal arguments of the subscription"
            )
        return type(value), value


@lru_cache(1024)
def _written_around(code: CodeType) -> frozenset[str]:
    """The variables of the functions around it that it assigns."""
    stores = (each.argval for each in dis.get_instructions(code) if each.opname in ("STORE_DEREF", "DELETE_DEREF"))
    return frozenset(stores) & frozenset(code.co_freevars)


def _is_comparable(value: object) -> bool:
    """Whether equal ones are taken for the same."""
    try:
        hash(value)
    except TypeError:
        return False
    return isinstance(value, type | ModuleType) or type(value).__eq__ is not object.__eq__
