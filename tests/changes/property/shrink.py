"""Makes a failing program smaller: whatever can be left out is left out."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from tests.changes.property.program import Program, Unit

Fails = Callable[[Program], Awaitable[bool]]


async def shrunk(program: Program, fails: Fails, attempts: int = 300) -> Program:
    """The smallest program that is found and still fails; each attempt runs one."""
    while True:
        for smaller in _programs(program):
            attempts -= 1
            if attempts < 0:
                return program
            if await fails(smaller):
                program = smaller
                break
        else:
            return program


def _programs(program: Program) -> Iterator[Program]:
    yield from (each for each in _without_one(program) if each)
    for place, units in enumerate(program):
        around = program[:place], program[place + 1 :]
        if len(units) > 1:
            yield from ((*around[0], each, *around[1]) for each in _without_one(units))
        for number, unit in enumerate(units):
            for smaller in _units(unit):
                yield (*around[0], (*units[:number], smaller, *units[number + 1 :]), *around[1])


def _units(unit: Unit) -> Iterator[Unit]:
    if unit.cancelled is not None:
        yield Unit(unit.steps)
    yield from (replace(unit, steps=steps) for steps in _steps(unit.steps))


def _steps(steps: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    yield from _without_one(steps)
    for place, step in enumerate(steps):
        around = steps[:place], steps[place + 1 :]
        if hasattr(step, "steps"):
            yield (*around[0], *step.steps, *around[1])
            yield from ((*around[0], replace(step, steps=inner), *around[1]) for inner in _steps(step.steps))
        else:
            yield from ((*around[0], smaller, *around[1]) for smaller in _simpler(step))


def _simpler(step: Any) -> Iterator[Any]:
    """The same step with fewer values and options."""
    for each in fields(step):
        value = getattr(step, each.name)
        if isinstance(value, dict):
            yield from (replace(step, **{each.name: {k: v for k, v in value.items() if k != key}}) for key in value)
        elif value is True:
            yield replace(step, **{each.name: False})
        elif isinstance(value, tuple):
            yield from (replace(step, **{each.name: smaller}) for smaller in _without_one(value))
        elif hasattr(value, "__dataclass_fields__"):
            yield from (replace(step, **{each.name: smaller}) for smaller in _simpler(value))


def _without_one(items: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    for place in range(len(items)):
        yield items[:place] + items[place + 1 :]
