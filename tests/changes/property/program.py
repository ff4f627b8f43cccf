"""Programs: rounds of units of work, each a list of steps."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from tests.changes.property.acting import Act, Step, run_all


@dataclass(frozen=True)
class Unit:
    """A unit of work, perhaps cancelled: its caller after so many turns of the event loop.

    ``hard``: itself, where it waits for that time, as a loop cancels everything when it ends, past the shield of
    `Database.write`.
    """

    steps: tuple[Step, ...]
    cancelled: int | None = None
    hard: bool = False

    def work(self, session: Session, base: int) -> None:
        run_all(self.steps, Act(session, base))


Round = tuple[Unit, ...]
"""Units of work that run at the same time."""

Program = tuple[Round, ...]


def written(program: Program) -> str:
    """The program as code, a line for each unit of work."""
    lines = ["("]
    for each in program:
        lines += ["    (", *(f"        {unit!r}," for unit in each), "    ),"]
    return "\n".join([*lines, ")"])
