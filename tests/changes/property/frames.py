"""Steps around other steps: savepoints, errors that are caught, errors that are made."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import event

from tests.changes.property.acting import ACCIDENTS, Act, Oops, Step, run_all

Steps = tuple[Step, ...]


@dataclass(frozen=True)
class Quietly:
    """Under no_autoflush."""

    steps: Steps

    def run(self, it: Act) -> None:
        with it.session.no_autoflush:
            run_all(self.steps, it)


@dataclass(frozen=True)
class Nested:
    """In a savepoint, of the session or of its connection.

    ``ending``: commit, rollback, open, or error, which rolls it back and is caught outside.
    """

    steps: Steps
    ending: str = "commit"
    of_connection: bool = False

    def run(self, it: Act) -> None:
        place: Any = it.session.connection() if self.of_connection else it.session
        savepoint = place.begin_nested()
        try:
            run_all(self.steps, it)
            if self.of_connection:
                it.session.flush()
            if self.ending == "error":
                raise Oops
        except Exception as error:
            self._roll_back(savepoint, it)
            if self.ending != "error" or isinstance(error, ACCIDENTS):
                raise
            return
        if self.ending == "commit":
            savepoint.commit()
        elif self.ending == "rollback":
            self._roll_back(savepoint, it)

    def _roll_back(self, savepoint: Any, it: Act) -> None:
        if not self.of_connection:
            savepoint.rollback()
        elif savepoint.is_active:
            savepoint.rollback()
            it.session.expire_all()  # the session does not hear of it


@dataclass(frozen=True)
class Caught:
    """Whatever goes wrong is caught, and the unit of work goes on."""

    steps: Steps

    def run(self, it: Act) -> None:
        try:
            run_all(self.steps, it)
        except ACCIDENTS:
            raise
        except Exception:
            return


@dataclass(frozen=True)
class Faulty:
    """The `nth` statement of these steps fails, before or after the database has executed it."""

    steps: Steps
    nth: int = 1
    after: bool = True

    def run(self, it: Act) -> None:
        left = self.nth

        def fail(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Oops

        connection = it.session.connection()
        name = "after_cursor_execute" if self.after else "before_cursor_execute"
        event.listen(connection, name, fail)
        try:
            run_all(self.steps, it)
        finally:
            event.remove(connection, name, fail)


@dataclass(frozen=True)
class Commit:
    """The unit of work commits by itself and goes on; or rolls back."""

    back: bool = False

    def run(self, it: Act) -> None:
        if self.back:
            it.session.rollback()
        else:
            it.session.commit()


@dataclass(frozen=True)
class Fail:
    def run(self, it: Act) -> None:
        raise Oops
